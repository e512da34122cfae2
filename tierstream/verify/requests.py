"""Requests against results and dead letters: none lost, none answered twice, none refused without a trace. Pure."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from streams.config.settings_sections import DeadlineSettings
from tierstream.verify.findings import Check, Findings, place
from tierstream.verify.identity import Window, identity
from topics.base import from_millis
from topics.events import DeadLetter
from topics.requests import Request
from topics.results import Result

_DIGEST_BYTES: Final = 16
_RAISED: Final = "handler_error"
"""Reason of a dead letter whose record made a handler raise."""


@dataclass(frozen=True, slots=True)
class _Copy:
    """One record that asks, packed: a million requests have to fit."""

    digest: bytes
    """Of the body."""
    appended_ms: int
    deadline_ms: int
    partition: int
    offset: int

    _LAYOUT = struct.Struct("<16sqqIQ")

    def pack(self) -> bytes:
        return self._LAYOUT.pack(self.digest, self.appended_ms, self.deadline_ms, self.partition, self.offset)

    @classmethod
    def unpack(cls, entry: bytes) -> "_Copy":
        return cls(*cls._LAYOUT.unpack(entry))


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request without a result, by the place where its id can be read again."""

    deadline_ms: int
    partition: int
    offset: int


class RequestBook:
    """Remembers each copy of a request in about 300 bytes.

    Args:
        findings: Where problems go.
        topic: Full name of the requests topic.
        deadlines: Defaults of the service classes.
        window: Longest lifetime of a request, within which two copies are of one request.
    """

    def __init__(self, findings: Findings, *, topic: str, deadlines: DeadlineSettings, window: timedelta) -> None:
        self.unreadable = 0
        self.raised: set[str] = set()
        """Ids of requests one of whose records made a handler raise."""
        self._findings = findings
        self._topic = topic
        self._deadlines = deadlines
        self._lifetime = window
        self._window = Window.of(window)
        self._copies: dict[bytes, tuple[bytes, ...]] = {}
        """By request and revision."""
        self._answered: dict[bytes, tuple[int, ...]] = {}
        """Append times of the copies that were answered, by request and revision."""
        self._unreadable: dict[tuple[int, int], bytes] = {}
        """Place and SHA-256 of the unreadable requests that no dead letter was found for yet."""

    @property
    def distinct(self) -> int:
        """Number of different ids; a retry of a dead letter asks for another revision and counts as one more."""
        return len(self._copies)

    def add_request(
        self, request: Request, partition: int, offset: int, timestamp_ms: int, *, revision: int = 0
    ) -> None:
        """Take note of a request that could be read."""
        deadline_ms = int(self._deadline(request, from_millis(timestamp_ms)).timestamp() * 1000)
        body = bytes.fromhex(request.digest())[:_DIGEST_BYTES]
        self._ask(request.request_id, revision, _Copy(body, timestamp_ms, deadline_ms, partition, offset))

    def add_unreadable(
        self,
        value: bytes | None,
        request_id: str | None,
        partition: int,
        offset: int,
        timestamp_ms: int,
        *,
        revision: int = 0,
    ) -> None:
        """Take note of a record that is no request; with a readable id it has to be rejected."""
        self.unreadable += 1
        sha256 = hashlib.sha256(value or b"").digest()
        self._unreadable[partition, offset] = sha256
        if request_id is not None:
            body = sha256[:_DIGEST_BYTES]
            self._ask(request_id, revision, _Copy(body, timestamp_ms, timestamp_ms, partition, offset))

    def add_dead_letter(self, letter: DeadLetter) -> bool:
        """Pair a dead letter with the unreadable request that it keeps; all requests come before.

        Returns:
            False where it is about another record: of another topic, or a request that could be read and not served.
        """
        if letter.reason == _RAISED and letter.request_id is not None:
            self.raised.add(letter.request_id)
        if letter.topic != self._topic:
            return False
        sha256 = self._unreadable.pop((letter.partition, letter.offset), None)
        if sha256 is not None and sha256.hex() != letter.sha256:
            name = place(letter.topic, letter.partition, letter.offset)
            self._findings.add(Check.DEAD_LETTER_UNFOUNDED, name, "the dead letter keeps other bytes than the record")
        return sha256 is not None

    def add_result(self, result: Result) -> None:
        """Take note of a result as a read_committed reader gets it."""
        asked, answered_ms = identity(result.request_id, result.revision), result.source.timestamp_ms
        earlier = self._answered.get(asked, ())
        if any(self._window.joins(answered_ms, other_ms) for other_ms in earlier):
            self._findings.add(Check.DOUBLED, result.request_id, f"another result of revision {result.revision}")
        self._answered[asked] = (*earlier, answered_ms)

    def outstanding(self) -> "Outstanding":
        """Return what is to be waited for: every request of which no result was seen."""
        return Outstanding(
            {asked: [copy.appended_ms for copy in copies] for asked, copies in self._unanswered()}, self._window
        )

    def unanswered(self) -> Iterator[Unanswered]:
        """Yield the requests without a result, each once however many copies of it there are."""
        for _, copies in self._unanswered():
            named: list[int] = []
            for copy in copies:
                if not any(self._window.joins(copy.appended_ms, other_ms) for other_ms in named):
                    named.append(copy.appended_ms)
                    yield Unanswered(copy.deadline_ms, copy.partition, copy.offset)

    def _unanswered(self) -> Iterator[tuple[bytes, list[_Copy]]]:
        """Yield the copies within whose window no copy was answered."""
        for asked, entries in self._copies.items():
            answered = self._answered.get(asked, ())
            copies = sorted(map(_Copy.unpack, entries), key=lambda copy: copy.appended_ms)
            left = [copy for copy in copies if not any(self._window.joins(copy.appended_ms, at) for at in answered)]
            if left:
                yield asked, left

    def finish_dead_letters(self) -> None:
        """Name the unreadable requests without a dead letter."""
        for partition, offset in self._unreadable:
            self._findings.add(
                Check.DEAD_LETTER_MISSING, place(self._topic, partition, offset), "unreadable, and no dead letter"
            )

    def _ask(self, request_id: str, revision: int, copy: _Copy) -> None:
        asked = identity(request_id, revision)
        copies = [_Copy.unpack(entry) for entry in self._copies.get(asked, ())]
        earlier = [other for other in copies if self._window.joins(copy.appended_ms, other.appended_ms)]
        if any(other.digest != copy.digest for other in earlier):
            where = place(self._topic, copy.partition, copy.offset)
            self._findings.add(Check.ID_REUSED, request_id, f"again at {where}")
        if len(earlier) > 1 and copies[-1] == earlier[-1] and copies[-1].appended_ms <= copy.appended_ms:
            # Of many copies in one window the first and the last will do.
            copies.pop()
        self._copies[asked] = tuple(one.pack() for one in (*copies, copy))

    def _deadline(self, request: Request, arrived: datetime) -> datetime:
        named = [request.deadline] if request.deadline else []
        if request.timeout_ms:
            named.append(arrived + timedelta(milliseconds=request.timeout_ms))
        default_s = getattr(self._deadlines, request.service_class.value)
        # A deadline beyond the window is refused, and that takes no time.
        return min(min(named, default=arrived + timedelta(seconds=default_s)), arrived + self._lifetime)


class Outstanding:
    """Requests that are waited for, with the append times of their copies."""

    def __init__(self, copies: dict[bytes, list[int]], window: Window) -> None:
        self._copies = copies
        self._window = window

    def __bool__(self) -> bool:
        return bool(self._copies)

    def discard(self, result: Result) -> None:
        """Wait for this one no longer."""
        asked = identity(result.request_id, result.revision)
        answered_ms = result.source.timestamp_ms
        left = [at for at in self._copies.pop(asked, ()) if not self._window.joins(at, answered_ms)]
        if left:
            self._copies[asked] = left
