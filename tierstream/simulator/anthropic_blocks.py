"""Reads the blocks of a message to Anthropic's messages API.

Source: https://platform.claude.com/docs/en/api/messages.
"""

import re
from typing import Any, Final

from tierstream.simulator.chat import ApiError, ToolCall, dumps
from tierstream.simulator.conversation import Turn, content_parts, joined, string_at
from tierstream.simulator.thinking import REDACTED, signed_by

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
    """Reads the blocks of one request.

    Thinking has to bear a signature. What another model thought is passed over, as the API does.

    Attributes:
        misplaced: The place of the first thinking that was not thought behind what is before it.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self.misplaced: str | None = None

    def read_all(self, blocks: list[dict[str, Any]], role: str, where: str, prompt_key: str = "") -> list[Turn]:
        """The blocks of a message, each as a turn of its own.

        Args:
            blocks: They.
            role: Of the message.
            where: Their place in the body, for the refusal.
            prompt_key: Of what is before the message.

        Raises:
            ApiError: The API refuses one, or it is of a type that is not simulated.
        """
        return [self._read(block, role, f"{where}.{place}", prompt_key) for place, block in enumerate(blocks)]

    def _read(self, block: dict[str, Any], role: str, where: str, prompt_key: str) -> Turn:
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
                if "signature" not in block:
                    raise invalid(f"{where}.thinking.signature: Field required")
                text = string_at(block, "thinking", f"{where}.thinking")
                is_own = self._is_own(text, string_at(block, "signature", f"{where}.thinking"), where, prompt_key)
                return Turn(role, unsaid=text if is_own else "")
            case "redacted_thinking":
                self._is_own(REDACTED, string_at(block, "data", f"{where}.redacted_thinking"), where, prompt_key)
                return Turn(role)
            case _:
                return Turn(role, str(block.get("text", "")))

    def _is_own(self, text: str, signature: str, where: str, prompt_key: str) -> bool:
        """Whether this model thought it, behind this prompt; ApiError where it or its signature was changed."""
        found = signed_by(text, signature)
        if found is None:
            raise invalid(f"{where}: Invalid `signature` in `thinking` block")
        model, key = found
        if model == self._model and key != prompt_key:
            self.misplaced = self.misplaced or where
        return found == (self._model, prompt_key)

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
