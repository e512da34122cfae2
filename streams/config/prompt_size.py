"""What a model reads of a request, and how many tokens that is where only an estimate can say.

Texts are counted by their letters, wherever they stand: in messages, calls, thinking, definitions of tools and schemas.
What is not text is never decoded, and its base64 is no text. It has these estimates, all rather too high than too low:

    an image    5,000 tokens. Claude makes at most 4,784 of one, a token for 28 by 28 pixels; OpenAI some 1,500 of tiles
                or 4,000 of patches, in the detail that can be asked for here.
                https://platform.claude.com/docs/en/build-with-claude/vision
                https://developers.openai.com/api/docs/guides/images-vision
    a file      a token for 4 bytes of text, and for 8 of anything else: a page of a PDF is 1,500 to 3,000 tokens of
                text, and as an image as many again. What is behind a URL counts as ten such pages.
                https://platform.claude.com/docs/en/build-with-claude/pdf-support
    tools       800 tokens of instructions, where there are any.
                https://platform.claude.com/docs/en/agents-and-tools/tool-use/overview
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from streams.config.tokens import rough
from topics.messages import FilePart, ImagePart, Message, Tool, data_of, is_data_url

_IMAGE: Final = 5_000
_LINKED_FILE: Final = 50_000
_TOOLS_FRAME: Final = 800
_BYTES_A_TOKEN: Final = 8
_TEXT_BYTES_A_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class PromptSize:
    """What there is to read.

    Attributes:
        texts: All of them, in no order that matters.
        other_tokens: What is not text, in tokens by estimate.
    """

    texts: tuple[str, ...]
    other_tokens: int

    @property
    def rough_tokens(self) -> int:
        """Guess the tokens of all of it, at four characters each."""
        return sum(map(rough, self.texts)) + self.other_tokens


def size_of(messages: Iterable[Message], tools: Iterable[Tool], schema: dict[str, Any] | None) -> PromptSize:
    """Return what a model reads.

    Args:
        messages: The conversation.
        tools: That are offered.
        schema: JSON Schema that the answer is asked to follow, if it is.
    """
    texts: list[str] = []
    other = 0
    for message in messages:
        content = message.content
        # Nearly all are like this, and each request is looked at several times.
        if isinstance(content, str) and message.tool_calls is None:
            texts.append(content)
            continue
        texts += message.texts()
        other += sum(map(_tokens_of, message.parts))
    definitions = [tool.function.model_dump_json(exclude_none=True) for tool in tools]
    if definitions:
        texts += definitions
        other += _TOOLS_FRAME
    if schema is not None:
        texts.append(json.dumps(schema, ensure_ascii=False))
    return PromptSize(tuple(texts), other)


def _tokens_of(part: object) -> int:
    match part:
        case ImagePart():
            return _IMAGE
        case FilePart(file=file):
            return _tokens_at(file.url)
        case _:
            return 0


def _tokens_at(url: str) -> int:
    if not is_data_url(url):
        return _LINKED_FILE
    media_type, data = data_of(url)
    if media_type.startswith("image/"):
        return _IMAGE
    size = len(data) * 3 // 4
    return size // (_TEXT_BYTES_A_TOKEN if media_type.startswith("text/") else _BYTES_A_TOKEN)
