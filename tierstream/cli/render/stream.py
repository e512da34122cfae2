"""How streamed answers look on a terminal: raw for one request, whole lines behind a name for several, or JSON."""

import hashlib
import shutil
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol
from uuid import UUID

import typer

from tierstream.cli.render.results import call_line, printable, show_answer, show_result
from tierstream.client.answer_stream import StreamRecord
from topics.events import Chunk
from topics.journal import CallEnded, CallStarted, Purpose
from topics.results import Result

_STORIES: Final = 10_000
"""Requests without a result that are remembered."""
_NAME: Final = 17
_NARROWEST: Final = 20
_LOST: Final = "its worker was lost"
_REFUSED: Final = "it was not accepted"


class StreamView(Protocol):
    """Shows what comes over an AnswerStream."""

    def take(self, record: StreamRecord) -> None:
        """Show a record."""

    def close(self) -> None:
        """Show what is held back for a whole line."""


class JsonView:
    """Every chunk and every result as JSON, one a line."""

    def take(self, record: StreamRecord) -> None:
        """Print a chunk or a result as it is on its topic."""
        if isinstance(record, Chunk | Result):
            typer.echo(record.model_dump_json())

    def close(self) -> None:
        """Nothing is held back."""


class Page(Protocol):
    """Where the text of requests goes."""

    def write(self, request_id: str, text: str, /) -> None:
        """Add to the text of a request."""

    def note(self, request_id: str, line: str, /) -> None:
        """Write a line that is no text of the answer, on a line of its own."""

    def end(self, result: Result, line: str, /) -> None:
        """Write what the streamed answer took."""

    def show_whole(self, result: Result, /) -> None:
        """Show a result whose answer was not streamed."""

    def close(self) -> None:
        """Write what is held back."""


@dataclass(frozen=True, slots=True)
class _Call:
    attempt: UUID
    who: str
    first_token_ms: float | None


@dataclass(slots=True)
class _Story:
    """What is known of a request, and what of it was shown."""

    calls: dict[UUID, _Call] = field(default_factory=dict)
    shown: list[UUID] = field(default_factory=list)
    """The calls whose text was shown; all but the last are void."""
    attempt: UUID | None = None
    """Of the last one."""
    last: Literal["text", "done", "broken"] = "text"
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def number(self, attempt: UUID) -> str:
        """Name an attempt as a reader would count them."""
        attempts = list(dict.fromkeys(call.attempt for call in self.calls.values()))
        return f"attempt {attempts.index(attempt) + 1}" if attempt in attempts else "another attempt"

    def who(self, call: UUID) -> str:
        """Name the model of a call."""
        return self.calls[call].who if call in self.calls else "the model"


class TextView:
    """Shows text as it arrives; says when it is void, and when the Result has confirmed it.

    Args:
        page: Where to.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._stories: OrderedDict[tuple[str, int], _Story] = OrderedDict()

    def take(self, record: StreamRecord) -> None:
        """Show a chunk or a result; calls are kept in mind, to say where text comes from."""
        key = (record.request_id, record.revision)
        if isinstance(record, Result):
            self._settle(record, self._stories.pop(key, _Story()))
            return
        story = self._stories.setdefault(key, _Story())
        if len(self._stories) > _STORIES:
            self._stories.popitem(last=False)
        if isinstance(record, Chunk):
            self._add(record, story)
        elif record.purpose is Purpose.INFER:
            story.calls[record.call_id] = _describe(record)

    def close(self) -> None:
        """Show what is held back for a whole line."""
        self._page.close()

    def _add(self, chunk: Chunk, story: _Story) -> None:
        if not story.shown or chunk.call_id != story.shown[-1]:
            if chunk.call_id in story.shown:
                # A process that was cut off, and does not know it yet, writes on.
                return
            self._begin(chunk, story)
        text = printable(chunk.text)
        story.last = chunk.kind
        story.digest.update(chunk.text.encode())
        self._page.write(chunk.request_id, text)
        if chunk.kind == "broken":
            who = story.who(chunk.call_id)
            self._page.note(chunk.request_id, f"[{who} broke off: the text above is void]")

    def _begin(self, chunk: Chunk, story: _Story) -> None:
        if story.shown:
            which, who = story.number(chunk.attempt_id), story.who(chunk.call_id)
            why = ""
            if story.last != "broken":
                reason = _REFUSED if story.last == "done" and story.attempt != chunk.attempt_id else _LOST
                why = f"the text above is void, {reason}; "
            self._page.note(chunk.request_id, f"[{which}: {why}{who} starts again]")
        story.shown.append(chunk.call_id)
        story.attempt = chunk.attempt_id
        story.digest = hashlib.sha256()
        if chunk.seq:
            self._page.note(chunk.request_id, "[the beginning was sent before this command started]")

    def _settle(self, result: Result, story: _Story) -> None:
        if not story.shown:
            self._page.show_whole(result)
            return
        content = result.content
        has_won = result.attempt_id == story.attempt
        if content is not None and not (has_won and story.digest.digest() == hashlib.sha256(content.encode()).digest()):
            self._page.note(result.request_id, f"[{'the whole answer' if has_won else 'the answer is another one'}:]")
            self._page.write(result.request_id, printable(content))
        for call in result.tool_calls:
            self._page.note(result.request_id, call_line(call))
        if content is None and story.last != "broken":
            self._page.note(result.request_id, "[there is no answer: the text above is void]")
        winners = [call for call in story.calls.values() if call.attempt == result.attempt_id]
        self._page.end(result, _closing(result, winners[-1].first_token_ms if winners else None))


def _describe(call: CallStarted | CallEnded) -> _Call:
    first_token_ms = call.first_token_ms if isinstance(call, CallEnded) else None
    return _Call(call.attempt_id, f"T{call.tier} {call.provider}/{call.model}", first_token_ms)


def _closing(result: Result, first_token_ms: float | None) -> str:
    """Return who won and what it took."""
    parts = [f"{result.status.value}:"]
    if result.tier is not None:
        parts.append(f"T{result.tier} {result.provider}/{result.model},")
    parts.append(f"${result.cost_usd:.6f}, {result.latency_ms:.0f} ms")
    if first_token_ms is not None:
        parts.append(f"(first token of the attempt after {first_token_ms:.0f} ms)")
    if result.error is not None:
        parts.append(f"- {result.error.code}: {printable(result.error.message)}")
    return " ".join(parts)


class RawPage:
    """The text of one request on stdout as it arrives; what it took goes to stderr."""

    def __init__(self) -> None:
        self._is_open = False

    def write(self, _request_id: str, text: str) -> None:
        """Write text at once."""
        if text:
            typer.echo(text, nl=False)
            self._is_open = not text.endswith("\n")

    def note(self, _request_id: str, line: str) -> None:
        """Write a line into the text: who reads it has to know that it is void, also in a file."""
        self.close()
        typer.echo(line)

    def end(self, _result: Result, line: str) -> None:
        """Write to stderr what the answer took."""
        self.close()
        typer.echo(line, err=True)

    def show_whole(self, result: Result) -> None:
        """Show the answer as without streaming."""
        show_answer(result, as_json=False)

    def close(self) -> None:
        """End an open line."""
        if self._is_open:
            typer.echo()
            self._is_open = False


class NamedPage:
    """The text of several requests, whole lines of it with the request's name before each.

    On a terminal a line also ends where the window does, so that text without line breaks grows as well.
    """

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        columns = shutil.get_terminal_size().columns
        self._width = max(columns - _NAME - 2, _NARROWEST) if sys.stdout.isatty() else None

    def write(self, request_id: str, text: str) -> None:
        """Write the lines that are complete."""
        *lines, rest = (self._open.pop(request_id, "") + text).split("\n")
        for line in lines:
            for part in self._fold(line):
                _write_line(request_id, part)
        *full, rest = self._fold(rest)
        for part in full:
            _write_line(request_id, part)
        if rest:
            self._open[request_id] = rest

    def note(self, request_id: str, line: str) -> None:
        """Write a line about the text so far."""
        self._end_line(request_id)
        _write_line(request_id, line)

    def end(self, result: Result, line: str) -> None:
        """Write what the answer took."""
        self.note(result.request_id, f"[{line}]")

    def show_whole(self, result: Result) -> None:
        """Show a result that was not streamed as one line."""
        show_result(result, as_json=False)

    def close(self) -> None:
        """Write all lines that are open."""
        for request_id in list(self._open):
            self._end_line(request_id)

    def _end_line(self, request_id: str) -> None:
        if rest := self._open.pop(request_id, ""):
            _write_line(request_id, rest)

    def _fold(self, line: str) -> list[str]:
        """Split a line where the window ends, at a space if there is one."""
        parts = []
        while self._width is not None and len(line) > self._width:
            at = line.rfind(" ", 1, self._width + 1)
            parts.append(line[:at] if at > 0 else line[: self._width])
            line = line[at + 1 :] if at > 0 else line[self._width :]
        return [*parts, line]


def _write_line(request_id: str, line: str) -> None:
    name = request_id if len(request_id) <= _NAME else f"{request_id[:8]}…{request_id[-8:]}"
    typer.echo(f"{name:<{_NAME}}  {line}".rstrip())
