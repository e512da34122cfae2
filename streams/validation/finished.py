"""An answer as the checks see it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

from topics.messages import FilePart, ImagePart, ToolCall
from topics.requests import Request

_FENCED: Final = re.compile(r"^[ \t]*(`{3,})[^\n`]*\n", re.MULTILINE)

_MOST_FENCES: Final = 1_000
"""Lines that start or end a code block; what follows them is taken for text."""


@dataclass(frozen=True)
class Finished:
    """An answer as the checks see it; what several of them need of it is worked out once.

    Attributes:
        request: What was asked.
        content: The whole text.
        finish_reason: One of stop, length, content_filter, tool_calls and other.
        tool_calls: Calls that the model wants made.
    """

    request: Request
    content: str
    finish_reason: str
    tool_calls: tuple[ToolCall, ...] = ()

    @cached_property
    def text(self) -> str:
        """The content without the space around it."""
        return self.content.strip()

    @cached_property
    def is_text(self) -> bool:
        """Whether the text is the answer: no JSON was asked for, and it is no preface to calls."""
        return not self.tool_calls and not self.request.asks_for_json

    @cached_property
    def is_prose(self) -> bool:
        """Whether it is to be read as a whole text: the answer, whose end is not missing by the requester's wish."""
        return self.is_text and self.finish_reason != "length"

    @cached_property
    def prose(self) -> str:
        """The text without its blocks of code, and without what follows the start of one that does not end."""
        return "\n".join(outside for outside, _ in split_fences(self.text))

    @cached_property
    def is_of_tools(self) -> bool:
        """Whether it follows the results of tools, and may say what these could not do."""
        return self.request.messages[-1].role == "tool"

    @cached_property
    def is_of_text_alone(self) -> bool:
        """Whether nothing but text was given: what an image or a file holds, nobody here knows."""
        return not any(isinstance(part, ImagePart | FilePart) for m in self.request.messages for part in m.parts)

    @cached_property
    def instructions(self) -> str:
        """What the system says, all of it."""
        return "\n".join(m.text for m in self.request.messages if m.role in {"system", "developer"})


Fails = Callable[[Finished], bool]
"""Says whether an answer fails a check; must be fast, in linear time, and never raise."""


def split_fences(text: str) -> list[tuple[str, str | None]]:
    """Split a text at its code fences.

    Returns:
        Pairs of what stands outside and the code block after it; the last block is None where the text ends outside,
        and "" stands before a block that follows another at once. A block without an end goes to the end of the text.
    """
    parts: list[tuple[str, str | None]] = []
    at = 0
    if "```" in text:
        opening = None
        for line in islice(_FENCED.finditer(text + "\n"), _MOST_FENCES):
            mark = line[1]
            if opening is None:
                opening = line
            elif mark.startswith(opening[1]) and not line[0].strip().strip(mark[0]):
                parts.append((text[at : opening.start()], text[opening.end() : line.start()]))
                at, opening = line.end(), None
        if opening is not None:
            return [*parts, (text[at : opening.start()], text[opening.end() :])]
    return [*parts, (text[at:], None)]


def has_open_fence(text: str) -> bool:
    """Whether a code block starts that does not end; one that ends at the end of a line of code does, if badly."""
    if text.count("```") % 2 == 0:
        return False
    opening = ""
    for line in _FENCED.finditer(text + "\n"):
        if not opening:
            opening = line[1]
        elif line[1].startswith(opening) and not line[0].strip().strip(opening[0]):
            opening = ""
    return bool(opening)
