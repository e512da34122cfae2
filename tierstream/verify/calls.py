"""The journal against itself, against the providers' log and against the results' routes. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from tierstream.verify.findings import Check, Findings
from tierstream.verify.served import ServedCalls, Tokens
from tierstream.verify.shared_calls import SharedCalls
from topics.journal import CallEnded, CallStarted, Purpose
from topics.results import Result

_PICO = 10**12


def pico_usd(cost: Decimal) -> int:
    """Return the cost in millionths of a millionth of a dollar: an exact sum, whatever its size."""
    return int(cost.scaleb(12))


@dataclass(slots=True)
class CallCounts:
    """What the journal adds up to; a shared call has several records of its start and of its end."""

    starts: int = 0
    ends: int = 0
    attempts: int = 0
    cost_pico: int = 0


@dataclass(slots=True)
class _Open:
    """A call without an end so far, for one of the requests that share it."""

    request_id: str
    ref: str
    started_at: datetime
    judged: bool
    unproved: tuple[Check, str] | None = None
    """What is wrong with its start unless it never left, which its end tells."""


class CallBook:
    """Follows the journal of one partition in offset order; the results of the same partition come afterwards.

    Args:
        findings: Where problems go.
        counts: Figures over all partitions.
        shared: Calls that several requests share, over all partitions.
        served: What the providers served; None: no log was given.
        longest_call: Longest timeout of any model.
        now: Calls that are younger than the longest timeout are in flight.
    """

    def __init__(
        self,
        findings: Findings,
        counts: CallCounts,
        *,
        shared: SharedCalls,
        served: ServedCalls | None,
        longest_call: timedelta,
        now: datetime,
    ) -> None:
        self._findings = findings
        self._counts = counts
        self._shared = shared
        self._served = served
        self._in_flight_since = now - longest_call
        self._open: dict[tuple[bytes, bytes], _Open] = {}
        """By call and attempt: requests that share a call may lie in the same partition."""
        self._started: dict[bytes, int] = {}
        """Calls without an end, by attempt."""
        self._ended: dict[bytes, int] = {}
        """Cost of the first ended call of each attempt."""
        self._further: dict[bytes, list[int]] = {}
        """Costs of further ended calls of an attempt."""
        self._unmade: set[bytes] = set()
        """Attempts all of whose ends are of calls that never left."""

    def add_started(self, call: CallStarted, *, judged: bool = True) -> None:
        """Take note of a call that is about to leave; `judged` is False before the time that is looked at."""
        attempt = call.attempt_id.bytes
        opened = _Open(call.request_id, f"{call.provider}/{call.model}", call.started_at, judged)
        self._open[call.call_id.bytes, attempt] = opened
        if self._served is not None:
            self._served.record(call.call_id)
        if judged:
            self._counts.starts += 1
            self._judge_start(call, attempt, opened)
        self._started[attempt] = self._started.get(attempt, 0) + 1

    def add_ended(self, call: CallEnded, *, judged: bool = True) -> None:
        """Take note of how a call came out."""
        attempt, cost = call.attempt_id.bytes, pico_usd(call.cost_usd)
        opened = self._open.pop((call.call_id.bytes, attempt), None)
        if opened is not None:
            self._close(attempt)
        if call.shares > 1:
            self._shared.add_end(call, judged=judged, start_judged=opened is not None and opened.judged)
        if judged:
            self._counts.ends += 1
            self._counts.cost_pico += cost
            self._judge_end(call, opened)
        is_first = attempt not in self._ended
        is_surplus = call.has_left and not is_first and attempt not in self._unmade
        if call.has_left:
            self._unmade.discard(attempt)
        elif is_first:
            self._unmade.add(attempt)
        if is_first:
            self._counts.attempts += judged
            self._ended[attempt] = cost
            return
        self._further.setdefault(attempt, []).append(cost)
        if judged and is_surplus:
            self._findings.add(Check.SURPLUS, str(call.call_id), _of(call, "its attempt had ended before"))

    def add_result(self, result: Result) -> None:
        """Compare the costs of a result with the journal."""
        total = sum((attempt.cost_usd for attempt in result.route), start=Decimal(0))
        if result.cost_usd != total:
            detail = f"the result costs ${result.cost_usd}, its route ${total}"
            self._findings.add(Check.MISPRICED, result.request_id, detail)
        for line in result.route:
            self._compare_line(result.request_id, line.attempt_id, line.cost_usd)

    def finish(self) -> None:
        """Judge the calls that have no end; one that several requests share is named once."""
        for (call_id, _), call in self._open.items():
            if not self._shared.add_open(call_id, judged=call.judged):
                continue
            is_late = call.started_at < self._in_flight_since
            detail = f"request {call.request_id}, {call.ref}, started {call.started_at.isoformat()}"
            self._findings.add(Check.UNKNOWN if is_late else Check.IN_FLIGHT, str(UUID(bytes=call_id)), detail)

    def _close(self, attempt: bytes) -> None:
        self._started[attempt] -= 1
        if not self._started[attempt]:
            del self._started[attempt]

    def _judge_start(self, call: CallStarted, attempt: bytes, opened: _Open) -> None:
        if attempt in self._ended:
            found = Check.REPEATED, _of(call, f"attempt {call.attempt_id} had ended")
        elif attempt in self._started:
            found = Check.DUPLICATE, _of(call, f"attempt {call.attempt_id} was already on the wire")
        else:
            return
        if call.purpose is Purpose.CLASSIFY:
            # It learns only from the order of the starts in the journal that another process was there first.
            opened.unproved = found
        else:
            self._findings.add(found[0], str(call.call_id), found[1])

    def _judge_end(self, call: CallEnded, opened: _Open | None) -> None:
        if opened is None:
            self._findings.add(Check.UNRECORDED, str(call.call_id), _of(call, "it ended and never started"))
        elif opened.unproved is not None and call.has_left:
            self._findings.add(opened.unproved[0], str(call.call_id), opened.unproved[1])
        if problem := _cost_problem(call):
            self._findings.add(Check.MISPRICED, str(call.call_id), _of(call, problem))
        if self._served is not None and call.shares == 1:
            self._compare_served(call, self._served)

    def _compare_served(self, call: CallEnded, served: ServedCalls) -> None:
        billed, usage = served.tokens(call.call_id), call.usage
        if usage is None:
            if billed is not None:
                self._findings.add(Check.UNBILLED, str(call.call_id), _of(call, f"the provider billed {billed}"))
        elif call.call_id not in served:
            self._findings.add(Check.UNSERVED, str(call.call_id), _of(call, "the provider's log does not hold it"))
        elif usage.source == "provider" and (ours := Tokens.of(usage)) != billed:
            said = billed if billed is not None else "nothing"
            detail = f"the journal says {ours}, the provider billed {said}"
            self._findings.add(Check.MISPRICED, str(call.call_id), _of(call, detail))

    def _compare_line(self, request_id: str, attempt_id: UUID, cost: Decimal) -> None:
        first = self._ended.get(attempt_id.bytes)
        if first is None:
            self._findings.add(Check.UNRECORDED, request_id, f"its route names attempt {attempt_id}, the journal not")
        elif pico_usd(cost) != first and pico_usd(cost) not in self._further.get(attempt_id.bytes, ()):
            detail = f"attempt {attempt_id} costs ${cost} in the route and ${Decimal(first) / _PICO} in the journal"
            self._findings.add(Check.MISPRICED, request_id, detail)


def judge_unrecorded(findings: Findings, served: ServedCalls) -> None:
    """Name the served calls that no journal record announced."""
    for call_id in served.unrecorded():
        findings.add(Check.UNRECORDED, str(call_id), "the provider served it, and it has no CallStarted")


def _cost_problem(call: CallEnded) -> str | None:
    if call.usage is None:
        return None if not call.cost_usd else f"costs ${call.cost_usd} without usage"
    if call.rates is None:
        return "has usage and no rates"
    expected = call.rates.cost(call.usage)
    return None if call.cost_usd == expected else f"costs ${call.cost_usd}, rates times usage are ${expected}"


def _of(call: CallStarted | CallEnded, detail: str) -> str:
    return f"request {call.request_id}, {call.provider}/{call.model}: {detail}"
