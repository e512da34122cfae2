"""How dead letters look on a terminal and as JSON."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import typer

from tierstream.cli.render.results import printable
from tierstream.operations.dead_letter_log import Entry
from tierstream.operations.dead_letters import Retry
from topics.events import DeadLetter, DeadLetterNote

_DUMPED_BYTES = 4096
_DUMP_WIDTH = 16
_COLUMNS = ("letter", "at", "stage", "reason", "source", "request", "size", "retries", "state", "message")


def letter_as_json(entry: Entry) -> dict[str, Any]:
    """Describe a letter without its bytes."""
    fields = entry.letter.model_dump(mode="json", exclude={"key", "headers", "value", "traceback"})
    notes = [note.model_dump(mode="json", include={"action", "at", "by", "revision"}) for note in entry.notes]
    return {"letter": str(entry.id), "state": entry.state.value, **fields, "notes": notes}


def bytes_as_json(letter: DeadLetter) -> dict[str, Any]:
    """Describe the bytes of a letter."""
    return {
        "traceback": letter.traceback,
        "key_base64": _base64(letter.key),
        "headers": [{"name": name, "value_base64": _base64(value)} for name, value in letter.headers],
        "value_base64": _base64(letter.value),
    }


def _base64(value: bytes | None) -> str | None:
    return base64.b64encode(value).decode() if value is not None else None


def retry_as_json(retry: Retry, offset: int | None) -> dict[str, Any]:
    """Describe a retry; `offset` is None where nothing was sent."""
    letter = retry.entry.letter
    return {
        "letter": str(retry.entry.id),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": offset,
        "request_id": retry.request_id,
        "revision": retry.revision,
        "retries": letter.retries + 1,
    }


def show_retries(lines: Sequence[dict[str, Any]], *, dry_run: bool) -> None:
    """Print what was sent, or would be."""
    verb = "would go" if dry_run else "sent"
    for line in lines:
        place = f"{line['topic']}:{line['partition']}" + (f":{line['offset']}" if not dry_run else "")
        revision = f", revision {line['revision']} of {line['request_id']}" if line["request_id"] else ""
        typer.echo(f"{line['letter']} {verb} to {place}{revision}")
    if not lines:
        typer.echo("nothing to send")


def table(entries: Iterable[Entry]) -> Iterator[str]:
    """Yield lines of columns that no terminal cuts: an id has to be whole to be of use."""
    rows = [_COLUMNS, *(_row(entry) for entry in entries)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(entry: Entry) -> tuple[str, ...]:
    letter = entry.letter
    return (
        str(entry.id),
        f"{letter.at:%Y-%m-%d %H:%M:%S}",
        letter.stage,
        letter.reason,
        f"{letter.topic}:{letter.partition}:{letter.offset}",
        letter.request_id or "-",
        str(letter.size),
        str(letter.retries),
        entry.state.value,
        printable(" ".join(letter.message.split())),
    )


def description(entry: Entry) -> Iterator[str]:
    """Yield all that is known about a letter."""
    letter = entry.letter
    facts = [
        *zip(_COLUMNS, _row(entry), strict=True),
        ("appended", f"{datetime.fromtimestamp(letter.timestamp_ms / 1000, UTC).isoformat()}"),
        ("sha256", letter.sha256),
        ("key", _text(letter.key)),
        *((f"header {printable(name)}", _text(value)) for name, value in letter.headers),
        *((note.action, _note_text(note)) for note in entry.notes),
    ]
    width = max(len(name) for name, _ in facts)
    yield from (f"{name.ljust(width)}  {value}" for name, value in facts)
    if letter.traceback is not None:
        yield from ("", printable(letter.traceback.rstrip()))
    yield ""
    yield from _body(letter.value)
    if letter.truncated:
        yield f"(the letter keeps {len(letter.value or b'')} of {letter.size} bytes; --raw reads the rest)"


def _note_text(note: DeadLetterNote) -> str:
    revision = f", as revision {note.revision}" if note.revision is not None else ""
    return f"{note.at:%Y-%m-%d %H:%M:%S} by {printable(note.by)}{revision}"


def _text(value: bytes | None) -> str:
    """Return bytes as text where they are some, else in hexadecimal."""
    if value is None:
        return "-"
    text = value.decode(errors="replace")
    return text if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text else f"0x{value.hex()}"


def _body(value: bytes | None) -> Iterator[str]:
    if not value:
        yield "(no value)"
        return
    try:
        yield printable(json.dumps(json.loads(value), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        yield from _dump(value[:_DUMPED_BYTES])
        if len(value) > _DUMPED_BYTES:
            yield f"(the first {_DUMPED_BYTES} of {len(value)} bytes; --raw writes all)"


def _dump(value: bytes) -> Iterator[str]:
    for start in range(0, len(value), _DUMP_WIDTH):
        row = value[start : start + _DUMP_WIDTH]
        text = "".join(chr(byte) if chr(byte).isascii() and chr(byte).isprintable() else "." for byte in row)
        yield f"{start:08x}  {row.hex(' ').ljust(3 * _DUMP_WIDTH)} {text}"
