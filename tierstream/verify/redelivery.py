"""Paid calls that are in no route: a request that was delivered again explains them, and its hops tell. Pure."""

from dataclasses import dataclass, field

from tierstream.verify.ended_calls import EndedCall
from tierstream.verify.findings import Check, Findings
from tierstream.verify.identity import Window, identity
from topics.events import DROPPED, Hop, Hops
from topics.results import Result


@dataclass(slots=True)
class _Suspect:
    """A settled request with paid calls that its route leaves out, and what its hops tell."""

    request_id: str
    appended_ms: int
    calls: list[EndedCall] = field(default_factory=list)
    dropped: set[bytes] = field(default_factory=set)
    """Attempts that copies of it had made which came to nothing."""

    def add(self, hop: Hop) -> None:
        if hop.outcome == DROPPED and hop.attempt_id is not None:
            self.dropped.add(hop.attempt_id.bytes)


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
                if call.attempt in suspect.dropped:
                    detail = f"{about}: the request was delivered again and took another way"
                    self._findings.add(Check.REDELIVERED, call.name, detail)
                else:
                    self._findings.add(Check.UNROUTED, call.name, f"{about}: paid, and in no route of the result")
