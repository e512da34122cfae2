"""Paid calls that are in no route: a request that was delivered again explains them, and its hops tell. Pure."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from agents import STAGES
from streams.providers.base import ErrorKind
from tierstream.verify.ended_calls import EndedCall
from tierstream.verify.findings import Check, Findings
from tierstream.verify.identity import Window, identity
from topics.events import Hop, Hops
from topics.results import Result

_PAYING: Final = frozenset(stage.name for stage in STAGES if stage.pays or stage.votes)
_VALIDATE: Final = "validate"
_NO_END: Final = frozenset({*ErrorKind, "judge_unreadable"})
"""Outcomes of a call after which the stage goes on with the next model."""


@dataclass(slots=True)
class _Suspect:
    """A settled request with paid calls that its route leaves out, and what its hops tell."""

    request_id: str
    appended_ms: int
    calls: list[EndedCall] = field(default_factory=list)
    attempts: Counter[bytes] = field(default_factory=Counter)
    """Hops by attempt."""
    endings: Counter[tuple[str, int | None]] = field(default_factory=Counter)
    """How often a stage was done with the task."""
    rests: int = 0
    """How often it was parked: after each rest it visits a stage once more."""

    def add(self, hop: Hop) -> None:
        if not _pays(hop.stage):
            return
        if hop.attempt_id is not None:
            self.attempts[hop.attempt_id.bytes] += 1
        self.rests += hop.outcome == "parked"
        if hop.outcome not in _NO_END:
            # A judge may see the answers of several tiers; every other stage that pays is one tier's or comes once.
            self.endings[hop.stage, hop.tier if hop.stage == _VALIDATE else None] += 1

    @property
    def was_redelivered(self) -> bool:
        """Whether a stage worked on the task more often than its way explains."""
        once_more = any(count > 1 + self.rests for count in self.endings.values())
        return once_more or any(count > 1 for count in self.attempts.values())


def _pays(stage: str) -> bool:
    return stage.partition(":")[0] in _PAYING


class UnroutedCalls:
    """Collects the paid calls that their request's result leaves out, over all partitions, and then reads the hops.

    A record that is delivered again may take another way: the model that was away at first answers now. Both ways are
    paid for, and the result has the one that came first.

    Args:
        findings: Where problems go.
        window: Within which copies are of one request.
    """

    def __init__(self, findings: Findings, window: Window) -> None:
        self._findings = findings
        self._window = window
        self._suspects: dict[bytes, list[_Suspect]] = {}

    def suspect(self, result: Result, call: EndedCall) -> None:
        """Take note of a call that ended before the result was written, and is not in its route."""
        appended_ms = result.source.timestamp_ms
        suspects = self._suspects.setdefault(identity(result.request_id, result.revision), [])
        for suspect in suspects:
            if suspect.appended_ms == appended_ms:
                break
        else:
            suspect = _Suspect(result.request_id, appended_ms)
            suspects.append(suspect)
        suspect.calls.append(call)

    def add_hops(self, hops: Hops, at_ms: int) -> None:
        """Take note of the steps of a request, by the time at which the broker has them, ms since the epoch."""
        for suspect in self._suspects.get(identity(hops.request_id, hops.revision), ()):
            if self._window.joins(at_ms, suspect.appended_ms):
                for hop in hops.hops:
                    suspect.add(hop)

    def finish(self) -> None:
        """Judge the calls by the hops of their requests."""
        for suspect in (suspect for suspects in self._suspects.values() for suspect in suspects):
            for call in suspect.calls:
                if call.is_routed:
                    # By the result of another use of the id.
                    continue
                about = f"request {suspect.request_id}, {call.ref}"
                if suspect.was_redelivered:
                    detail = f"{about}: the request was delivered again and took another way"
                    self._findings.add(Check.REDELIVERED, call.name, detail)
                else:
                    self._findings.add(Check.UNROUTED, call.name, f"{about}: paid, and in no route of the result")
