"""Calls that several requests share, put together again: their records lie in several partitions. Pure."""

from dataclasses import dataclass, field
from uuid import UUID

from tierstream.verify.findings import Check, Findings
from tierstream.verify.served import JournalledCall, ServedCalls, Tokens, judge_served
from topics.journal import CallEnded, Usage


@dataclass(slots=True)
class _Shared:
    """What the records of one call add up to."""

    about: str
    shares: int
    parts: int = 0
    parts_with_usage: int = 0
    tokens: Tokens = field(default_factory=lambda: Tokens(0, 0, 0))
    is_estimated: bool = False
    is_answered: bool = False
    starts: int = 0
    """Records that were judged, like `ends`; the others were read for memory only."""
    ends: int = 0

    def add(self, usage: Usage) -> None:
        """Add the tokens of a part."""
        self.parts_with_usage += 1
        self.tokens = self.tokens + Tokens.of(usage)
        self.is_estimated |= usage.source == "estimated"


class SharedCalls:
    """Collects the parts of shared calls over all partitions, and judges each call by the sum of its parts.

    Args:
        findings: Where problems go.
        served: What the providers served; None: no log was given.
    """

    def __init__(self, findings: Findings, served: ServedCalls | None) -> None:
        self.extra_starts = 0
        """Judged CallStarted beyond the first of their call; known once `finish` has run."""
        self.extra_ends = 0
        self._findings = findings
        self._served = served
        self._calls: dict[bytes, _Shared] = {}
        self._open: dict[bytes, list[bool]] = {}
        """Parts without an end by call: whether each was judged."""

    def __len__(self) -> int:
        return len(self._calls)

    def add_end(self, call: CallEnded, *, judged: bool, start_judged: bool) -> None:
        """Take note of the part that a request has in a call."""
        shared = self._calls.get(call.call_id.bytes)
        if shared is None:
            about = f"request {call.request_id} and others, {call.provider}/{call.model}"
            shared = self._calls[call.call_id.bytes] = _Shared(about, call.shares)
        shared.parts += 1
        shared.shares = max(shared.shares, call.shares)
        shared.starts += start_judged
        shared.ends += judged
        shared.is_answered |= call.error is None
        if call.usage is not None:
            shared.add(call.usage)

    def add_open(self, call_id: bytes, *, judged: bool) -> bool:
        """Take note of a part without an end; return whether it is the first of its call."""
        parts = self._open.setdefault(call_id, [])
        parts.append(judged)
        return len(parts) == 1

    def finish(self) -> None:
        """Judge every call by all of its parts."""
        for call_id, shared in self._calls.items():
            starts = shared.starts + sum(self._open.get(call_id, ()))
            self.extra_starts += max(starts - 1, 0)
            self.extra_ends += max(shared.ends - 1, 0)
            if shared.ends:
                self._judge(UUID(bytes=call_id), shared)
        for call_id in self._open.keys() - self._calls.keys():
            self.extra_starts += max(sum(self._open[call_id]) - 1, 0)

    def _judge(self, call_id: UUID, shared: _Shared) -> None:
        if shared.parts < shared.shares and shared.parts + len(self._open.get(call_id.bytes, ())) >= shared.shares:
            # The process died between the parts: what is missing is of unknown outcome, and was named as such.
            return
        if shared.parts != shared.shares:
            self._add(Check.MISPRICED, call_id, shared, f"{shared.parts} of its {shared.shares} shares are recorded")
        elif shared.parts_with_usage not in {0, shared.parts}:
            self._add(Check.MISPRICED, call_id, shared, "only some of its shares have usage")
        elif shared.is_answered and not shared.parts_with_usage:
            self._add(Check.MISPRICED, call_id, shared, "it was answered and has no usage")
        elif self._served is not None:
            ours = JournalledCall(
                call_id,
                shared.about,
                tokens=shared.tokens if shared.parts_with_usage else None,
                is_estimated=shared.is_estimated,
                is_answered=shared.is_answered,
                said_by=f"its {shared.shares} shares are",
            )
            judge_served(self._findings, ours, self._served)

    def _add(self, check: Check, call_id: UUID, shared: _Shared, detail: str) -> None:
        self._findings.add(check, str(call_id), f"{shared.about}: {detail}")
