"""Results against the journal: what they cost, whose answer they give, and which paid calls they leave out. Pure."""

from collections.abc import Container
from decimal import Decimal
from typing import Final

from tierstream.verify.ended_calls import Answer, EndedCall, EndedCalls, pico_usd, usd
from tierstream.verify.findings import Check, Findings
from tierstream.verify.identity import identity
from tierstream.verify.redelivery import UnroutedCalls
from topics.results import Result, ResultStatus
from topics.tasks import Attempt

_ANSWERED: Final = frozenset({ResultStatus.OK, ResultStatus.DEGRADED})


class AnswerBook:
    """Compares the results of one partition with the calls of the same partition, all of which were read before.

    Args:
        findings: Where problems go.
        ended: The calls.
        unrouted: Paid calls that are in no route, over all partitions.
        raised: Ids of requests one of whose records made its handler raise, as the dead letters say.
    """

    def __init__(
        self, findings: Findings, ended: EndedCalls, *, unrouted: UnroutedCalls, raised: Container[str]
    ) -> None:
        self._findings = findings
        self._ended = ended
        self._unrouted = unrouted
        self._raised = raised

    def add_result(self, result: Result, at_ms: int, *, judged: bool = True) -> None:
        """Judge a result.

        Args:
            result: As a read_committed reader gets it.
            at_ms: When the broker appended it, ms since the epoch.
            judged: False before the time that is looked at: its calls may come later.
        """
        request, asked_ms = identity(result.request_id, result.revision), result.source.timestamp_ms
        routed = [self._ended.of_attempt(request, line.attempt_id, asked_ms) for line in result.route]
        for ends in routed:
            for end in ends:
                end.is_routed = True
        if judged:
            self._judge_costs(result, routed)
            if result.status in _ANSWERED:
                self._judge_answer(result, request)
        if result.error is not None and result.error.code == "internal" and result.request_id in self._raised:
            # What its handler had paid when it raised is in no route, and what it had been given is lost.
            return
        if judged and result.status not in _ANSWERED:
            self._judge_want_of_answer(result, routed, at_ms)
        self._judge_left_out(result, request, at_ms)

    def _judge_costs(self, result: Result, routed: list[list[EndedCall]]) -> None:
        total = sum((line.cost_usd for line in result.route), start=Decimal(0))
        if result.cost_usd != total:
            detail = f"the result costs ${result.cost_usd}, its route ${total}"
            self._findings.add(Check.MISPRICED, result.request_id, detail)
        for line, ends in zip(result.route, routed, strict=True):
            self._judge_line(result.request_id, line, ends)

    def _judge_line(self, request_id: str, line: Attempt, ends: list[EndedCall]) -> None:
        if not ends:
            detail = f"its route names attempt {line.attempt_id}, the journal not"
            self._findings.add(Check.UNRECORDED, request_id, detail)
        elif any(end.is_shadow for end in ends):
            self._findings.add(Check.SHADOWED, request_id, f"its route names attempt {line.attempt_id} of a shadow")
        elif all(end.cost_pico != pico_usd(line.cost_usd) for end in ends):
            booked = usd(ends[0].cost_pico)
            detail = f"attempt {line.attempt_id} costs ${line.cost_usd} in the route and ${booked} in the journal"
            self._findings.add(Check.MISPRICED, request_id, detail)

    def _judge_answer(self, result: Result, request: bytes) -> None:
        attempt = result.attempt_id
        is_routed = attempt is not None and attempt in {line.attempt_id for line in result.route}
        earlier = [] if is_routed else self._given_earlier(result)
        if not is_routed and not earlier:
            self._findings.add(Check.UNROUTED, result.request_id, f"its route leaves out its own attempt, {attempt}")
        if attempt is None:
            return
        known = earlier or self._ended.of_attempt(request, attempt, result.source.timestamp_ms)
        answers = [end.answer for end in known if end.answer is not None]
        given = Answer.of(result)
        if given in answers or not known:
            # An attempt that the journal does not know is named by its line, or by the lack of one.
            return
        if any(answer.said == given.said for answer in answers):
            detail = f"who gave it, or its usage, is not what the journal says of attempt {attempt}"
        else:
            detail = f"what it says is not what attempt {attempt} says in the journal"
        self._findings.add(Check.FOREIGN_ANSWER, result.request_id, detail)

    def _given_earlier(self, result: Result) -> list[EndedCall]:
        """Return the calls of an earlier revision that gave the answer of this one, and had been paid for there.

        An operator may send a record again that holds an answer, such as one that waited for a judge.
        """
        attempt, asked_ms = result.attempt_id, result.source.timestamp_ms
        if attempt is None:
            return []
        earlier = (identity(result.request_id, revision) for revision in range(result.revision))
        return [end for request in earlier for end in self._ended.of_attempt(request, attempt, asked_ms)]

    def _judge_want_of_answer(self, result: Result, routed: list[list[EndedCall]], at_ms: int) -> None:
        for ends in routed:
            known = [end for end in ends if end.at_ms < at_ms]
            # Of two calls of an attempt the one that failed may be the one that was built on.
            if known and all(end.answer is not None and not end.answer.is_blank for end in known):
                detail = f"it ended as {result.status.value}, and {known[0].ref} had answered in call {known[0].name}"
                self._findings.add(Check.WITHHELD, result.request_id, detail)

    def _judge_left_out(self, result: Result, request: bytes, at_ms: int) -> None:
        for end in self._ended.of_copy(request, result.source.timestamp_ms):
            if end.is_routed or end.is_shadow or not end.judged or not end.is_paid:
                continue
            if end.at_ms >= at_ms:
                detail = f"request {result.request_id}, {end.ref}: it ended when the request had its result"
                self._findings.add(Check.REDELIVERED, end.name, detail)
            else:
                self._unrouted.suspect(result, end)
