"""The providers' own record of the calls they served, from the simulator's log files or from its URL."""

import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import aiohttp

from tierstream.client.request_file import InputError
from tierstream.verify.findings import Check, Findings
from topics.journal import Usage

_FIELDS = ("input_tokens", "output_tokens", "cached_tokens", "cache_written_tokens")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a call was billed by: input includes cached and cache-written ones."""

    input: int
    output: int
    cached: int
    cache_written: int = 0

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Take them from the usage that the journal has."""
        return cls(usage.input, usage.output, usage.cached, usage.cache_written)

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.cache_written + other.cache_written,
        )

    def __str__(self) -> str:
        written = f", {self.cache_written} written to the cache" if self.cache_written else ""
        return f"{self.input} in, {self.output} out, {self.cached} cached{written}"


class ServedCalls:
    """Served calls by call id, in about 190 bytes each."""

    def __init__(self) -> None:
        self.nameless = 0
        """Calls without an id of ours; nobody can tell whose they are."""
        self._index: dict[bytes, int] = {}
        self._tokens = tuple(array("Q") for _ in _FIELDS)
        self._billed = bytearray()
        self._recorded = bytearray()

    def __len__(self) -> int:
        return len(self._index)

    def add(self, call: Mapping[str, Any]) -> None:
        """Take note of a call as the log writes it."""
        try:
            call_id = UUID(call["call_id"] or "").bytes
        except ValueError:
            self.nameless += 1
            return
        usage = call.get("usage")
        index = self._index.setdefault(call_id, len(self._index))
        if index < len(self._billed):
            # One id served twice: what was billed is what counts.
            if usage is None:
                return
        else:
            self._billed.append(0)
            self._recorded.append(0)
            for tokens in self._tokens:
                tokens.append(0)
        self._billed[index] = usage is not None
        for tokens, name in zip(self._tokens, _FIELDS, strict=True):
            # Only a provider that charges for writing to its cache says how much was written.
            said = 0 if usage is None else usage.get(name, 0) if name == _FIELDS[-1] else usage[name]
            tokens[index] = int(said)

    def record(self, call_id: UUID) -> bool:
        """Mark a call as one that the journal announced; False where it was not served."""
        index = self._index.get(call_id.bytes)
        if index is not None:
            self._recorded[index] = 1
        return index is not None

    def __contains__(self, call_id: UUID) -> bool:
        return call_id.bytes in self._index

    def tokens(self, call_id: UUID) -> Tokens | None:
        """Return what the provider billed; None where it billed nothing."""
        index = self._index.get(call_id.bytes)
        if index is None or not self._billed[index]:
            return None
        return Tokens(*(tokens[index] for tokens in self._tokens))

    def unrecorded(self) -> Iterator[UUID]:
        """Yield the calls that were not marked."""
        for call_id, index in self._index.items():
            if not self._recorded[index]:
                yield UUID(bytes=call_id)


@dataclass(frozen=True, slots=True)
class JournalledCall:
    """What the journal says of a call, all of its shares together."""

    call_id: UUID
    about: str
    """Whose it is."""
    tokens: Tokens | None
    """What it was booked by; None where it has no usage."""
    is_estimated: bool
    is_answered: bool
    said_by: str = "the journal says"


def judge_served(findings: Findings, call: JournalledCall, served: ServedCalls) -> None:
    """Compare a call of the journal with what the provider served and billed; one that was answered has usage."""

    def add(check: Check, detail: str) -> None:
        findings.add(check, str(call.call_id), f"{call.about}: {detail}")

    billed = served.tokens(call.call_id)
    unbilled = Check.MISPRICED if call.is_answered else Check.UNBILLED
    if call.tokens is None:
        # An answer without usage is mispriced anyway.
        if billed is not None and not call.is_answered:
            add(Check.UNBILLED, f"the provider billed {billed}")
    elif call.call_id not in served:
        add(Check.UNSERVED, "the provider's log does not hold it")
    elif call.is_estimated and billed is not None:
        add(unbilled, f"its usage is an estimate, and the provider billed {billed}")
    elif not call.is_estimated and call.tokens != billed:
        said = billed if billed is not None else "nothing"
        add(Check.MISPRICED, f"{call.said_by} {call.tokens}, the provider billed {said}")


def judge_unrecorded(findings: Findings, served: ServedCalls) -> None:
    """Name the served calls that no journal record announced."""
    for call_id in served.unrecorded():
        findings.add(Check.UNRECORDED, str(call_id), "the provider served it, and it has no CallStarted")


def read_usage_logs(paths: Iterable[Path], into: ServedCalls, *, since: datetime | None) -> None:
    """Add the calls of JSONL files that were served since a moment.

    Raises:
        InputError: A line is not a served call.
    """
    for path in paths:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    _add(json.loads(line), into, since)
                except (ValueError, KeyError, TypeError):
                    raise InputError(f"{path}:{number}: not a served call of the simulator's usage log") from None


async def fetch_served(url: str, into: ServedCalls, *, since: datetime | None) -> None:
    """Add the calls that a running simulator remembers.

    Raises:
        InputError: Nobody answers there, or not as a simulator does.
    """
    try:
        async with aiohttp.ClientSession() as session, session.get(f"{url.rstrip('/')}/calls") as response:
            for call in (await response.json())["calls"]:
                _add(call, into, since)
    except (aiohttp.ClientError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{url}: no simulator answers there ({type(error).__name__})") from None


def _add(call: Mapping[str, Any], into: ServedCalls, since: datetime | None) -> None:
    if since is None or datetime.fromisoformat(call["started_at"]) >= since:
        into.add(call)
