"""The way of a made request through the stages: the records that they would write of it, and when."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any, Final
from uuid import UUID

from streams.calls.paid_calls import attempt_of
from tierstream.bench.ledger_models import Models, Ref, Trip, random_id
from tierstream.bench.ledger_population import Asked
from topics.base import Record
from topics.events import Hop, Hops
from topics.journal import CallEnded, CallStarted, Purpose, Usage, attempt_id
from topics.requests import ServiceClass
from topics.results import Result, ResultError, ResultStatus
from topics.tasks import CLASSIFY, JUDGES, SAMPLES, Attempt, Source

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CLASSIFIER: Final = "requests/1:0c131859"
_DEADLINE_MS: Final = 120_000
_CHECKS: Final = ("hedge", "schema", "truncated", "broken_off", "unsupported")
_FOUND_BY_CHECKS: Final = 0.5
"""Share of bad answers that a free check finds."""
_FALSE_ALARM: Final = 0.008
_SAMPLED: Final = 0.2
_PASSES_GOOD, _PASSES_BAD = 0.97, 0.2
"""How often the judge passes an answer that is good, or bad."""
_UNKNOWN: Final = 0.0004
"""Calls whose process dies while they are on the wire; the attempt travels again."""
_RESTART_MS: Final = 9_000.0
_TOP: Final = 3
_WORTH: Final = {1.0: "candidate", 0.0: "incumbent", 0.5: "tie"}


@dataclass(frozen=True, slots=True)
class Part:
    """A request's part of a call that several requests share."""

    trip: Trip
    call_id: UUID
    usage: Usage
    cost_usd: Decimal
    shares: int


class Way:
    """One revision of a request; the methods are the stages that it meets.

    Args:
        asked: The request.
        draw: Decides what happens.
        models: Who is asked, how long they take and what they cost.
        source: Where the revision was asked for.
        revision: Of the request.
        part: Of a shared call, which is its first attempt.
    """

    def __init__(
        self,
        asked: Asked,
        draw: Random,
        models: Models,
        source: Source,
        revision: int = 0,
        part: Part | None = None,
    ) -> None:
        self.records: list[tuple[float, Record]] = []
        """With the time of their append, ms since the epoch."""
        self._asked = asked
        self._draw = draw
        self._models = models
        self._source = source
        self._revision = revision
        self._part = part
        self._ms = float(source.timestamp_ms)
        self._tier = asked.sent_to
        self._best: CallEnded | None = None
        self._hops: list[Hop] = []
        self._route: list[Attempt] = []
        self._tries: dict[str, int] = {}

    def reject(self) -> Result:
        """End a request that can't be served."""
        began, queue_ms = self._begin()
        self._step(CLASSIFY, began, queue_ms, "rejected")
        error = ResultError(code="invalid", message="response_schema: it is none")
        return self._settle(ResultStatus.REJECTED, error=error)

    def run(self) -> Result:
        """Take the request through all stages to its result."""
        why = self._classify()
        if self._models.rests(self._draw):
            self._park()
        while True:
            ended = self._infer(why)
            if ended is None and self._tier == _TOP:
                return self._nobody()
            if ended is None:
                why = self._promote()
                continue
            reason = self._problem(ended, self._route[-1].outcome)
            if reason is None:
                return self._settle(ResultStatus.OK, ended)
            self._best = ended
            began, queue_ms = self._begin()
            if self._tier == _TOP:
                self._step("escalate", began, queue_ms, "exhausted", tier=self._tier, detail=reason)
                return self._settle(ResultStatus.DEGRADED, ended, reason=reason)
            self._step("escalate", began, queue_ms, "escalated", tier=self._tier + 1, detail=reason)
            why = f"escalated from tier {self._tier}: {reason}"
            self._tier += 1

    def retry(self, tier: int) -> Result:
        """Answer a request anew, one tier above the one whose answer somebody did not like."""
        self._tier = min(tier + 1, _TOP)
        ended = self._infer(f"feedback on revision {self._revision - 1}, tier {tier}")
        return self._nobody() if ended is None else self._settle(ResultStatus.OK, ended)

    def compare(self, result: Result) -> None:
        """Compare the answer with a candidate's; the result is there already."""
        began, queue_ms = self._begin()
        candidate = self._paid("shadow", Purpose.SHADOW, 1, self._verdict(self._models.candidate))
        judge, scores = self._models.judge(result.provider or ""), []
        for place in ("A", "B"):
            said = self._paid("shadow", Purpose.SHADOW, 1, self._verdict(judge))
            scores.append(self._draw.choice(tuple(_WORTH)))
            detail = f"cheaper: the candidate as {place}: {_WORTH[scores[-1]]}"
            self._step("shadow", began, queue_ms, "compared", tier=1, **_of_call(said), detail=detail)
        outcome = {1.0: "win", 0.0: "loss"}.get(scores[0], "tie") if scores[0] == scores[1] else "tie"
        detail = f"cheaper: {_WORTH[scores[0]]} / {_WORTH[scores[1]]}"
        more = {**_of_call(candidate), "scores": tuple(scores), "detail": detail}
        self._step("shadow", began, queue_ms, outcome, tier=1, **more)
        self._publish_hops()

    def say(self, result: Result, kind: str, detail: str) -> None:
        """Tell what somebody says of a result."""
        of_result = {name: getattr(result, name) for name in ("tier", "provider", "model", "attempt_id")}
        began, self._ms = self._ms, self._ms + 1.2
        scores = (1.0 if kind == "thumbs_up" else 0.0,)
        self._step("feedback", began, 0.0, kind, **of_result, scores=scores, detail=detail)
        self._publish_hops()

    def _classify(self) -> str:
        asked, classifier = self._asked, _CLASSIFIER
        began, queue_ms = self._begin()
        if asked.has_vote:
            vote = self._paid(CLASSIFY, Purpose.CLASSIFY, 1, self._verdict(self._models.voter))
            self._route.append(attempt_of(vote, CLASSIFY, "ok"))
            classifier = f"{_CLASSIFIER} then {vote.provider}/{vote.model} classify/1"
        decided = {"rule": asked.rule, "classifier": classifier, "scores": _scores(self._draw, self._tier)}
        self._step(CLASSIFY, began, queue_ms, "routed", tier=self._tier, **decided, detail=asked.rule)
        return f"rule {asked.rule}" if asked.rule else f"classifier {classifier}"

    def _park(self) -> None:
        """Rest because no provider is to be had, and come back; the steps so far are published."""
        began, queue_ms = self._begin()
        reason = f"{'/'.join(self._models.voter)}: breaker_open"
        self._step(f"infer:{self._tier}", began, queue_ms, "parked", tier=self._tier, detail=reason)
        self._publish_hops()
        since, self._ms = self._ms, self._ms + 2000.0 * self._draw.randint(1, 8)
        self._step("parked", self._ms, round(self._ms - since, 3), "returned", tier=self._tier, detail=reason)

    def _promote(self) -> str:
        reason = self._route[-1].outcome
        self._step(f"infer:{self._tier}", self._ms, 0.0, "promoted", tier=self._tier + 1, detail=reason)
        self._tier += 1
        return f"promoted from tier {self._tier - 1}: {reason}"

    def _infer(self, why: str) -> CallEnded | None:
        """Ask the models of the tier; None where none of them answers."""
        stage = f"infer:{self._tier}"
        began, queue_ms = self._begin()
        chain = self._models.chain(self._tier, self._draw) if self._part is None else [self._part.trip.ref]
        for place, ref in enumerate(chain):
            if place:
                why = f"fallback: {self._route[-1].provider} {self._route[-1].outcome}"
            ended = self._paid(stage, Purpose.INFER, self._tier, self._answer(ref))
            outcome = ended.error.kind if ended.error is not None else self._check(ended)
            self._route.append(attempt_of(ended, why, outcome))
            batched = {"batch_size": ended.batch_size, "batch_wait_ms": ended.batch_wait_ms, "shares": ended.shares}
            self._step(stage, began, queue_ms, outcome, tier=self._tier, **_of_call(ended), **batched, detail=why)
            if ended.error is None:
                return ended
        return None

    def _check(self, ended: CallEnded) -> str:
        """Return the outcome of an answer: the check that it fails, or ok."""
        is_bad = ended.tier < self._asked.needs
        found = self._draw.random() < (_FOUND_BY_CHECKS if is_bad else _FALSE_ALARM)
        return self._draw.choice(_CHECKS) if found else "ok"

    def _problem(self, ended: CallEnded, outcome: str) -> str | None:
        """Say why an answer is not good enough, after checks and perhaps a judge; None: nobody found anything."""
        if outcome != "ok":
            return f"check: {outcome}"
        asked = self._asked
        if not asked.is_critical and self._draw.random() >= (_SAMPLED if asked.judged is None else asked.judged):
            return None
        began, queue_ms = self._begin()
        verdict = self._paid(
            "validate", Purpose.JUDGE, ended.tier, self._verdict(self._models.judge(ended.provider), ended)
        )
        passes = self._draw.random() < (_PASSES_BAD if ended.tier < asked.needs else _PASSES_GOOD)
        said, looked = ("judge_pass" if passes else "judge_fail"), (JUDGES if asked.is_critical else SAMPLES)
        self._route.append(attempt_of(verdict, looked, said))
        detail = f"{looked}; confidence {self._draw.uniform(0.6, 1):.2f}"
        more = {**_of_call(verdict), "scores": (1.0 if passes else 0.0,), "detail": detail}
        self._step("validate", began, queue_ms, said, tier=ended.tier, **more)
        return None if passes else "judge: fail"

    def _nobody(self) -> Result:
        if self._best is not None:
            return self._settle(ResultStatus.DEGRADED, self._best, reason="no provider answered")
        error = ResultError(code="no_provider", message=f"no provider answered, {len(self._route)} attempts")
        return self._settle(ResultStatus.FAILED, error=error)

    def _settle(
        self,
        status: ResultStatus,
        ended: CallEnded | None = None,
        *,
        reason: str | None = None,
        error: ResultError | None = None,
    ) -> Result:
        began, queue_ms = self._begin()
        of_answer = (
            {}
            if ended is None
            else {
                name: getattr(ended, name)
                for name in ("attempt_id", "tier", "provider", "model", "finish_reason", "usage", "content")
            }
        )
        self._step(
            "settle", began, queue_ms, status.value, tier=of_answer.get("tier"), attempt_id=of_answer.get("attempt_id")
        )
        self._publish_hops()
        asked, is_known = self._asked, status is not ResultStatus.REJECTED
        result = Result(
            request_id=asked.request_id,
            revision=self._revision,
            status=status,
            **of_answer,
            error=error,
            reason=reason,
            cost_usd=sum((line.cost_usd for line in self._route), start=Decimal(0)),
            provider_ms=round(sum(line.provider_ms for line in self._route), 3),
            route=tuple(self._route),
            source=self._source,
            signature=asked.signature if is_known else None,
            prefix=asked.prefix if is_known else None,
            prefix_tokens=asked.prefix_tokens if is_known else 0,
            latency_ms=round(self._ms - self._source.timestamp_ms, 3),
            settled_at=_at(self._ms),
            **(asked.dimensions() if is_known else {}),
        )
        self.records.append((self._ms + 1, result))
        return result

    def _answer(self, ref: Ref) -> Trip:
        if self._part is not None:
            return self._part.trip
        asked = self._asked
        given = Usage(input=asked.input_tokens, output=asked.output_tokens, cached=asked.prefix_tokens)
        streams = asked.service_class is ServiceClass.INTERACTIVE
        return self._models.answer(ref, given, self._ms, self._draw, streams=streams)

    def _verdict(self, ref: Ref, ended: CallEnded | None = None) -> Trip:
        answer = ended.usage.output if ended is not None and ended.usage is not None else 0
        tokens = 180 + self._asked.input_tokens - self._asked.prefix_tokens + answer
        return self._models.verdict(ref, tokens, self._ms, self._draw)

    def _paid(self, stage: str, purpose: Purpose, tier: int, trip: Trip) -> CallEnded:
        """Journal a call, and be where it ends."""
        n = self._tries[stage] = self._tries.get(stage, -1) + 1
        part = self._part if purpose is Purpose.INFER else None
        self._ms += trip.batch_wait_ms
        if purpose is Purpose.INFER and part is None and self._draw.random() < _UNKNOWN:
            self._start(stage, n, purpose, tier, trip.ref, random_id(self._draw))
            self._ms += _RESTART_MS
        started = self._start(
            stage, n, purpose, tier, trip.ref, part.call_id if part is not None else random_id(self._draw)
        )
        self._ms += trip.ms
        ended = started.end(
            started_at=started.started_at,
            ended_at=started.started_at + timedelta(milliseconds=trip.ms),
            finish_reason=None if trip.error else "stop",
            error=trip.error,
            usage=trip.usage if part is None else part.usage,
            rates=trip.rates,
            cost_usd=trip.cost_usd if part is None else part.cost_usd,
            shares=1 if part is None else part.shares,
            first_token_ms=trip.first_token_ms,
            batch_size=trip.batch_size,
            batch_wait_ms=trip.batch_wait_ms,
        )
        if part is not None:
            self._part = None
        self.records.append((self._ms + 0.5, ended))
        return ended

    def _start(self, stage: str, n: int, purpose: Purpose, tier: int, ref: Ref, name: UUID) -> CallStarted:
        asked = self._asked
        started = CallStarted(
            call_id=name,
            attempt_id=attempt_id(asked.request_id, self._revision, stage, n),
            request_id=asked.request_id,
            revision=self._revision,
            stage=stage,
            n=n,
            purpose=purpose,
            tier=tier,
            provider=ref[0],
            model=ref[1],
            started_at=_at(self._ms),
            asked_ms=self._source.timestamp_ms,
            deadline=_at(self._source.timestamp_ms + _DEADLINE_MS),
        )
        self.records.append((self._ms, started))
        return started

    def _begin(self) -> tuple[float, float]:
        """Wait in a topic for the next stage; return when its work begins, and how long the wait was, in ms."""
        queue_ms = round(self._draw.expovariate(0.5) + 0.4, 3)
        self._ms += queue_ms
        return self._ms, queue_ms

    def _step(self, stage: str, began: float, queue_ms: float, outcome: str, **more: Any) -> None:  # noqa: ANN401 - Hop's fields
        """End a step; its own work takes as long as the time of the way says, and a little."""
        self._ms += self._draw.uniform(0.1, 1.5)
        self._hops.append(
            Hop(stage=stage, started_at=_at(began), ended_at=_at(self._ms), queue_ms=queue_ms, outcome=outcome, **more)
        )

    def _publish_hops(self) -> None:
        hops = Hops(request_id=self._asked.request_id, revision=self._revision, hops=tuple(self._hops))
        self.records.append((self._ms + 1, hops))
        self._hops = []


def _at(ms: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _of_call(ended: CallEnded) -> dict[str, Any]:
    return {
        "attempt_id": ended.attempt_id,
        "provider": ended.provider,
        "model": ended.model,
        "provider_ms": round(ended.provider_ms, 3),
        "cost_usd": ended.cost_usd,
    }


def _scores(draw: Random, tier: int) -> tuple[float, ...]:
    """Return probabilities of the tiers, of which that of the one that was chosen is the highest."""
    sure = draw.uniform(0.5, 0.95)
    rest = draw.uniform(0, 1 - sure)
    others = iter((rest, 1 - sure - rest))
    return tuple(round(sure if place == tier else next(others), 4) for place in (1, 2, 3))
