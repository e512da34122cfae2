"""Reads the blocks of a message to Anthropic's messages API.

Source: https://platform.claude.com/docs/en/api/messages.
"""

import re
from typing import Any, Final

from tierstream.simulator.chat import ApiError, ToolCall, dumps
from tierstream.simulator.conversation import Turn, content_parts, joined, string_at
from tierstream.simulator.thinking import REDACTED, is_signed

_ID: Final = re.compile(r"[A-Za-z0-9_-]+")
_IMAGES: Final = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_PLACES: Final = {
    "text": frozenset({"user", "assistant"}),
    "image": frozenset({"user"}),
    "document": frozenset({"user"}),
    "tool_use": frozenset({"assistant"}),
    "tool_result": frozenset({"user"}),
    "thinking": frozenset({"assistant"}),
    "redacted_thinking": frozenset({"assistant"}),
}
"""Which roles may have a block of a type."""
_IN_RESULTS: Final = frozenset({"text", "image", "document"})


def invalid(message: str) -> ApiError:
    """A refusal of what the client sent."""
    return ApiError(400, message)


class BlockReader:
    """Reads the blocks of one request; thinking has to bear the signature of its model."""

    def __init__(self, model: str) -> None:
        self._model = model

    def read_all(self, blocks: list[dict[str, Any]], role: str, where: str) -> list[Turn]:
        """The blocks of a message, each as a turn of its own.

        Args:
            blocks: They.
            role: Of the message.
            where: Their place in the body, for the refusal.

        Raises:
            ApiError: The API refuses one, or it is of a type that is not simulated.
        """
        return [self._read(block, role, f"{where}.{place}") for place, block in enumerate(blocks)]

    def _read(self, block: dict[str, Any], role: str, where: str) -> Turn:
        kind = str(block.get("type"))
        if kind not in _PLACES:
            raise invalid(f"{where}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
        if role in _PLACES["text"] and role not in _PLACES[kind]:
            raise invalid(f"{where}: `{kind}` blocks can only be in messages of other roles than `{role}`")
        match kind:
            case "image" | "document":
                return _media(block, role, where)
            case "tool_use":
                return Turn(role, calls=(_call(block, f"{where}.tool_use"),))
            case "tool_result":
                return self._result(block, role, f"{where}.tool_result")
            case "thinking":
                return self._thinking(block, role, where)
            case "redacted_thinking":
                data = string_at(block, "data", f"{where}.redacted_thinking")
                if not is_signed(self._model, REDACTED, data):
                    raise invalid(f"{where}: Invalid `data` in `redacted_thinking` block")
                return Turn(role)
            case _:
                return Turn(role, str(block.get("text", "")))

    def _thinking(self, block: dict[str, Any], role: str, where: str) -> Turn:
        text = string_at(block, "thinking", f"{where}.thinking")
        if "signature" not in block:
            raise invalid(f"{where}.thinking.signature: Field required")
        if not is_signed(self._model, text, string_at(block, "signature", f"{where}.thinking")):
            raise invalid(f"{where}: Invalid `signature` in `thinking` block")
        return Turn(role, unsaid=text)

    def _result(self, block: dict[str, Any], role: str, where: str) -> Turn:
        _checked_id(block, "tool_use_id", where)
        parts = content_parts(block.get("content"), f"{where}.content")
        if any(str(part.get("type")) not in _IN_RESULTS for part in parts):
            raise invalid(f"{where}.content: expected blocks of the types {', '.join(sorted(_IN_RESULTS))}")
        whole = joined(role, self.read_all(parts, role, f"{where}.content"))
        return Turn(role, unsaid=whole.unsaid, results=(whole.text,), images=whole.images, files=whole.files)


def _media(block: dict[str, Any], role: str, where: str) -> Turn:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if not isinstance(source, dict) or kind not in ("base64", "url", "file", "text"):
        raise invalid(f"{where}.{block['type']}.source: expected a source of type base64, url or file")
    if block["type"] == "image":
        if kind == "text" or (kind == "base64" and str(source.get("media_type")) not in _IMAGES):
            raise invalid(f"{where}.image.source.media_type: Input should be {', '.join(sorted(_IMAGES))}")
        return Turn(role, images=1)
    if kind == "text":
        return Turn(role, unsaid=string_at(source, "data", f"{where}.document.source"))
    return Turn(role, files=1)


def _call(block: dict[str, Any], where: str) -> ToolCall:
    if not isinstance(block.get("input"), dict):
        raise invalid(f"{where}.input: Input should be a valid dictionary")
    return ToolCall(string_at(block, "name", where), dumps(block["input"]), _checked_id(block, "id", where))


def _checked_id(block: dict[str, Any], key: str, where: str) -> str:
    found = string_at(block, key, where)
    if not _ID.fullmatch(found):
        raise invalid(f"{where}.{key}: String should match pattern '^[a-zA-Z0-9_-]+$'")
    return found
