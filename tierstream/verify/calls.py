"""The journal against itself and against the providers' log. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from tierstream.verify.ended_calls import EndedCalls, pico_usd
from tierstream.verify.findings import Check, Findings
from tierstream.verify.identity import Window, identity
from tierstream.verify.rates import RatesAudit
from tierstream.verify.served import JournalledCall, ServedCalls, Tokens, judge_served
from tierstream.verify.shared_calls import SharedCalls
from topics.journal import CallEnded, CallStarted, Purpose


@dataclass(slots=True)
class CallCounts:
    """What the journal adds up to; a shared call has several records of its start and of its end."""

    starts: int = 0
    ends: int = 0
    attempts: int = 0
    cost_pico: int = 0
    shadows: int = 0
    """Ends of calls that were made for comparisons."""
    shadow_pico: int = 0


@dataclass(frozen=True, slots=True)
class CallRules:
    """What is allowed, and as of when.

    Attributes:
        window: Within which a call under the same attempt is of the same request.
        longest_call: Longest timeout of any model; calls that are younger are in flight.
        takeover: Before that nobody takes over the work of a process whose call is on the wire: it has heard from its
            group within half the session timeout.
        now: When the journal is read.
        wait_for_batches: Whether calls may wait for a batch of their provider, as long as the request has time.
    """

    window: Window
    longest_call: timedelta
    takeover: timedelta
    now: datetime
    wait_for_batches: bool = False

    def may_run(self, started_at: datetime, deadline: datetime) -> bool:
        """Whether a call may not have ended yet."""
        return started_at >= self.now - self.longest_call or (self.wait_for_batches and deadline > self.now)


@dataclass(slots=True)
class _Open:
    """A call without an end so far, for one of the requests that share it."""

    request_id: str
    ref: str
    started_at: datetime
    deadline: datetime
    started_ms: int
    moment_ms: int
    judged: bool
    suspicion: tuple[Check, str] | None = None
    """What is wrong with its start if it left. A process may find out only behind its start that it must not call."""


class CallBook:
    """Follows the journal of one partition in offset order; the results of the same partition come afterwards.

    Args:
        findings: Where problems go.
        counts: Figures over all partitions.
        rules: What is allowed.
        shared: Calls that several requests share, over all partitions.
        served: What the providers served; None: no log was given.
        rates: What calls may cost, over all partitions.
    """

    def __init__(
        self,
        findings: Findings,
        counts: CallCounts,
        rules: CallRules,
        *,
        shared: SharedCalls,
        served: ServedCalls | None,
        rates: RatesAudit,
    ) -> None:
        self.ended = EndedCalls(rules.window)
        self._findings = findings
        self._counts = counts
        self._rules = rules
        self._shared = shared
        self._served = served
        self._rates = rates
        self._open: dict[tuple[bytes, bytes], _Open] = {}
        """By call and attempt: requests that share a call may lie in the same partition."""
        self._started: dict[bytes, list[_Open]] = {}
        """Calls without an end, by attempt."""

    def add_started(self, call: CallStarted, at_ms: int, *, judged: bool = True) -> None:
        """Take note of a call that is about to leave.

        Args:
            call: The record.
            at_ms: When the broker appended it, ms since the epoch.
            judged: False before the time that is looked at.
        """
        attempt = call.attempt_id.bytes
        if (call.call_id.bytes, attempt) in self._open:
            # Who takes over a batch of a provider says once more what is in it: they are the same calls.
            return
        moment_ms = call.request_ms(at_ms)
        ref, times = f"{call.provider}/{call.model}", (call.started_at, call.deadline, at_ms, moment_ms)
        opened = _Open(call.request_id, ref, *times, judged)
        self._open[call.call_id.bytes, attempt] = opened
        if self._served is not None:
            self._served.record(call.call_id)
        if judged:
            self._counts.starts += 1
            opened.suspicion = self._suspect(call, moment_ms)
        self._started.setdefault(attempt, []).append(opened)

    def add_ended(self, call: CallEnded, at_ms: int, *, judged: bool = True) -> None:
        """Take note of how a call came out; the arguments are those of `add_started`."""
        attempt, request = call.attempt_id.bytes, identity(call.request_id, call.revision)
        opened = self._open.pop((call.call_id.bytes, attempt), None)
        if opened is not None:
            self._close(attempt, opened)
        if call.shares > 1:
            self._shared.add_end(call, judged=judged, start_judged=opened is not None and opened.judged)
        earlier = self.ended.of_attempt(request, call.attempt_id, call.request_ms(at_ms))
        has_left = self._has_left(call)
        if judged:
            self._counts.ends += 1
            self._counts.cost_pico += pico_usd(call.cost_usd)
            self._counts.attempts += not earlier
            if call.purpose is Purpose.SHADOW:
                self._counts.shadows += 1
                self._counts.shadow_pico += pico_usd(call.cost_usd)
            self._judge_end(call, opened)
            self._rates.add(call, at_ms)
            others = [end.started_ms for end in earlier if end.has_left]
            if has_left and others and not self._may_have_been_taken_over(call, opened, others):
                self._findings.add(Check.SURPLUS, str(call.call_id), _of(call, "its attempt had ended before"))
        started_ms = opened.started_ms if opened is not None else None
        self.ended.add(request, call, at_ms=at_ms, started_ms=started_ms, has_left=has_left, judged=judged)

    def finish(self) -> None:
        """Judge the calls that have no end; one that several requests share is named once."""
        for (call_bytes, _), call in self._open.items():
            is_first = self._shared.add_open(call_bytes, judged=call.judged)
            if is_first and call.judged:
                self._judge_open(UUID(bytes=call_bytes), call)

    def _close(self, attempt: bytes, opened: _Open) -> None:
        self._started[attempt].remove(opened)
        if not self._started[attempt]:
            del self._started[attempt]

    def _suspect(self, call: CallStarted, moment_ms: int) -> tuple[Check, str] | None:
        if self.ended.of_attempt(identity(call.request_id, call.revision), call.attempt_id, moment_ms):
            return Check.REPEATED, _of(call, f"attempt {call.attempt_id} had ended")
        others = self._started.get(call.attempt_id.bytes, ())
        if any(self._rules.window.joins(other.moment_ms, moment_ms) for other in others):
            return Check.DUPLICATE, _of(call, f"attempt {call.attempt_id} was already on the wire")
        return None

    def _may_have_been_taken_over(self, call: CallEnded, opened: _Open | None, others: list[int | None]) -> bool:
        """Whether one of two calls of an attempt was on the wire of a process that was stopped, and is alive again.

        A classification is never asked for again: which start is the first in the journal decides who calls.
        """
        if call.purpose is Purpose.CLASSIFY or opened is None:
            return False
        if opened.suspicion is not None and opened.suspicion[0] is Check.REPEATED:
            return False
        takeover_ms = self._rules.takeover.total_seconds() * 1000
        return all(other is None or abs(opened.started_ms - other) >= takeover_ms for other in others)

    def _judge_end(self, call: CallEnded, opened: _Open | None) -> None:
        if opened is None:
            self._findings.add(Check.UNRECORDED, str(call.call_id), _of(call, "it ended and never started"))
        elif opened.suspicion is not None and self._has_left(call):
            self._findings.add(opened.suspicion[0], str(call.call_id), opened.suspicion[1])
        if problem := _cost_problem(call):
            self._findings.add(Check.MISPRICED, str(call.call_id), _of(call, problem))
        if self._served is not None and call.shares == 1:
            usage = call.usage
            ours = JournalledCall(
                call.call_id,
                _about(call),
                tokens=None if usage is None else Tokens.of(usage),
                is_estimated=usage is not None and usage.source == "estimated",
                is_answered=call.error is None,
            )
            judge_served(self._findings, ours, self._served)

    def _has_left(self, call: CallEnded) -> bool:
        """Whether a call was sent: what failed may never have reached the provider, whose log tells."""
        return call.has_left and (call.error is None or self._served is None or call.call_id in self._served)

    def _judge_open(self, call_id: UUID, call: _Open) -> None:
        name, about = str(call_id), f"request {call.request_id}, {call.ref}, started {call.started_at.isoformat()}"
        if self._rules.may_run(call.started_at, call.deadline):
            self._findings.add(Check.IN_FLIGHT, name, about)
        elif self._served is not None and call_id not in self._served:
            self._findings.add(Check.UNMADE, name, about)
        elif self._served is None and call.suspicion is not None:
            detail = f"{call.suspicion[1]}; whether it left only the providers' log can tell"
            self._findings.add(Check.UNKNOWN, name, detail)
        else:
            self._findings.add(Check.UNKNOWN, name, about)
        if self._served is not None and call.suspicion is not None and call_id in self._served:
            self._findings.add(call.suspicion[0], name, call.suspicion[1])


def _cost_problem(call: CallEnded) -> str | None:
    if call.usage is None:
        if call.cost_usd:
            return f"costs ${call.cost_usd} without usage"
        # A shared call is judged as a whole.
        return "was answered and has no usage" if call.error is None and call.shares == 1 else None
    if call.rates is None:
        return "has usage and no rates"
    expected = call.rates.cost(call.usage)
    return None if call.cost_usd == expected else f"costs ${call.cost_usd}, rates times usage are ${expected}"


def _of(call: CallStarted | CallEnded, detail: str) -> str:
    return f"{_about(call)}: {detail}"


def _about(call: CallStarted | CallEnded) -> str:
    return f"request {call.request_id}, {call.provider}/{call.model}"
