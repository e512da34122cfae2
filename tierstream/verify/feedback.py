"""Feedback against hops and results: each is told of, and each retry that was told of has its one result. Pure."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from tierstream.verify.findings import Check, Findings, place
from tierstream.verify.identity import Window, identity
from topics.events import DeadLetter, Hop, Hops
from topics.feedback import Feedback, kind_told, revision_asked_for
from topics.results import Result

STAGE: Final = "feedback"
"""Whose hops tell of feedback."""


@dataclass(frozen=True, slots=True)
class _Told:
    """A feedback by which a hop names it: what it is about and of which kind, and when the broker appended it."""

    about: bytes
    kind: str
    appended_ms: int


@dataclass(frozen=True, slots=True)
class _Retry:
    request_id: str
    revision: int
    appended_ms: int


class FeedbackBook:
    """Remembers each feedback, and what was told of it.

    Args:
        findings: Where problems go.
        topic: Full name of the topic of feedback.
        window: Within which tasks of one revision are copies of each other.
        longest: Longest time that a request has by default.
    """

    def __init__(self, findings: Findings, *, topic: str, window: timedelta, longest: timedelta) -> None:
        self.count = 0
        self._findings = findings
        self._topic = topic
        self._window = Window.of(window)
        self._longest = longest
        self._untold: dict[_Told, tuple[int, int]] = {}
        """With the place of each."""
        self._places: set[tuple[int, int]] = set()
        self._unreadable: dict[tuple[int, int], str] = {}
        self._retries: dict[bytes, list[_Retry]] = {}
        self._answered: dict[bytes, list[int]] = {}
        """Append times of the feedback that later revisions came from."""

    @property
    def retries(self) -> int:
        """How many revisions were asked for."""
        return len(self._retries)

    @property
    def is_waiting(self) -> bool:
        """Whether something is still to be told, or a revision is to come."""
        return bool(self._untold) or any(True for _ in self._unanswered())

    def add_feedback(self, said: Feedback, partition: int, offset: int, at_ms: int, *, judged: bool = True) -> None:
        """Take note of feedback that could be read.

        Args:
            said: The record.
            partition: Where it stands.
            offset: Where it stands.
            at_ms: When the broker appended it, ms since the epoch.
            judged: False before the time that is looked at.
        """
        self._places.add((partition, offset))
        if judged:
            self.count += 1
            self._untold[_Told(identity(said.request_id, said.revision), said.kind, at_ms)] = (partition, offset)

    def add_unreadable(self, value: bytes | None, partition: int, offset: int) -> None:
        """Take note of a record that is no feedback."""
        self.count += 1
        self._unreadable[partition, offset] = hashlib.sha256(value or b"").hexdigest()

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Pair a dead letter with the feedback that it keeps."""
        if letter.topic != self._topic:
            return
        sha256 = self._unreadable.pop((letter.partition, letter.offset), None)
        if sha256 is not None and sha256 != letter.sha256:
            name = place(letter.topic, letter.partition, letter.offset)
            self._findings.add(Check.DEAD_LETTER_UNFOUNDED, name, "the dead letter keeps other bytes than the record")
        # A handler that raised over feedback has told of it by the letter.
        self._untold = {told: at for told, at in self._untold.items() if at != (letter.partition, letter.offset)}

    def finish_dead_letters(self) -> None:
        """Name the unreadable feedback without a dead letter."""
        for partition, offset in self._unreadable:
            name = place(self._topic, partition, offset)
            self._findings.add(Check.DEAD_LETTER_MISSING, name, "unreadable feedback, and no dead letter")

    def add_hops(self, hops: Hops) -> None:
        """Take note of what is told of feedback."""
        for hop in hops.hops:
            if hop.stage == STAGE:
                self._add_hop(hops, hop)

    def _add_hop(self, hops: Hops, hop: Hop) -> None:
        about, appended_ms = identity(hops.request_id, hops.revision), round(hop.started_at.timestamp() * 1000)
        told = _Told(about, kind_told(hop.outcome, hop.detail), appended_ms)
        self._untold.pop(told, None)
        revision = revision_asked_for(hop.detail)
        if revision is not None:
            retries = self._retries.setdefault(identity(hops.request_id, revision), [])
            retry = _Retry(hops.request_id, revision, told.appended_ms)
            if retry not in retries:
                retries.append(retry)

    def add_result(self, result: Result, *, judged: bool = True) -> None:
        """Take note of a result of a later revision; whoever asked for it was read before."""
        source = result.source
        if result.revision == 0:
            return
        self._answered.setdefault(identity(result.request_id, result.revision), []).append(source.timestamp_ms)
        if judged and source.topic == self._topic and (source.partition, source.offset) not in self._places:
            where = place(source.topic, source.partition, source.offset)
            self._findings.add(Check.REVISION_UNASKED, result.request_id, f"revision {result.revision} by {where}")

    def finish(self, committed: dict[int, int], now: datetime) -> None:
        """Judge what is not told of and what has no result.

        Args:
            committed: How far the stage had come in each partition, before the hops were read.
            now: When that was.
        """
        for partition, offset in self._untold.values():
            is_done = offset < committed.get(partition, 0)
            check, detail = (Check.FEEDBACK_UNTOLD, "done, and no hop tells of it") if is_done else _IN_WORK
            self._findings.add(check, place(self._topic, partition, offset), detail)
        for retry in self._unanswered():
            is_over = retry.appended_ms + self._longest.total_seconds() * 1000 < now.timestamp() * 1000
            detail = f"revision {retry.revision}, which feedback asked for"
            self._findings.add(Check.LOST if is_over else Check.PENDING, retry.request_id, detail)

    def _unanswered(self) -> Iterator[_Retry]:
        for asked, retries in self._retries.items():
            answered = self._answered.get(asked, ())
            for retry in retries:
                if not any(self._window.joins(retry.appended_ms, at) for at in answered):
                    yield retry
                    break


_IN_WORK: Final = (Check.PENDING, "feedback that is not told of yet")
