"""Results against the journal: what they cost, whose answer they give, and which paid calls they leave out. Pure."""

from collections.abc import Container
from decimal import Decimal
from typing import Final

from tierstream.verify.ended_calls import Answer, EndedCall, EndedCalls, pico_usd
from tierstream.verify.findings import Check, Findings
from tierstream.verify.identity import identity
from tierstream.verify.redelivery import UnroutedCalls
from topics.results import Result, ResultStatus
from topics.tasks import Attempt

_PICO: Final = 10**12
_ANSWERED: Final = frozenset({ResultStatus.OK, ResultStatus.DEGRADED})


class AnswerBook:
    """Compares the results of one partition with the calls of the same partition, all of which were read before.

    Args:
        findings: Where problems go.
        ended: The calls.
        unrouted: Paid calls that are in no route, over all partitions.
        raised: Requests one of whose records made its handler raise, as the dead letters say.
    """

    def __init__(
        self, findings: Findings, ended: EndedCalls, *, unrouted: UnroutedCalls, raised: Container[bytes]
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
        self._judge_calls(result, request, at_ms, judged=judged)

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
        elif all(end.cost_pico != pico_usd(line.cost_usd) for end in ends):
            booked = Decimal(ends[0].cost_pico) / _PICO
            detail = f"attempt {line.attempt_id} costs ${line.cost_usd} in the route and ${booked} in the journal"
            self._findings.add(Check.MISPRICED, request_id, detail)

    def _judge_answer(self, result: Result, request: bytes) -> None:
        attempt = result.attempt_id
        if attempt is None or attempt not in {line.attempt_id for line in result.route}:
            self._findings.add(Check.UNROUTED, result.request_id, f"its route leaves out its own attempt, {attempt}")
        if attempt is None:
            return
        known = self._ended.of_attempt(request, attempt, result.source.timestamp_ms)
        answers = [end.answer for end in known if end.answer is not None]
        given = Answer.of(result)
        if given in answers or not known:
            # An attempt that the journal does not know is named by its line, or by the lack of one.
            return
        if any(answer.content == given.content for answer in answers):
            detail = f"who gave it, or its usage, is not what the journal says of attempt {attempt}"
        else:
            detail = f"its content is not that of attempt {attempt} in the journal"
        self._findings.add(Check.FOREIGN_ANSWER, result.request_id, detail)

    def _judge_calls(self, result: Result, request: bytes, at_ms: int, *, judged: bool) -> None:
        if result.error is not None and result.error.code == "internal" and request in self._raised:
            # What its handler had paid when it raised is in no route.
            return
        for end in self._ended.of_copy(request, result.source.timestamp_ms):
            if end.at_ms >= at_ms:
                self._note_late(result, end)
            elif not end.is_routed and end.judged and end.is_paid:
                self._unrouted.suspect(result, end)
            elif end.is_routed and judged and result.status not in _ANSWERED and _is_answer(end):
                detail = f"it ended as {result.status.value}, and {end.ref} had answered in call {end.name}"
                self._findings.add(Check.WITHHELD, result.request_id, detail)

    def _note_late(self, result: Result, end: EndedCall) -> None:
        if not end.is_routed and end.judged and end.is_paid:
            detail = f"request {result.request_id}, {end.ref}: it ended when the request had its result"
            self._findings.add(Check.REDELIVERED, end.name, detail)


def _is_answer(end: EndedCall) -> bool:
    """Whether there was something to give; an empty answer is none."""
    return end.answer is not None and not end.answer.is_blank
