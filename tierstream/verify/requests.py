"""Requests against results and dead letters: none lost, none answered twice, none refused without a trace. Pure."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from streams.sections import DeadlineSettings
from tierstream.verify.findings import Check, Findings, place
from topics.base import from_millis
from topics.events import DeadLetter
from topics.requests import Request
from topics.results import Result

_DIGEST_BYTES = 16
_ENTRY = struct.Struct("<16sqIQ")
"""Digest of the body, deadline in ms since the epoch, partition and offset: a million requests have to fit."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A request without a result, by the place where its id can be read again."""

    deadline_ms: int
    partition: int
    offset: int


class RequestBook:
    """Remembers each request id in about 200 bytes.

    Args:
        findings: Where problems go.
        topic: Full name of the requests topic.
        deadlines: Defaults of the service classes.
        window: Longest lifetime of a request.
    """

    def __init__(self, findings: Findings, *, topic: str, deadlines: DeadlineSettings, window: timedelta) -> None:
        self.distinct = 0
        self.unreadable = 0
        self._findings = findings
        self._topic = topic
        self._deadlines = deadlines
        self._window = window
        self._asked: dict[bytes, bytes] = {}
        self._answered: set[bytes] = set()
        self._unreadable: dict[tuple[int, int], bytes] = {}
        """Place and SHA-256 of the unreadable requests that no dead letter was found for yet."""

    def add_request(self, request: Request, partition: int, offset: int, timestamp_ms: int) -> None:
        """Take note of a request that could be read."""
        deadline_ms = int(self._deadline(request, from_millis(timestamp_ms)).timestamp() * 1000)
        self._ask(request.request_id, bytes.fromhex(request.digest()), deadline_ms, partition, offset)

    def add_unreadable(
        self, value: bytes | None, request_id: str | None, partition: int, offset: int, timestamp_ms: int
    ) -> None:
        """Take note of a record that is no request; with a readable id it has to be rejected."""
        self.unreadable += 1
        sha256 = hashlib.sha256(value or b"").digest()
        self._unreadable[partition, offset] = sha256
        if request_id is not None:
            self._ask(request_id, sha256, timestamp_ms, partition, offset)

    def add_dead_letter(self, letter: DeadLetter) -> bool:
        """Pair a dead letter with the unreadable request that it keeps; all requests come before.

        Returns:
            False where it is about another record: of another topic, or a request that could be read and not served.
        """
        if letter.topic != self._topic:
            return False
        sha256 = self._unreadable.pop((letter.partition, letter.offset), None)
        if sha256 is not None and sha256.hex() != letter.sha256:
            name = place(letter.topic, letter.partition, letter.offset)
            self._findings.add(Check.DEAD_LETTER_UNFOUNDED, name, "the dead letter keeps other bytes than the record")
        return sha256 is not None

    def add_result(self, result: Result) -> None:
        """Take note of a result as a read_committed reader gets it."""
        identity = _identity(result.request_id, result.revision)
        if identity in self._answered:
            self._findings.add(Check.DOUBLED, result.request_id, f"another result of revision {result.revision}")
        self._answered.add(identity)

    def outstanding(self) -> "Outstanding":
        """Return what is to be waited for: every request of which no result was seen."""
        return Outstanding(self._asked.keys() - self._answered)

    def unanswered(self) -> Iterator[Unanswered]:
        """Yield the requests without a result of revision 0."""
        for asked, entry in self._asked.items():
            if asked not in self._answered:
                _, deadline_ms, partition, offset = _ENTRY.unpack(entry)
                yield Unanswered(deadline_ms, partition, offset)

    def finish_dead_letters(self) -> None:
        """Name the unreadable requests without a dead letter."""
        for partition, offset in self._unreadable:
            self._findings.add(
                Check.DEAD_LETTER_MISSING, place(self._topic, partition, offset), "unreadable, and no dead letter"
            )

    def _ask(self, request_id: str, sha256: bytes, deadline_ms: int, partition: int, offset: int) -> None:
        identity, digest = _identity(request_id, 0), sha256[:_DIGEST_BYTES]
        earlier = self._asked.get(identity)
        if earlier is None:
            self.distinct += 1
            self._asked[identity] = _ENTRY.pack(digest, deadline_ms, partition, offset)
        elif earlier[:_DIGEST_BYTES] != digest:
            self._findings.add(Check.ID_REUSED, request_id, f"again at {place(self._topic, partition, offset)}")

    def _deadline(self, request: Request, arrived: datetime) -> datetime:
        named = [request.deadline] if request.deadline else []
        if request.timeout_ms:
            named.append(arrived + timedelta(milliseconds=request.timeout_ms))
        default_s = getattr(self._deadlines, request.service_class.value)
        # A deadline beyond the window is refused, and that takes no time.
        return min(min(named, default=arrived + timedelta(seconds=default_s)), arrived + self._window)


class Outstanding:
    """Requests that are waited for."""

    def __init__(self, identities: set[bytes]) -> None:
        self._identities = identities

    def __bool__(self) -> bool:
        return bool(self._identities)

    def discard(self, result: Result) -> None:
        """Wait for this one no longer."""
        self._identities.discard(_identity(result.request_id, result.revision))


def _identity(request_id: str, revision: int) -> bytes:
    return hashlib.blake2b(f"{revision}\x1f{request_id}".encode(), digest_size=_DIGEST_BYTES).digest()
