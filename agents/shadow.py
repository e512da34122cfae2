"""shadow tasks -> hops. Asks a candidate what a tier has answered, and has judges compare the two answers, blind.

The request has its result whatever comes of this. What was paid before a restart counts, in the order in which it was
paid for, as with the answers of a tier. A judge is asked twice, and each answer comes first once: the place in which an
answer stands moves judges, so that only a preference that both orders share is one.
"""

from decimal import Decimal
from typing import Any, Final, Literal

from streams.admission import UnavailableError
from streams.budgets.budgets import BudgetRefusedError
from streams.calls.paid_calls import attempt_of
from streams.config.settings import Settings
from streams.config.settings_candidates import ShadowSettings
from streams.config.settings_sections import ModelSettings
from streams.config.tokens import rough
from streams.kafka.publisher import Output
from streams.learning.candidates import judges_for
from streams.providers.base import Prompt
from streams.runtime.stage import Context, Outputs, stage
from streams.validation.checks import failed_check
from streams.validation.pairwise import Preference, comparison_messages, preference_schema, read_preference
from streams.validation.transcript import answer_text
from topics.events import Hop, Hops
from topics.journal import CallEnded, Purpose, Usage
from topics.registry import HOPS, SHADOW
from topics.requests import Params
from topics.shadow import ShadowTask

_IN_FLIGHT: Final = 64
_INSTRUCTION_TOKENS: Final = 500
"""Of the judge's prompt, besides the texts that are compared; rather too many than too few."""
_WORTH: Final = {1.0: "better", 0.5: "same", 0.0: "worse"}
"""What a verdict makes of the candidate's answer."""

_Place = Literal["A", "B"]
_PLACES: Final[tuple[_Place, _Place]] = ("B", "A")
"""Where the candidate's answer stands, in the first and in the second call of a judge."""

_Outcome = Literal["win", "tie", "loss", "failed", "unjudged", "unaffordable", "late"]


def _has_candidates(settings: Settings) -> bool:
    return bool(settings.shadow)


@stage(source=SHADOW, emits=(), in_flight=_IN_FLIGHT, ends_requests=False, is_wanted=_has_candidates)
async def shadow(given: ShadowTask, ctx: Context) -> Outputs:
    """Compare, and tell what came of it."""
    plan = next((plan for plan in ctx.engine.settings.shadow if plan.name == given.shadow), None)
    hops = [_hop(ctx, given, "unjudged", "the settings know it no longer")] if plan is None else []
    if plan is not None:
        trial = _Trial(given, plan, ctx)
        try:
            await trial.run()
        finally:
            trial.settle()
        hops = trial.hops
    task = given.task
    return [Output(HOPS, Hops(request_id=task.request.request_id, revision=task.revision, hops=tuple(hops)))]


class _Trial:
    """One comparison: its calls so far are the attempts of its task."""

    def __init__(self, given: ShadowTask, plan: ShadowSettings, ctx: Context) -> None:
        self.hops: list[Hop] = []
        self._given = given
        self._plan = plan
        self._ctx = ctx
        self._task = given.task
        self._candidate: CallEnded | None = None
        self._taken: Decimal | None = None
        """From the budget; None: nothing was paid here so far."""
        self._spent = Decimal(0)
        self._incumbent_text = answer_text(given.completion.content, given.completion.tool_calls)

    async def run(self) -> None:
        """Ask the candidate and then the judges, as far as that leads."""
        plan, prompt = self._plan, Prompt.of(self._task.request)
        ended = await self._ctx.recall(self._task)
        if ended is None:
            if not self._may_pay():
                return
            try:
                ended = await self._pay(plan.model, prompt, target=plan.target)
            except UnavailableError as unavailable:
                # Without a call that was refused there is nothing to hold against the candidate.
                self._end("failed" if unavailable.reason == "breaker_open" else "unjudged", str(unavailable))
                return
            except BudgetRefusedError as refused:
                self._end("unaffordable", str(refused))
                return
        self._add(ended, "candidate")
        self._candidate = ended
        if ended.error is not None or ended.content is None:
            self._end("failed", ended.error.kind if ended.error is not None else "no answer")
        elif check := failed_check(self._task.request, ended.content, ended.finish_reason or "other", ended.tool_calls):
            self._end("loss", f"check {check}", (0.0, 0.0))
        elif (answer := answer_text(ended.content, ended.tool_calls)).strip() == self._incumbent_text.strip():
            self._end("tie", "the same text", (0.5, 0.5))
        else:
            await self._judge(answer)

    def settle(self) -> None:
        """Give back to the budget what was taken and not spent."""
        if self._taken is not None:
            partition = self._ctx.lease.partition
            self._ctx.engine.shadow_budgets.give_back(self._plan.name, partition, self._taken - self._spent)

    async def _judge(self, answer: str) -> None:
        """Ask judges in turn until one of them has said in both orders which answer is better."""
        incumbent = self._given.completion
        judges = judges_for(self._plan, incumbent.provider, incumbent.model, self._task, self._ctx.engine.settings)
        bench = _JudgesBench(judges)
        while not bench.is_done:
            ended = await self._ctx.recall(self._task)
            if ended is None:
                if (judge := bench.next) is None:
                    self._end("unjudged", "no judge gave a verdict")
                    return
                if not self._may_pay():
                    return
                try:
                    ended = await self._pay(judge, self._prompt(answer, bench.place_for(judge.ref)))
                except UnavailableError:
                    bench.dismiss(judge.ref)
                    continue
                except BudgetRefusedError as refused:
                    self._end("unaffordable", str(refused))
                    return
            self._hear(ended, bench)
        first, second = bench.scores
        agreed: dict[float, _Outcome] = {1.0: "win", 0.0: "loss"}
        outcome = agreed.get(first, "tie") if first == second else "tie"
        self._end(outcome, f"{_WORTH[first]} / {_WORTH[second]}", (first, second))

    def _hear(self, ended: CallEnded, bench: "_JudgesBench") -> None:
        ref = f"{ended.provider}/{ended.model}"
        place = bench.place_for(ref)
        preference = read_preference(ended.content) if ended.content is not None else None
        bench.hear(ref, preference)
        said = _said(ended, preference, place)
        self._add(ended, said)
        detail = f"the candidate as {place}: {said}"
        self.hops.append(_hop(self._ctx, self._given, "compared", detail, **_call_fields(ended)))

    def _end(self, outcome: _Outcome, why: str, scores: tuple[float, ...] = ()) -> None:
        model = self._plan.model
        called = self._candidate
        fields = _call_fields(called) if called else {"provider": model.provider, "model": model.model}
        self.hops.append(_hop(self._ctx, self._given, outcome, why, scores=scores, **fields))

    def _add(self, ended: CallEnded, outcome: str) -> None:
        line = attempt_of(ended, self._plan.name, outcome)
        self._task = self._task.model_copy(update={"attempts": (*self._task.attempts, line)})

    async def _pay(self, model: ModelSettings, prompt: Prompt, *, target: str | None = None) -> CallEnded:
        ended = await self._ctx.pay(self._task, model, prompt, Purpose.SHADOW, target=target)
        self._spent += ended.cost_usd
        return ended

    def _may_pay(self) -> bool:
        """Whether there are time and money for a further call; of the whole comparison, before its first one here."""
        if self._ctx.now() >= self._task.deadline:
            self._end("late", "the time was up")
            return False
        if self._taken is not None:
            return True
        cost, lease = self._most_cost(), self._ctx.lease
        place = (lease.partition, self._ctx.received.generation)
        is_taken = self._ctx.engine.shadow_budgets.take(
            self._plan.name,
            self._plan.budget_usd_per_day,
            place,
            self._ctx.engine.settings.kafka.partitions,
            cost,
            self._ctx.now(),
        )
        if not is_taken:
            self._end("unaffordable", f"of ${self._plan.budget_usd_per_day} a day nothing is left for now")
            return False
        self._taken = cost
        return True

    def _most_cost(self) -> Decimal:
        """Estimate the cost of the candidate and one judge in US dollars, generously."""
        engine, now, incumbent = self._ctx.engine, self._ctx.now(), self._given.completion
        prompt, candidate = Prompt.of(self._task.request), self._plan.model
        asked, answered = prompt.size.rough_tokens, prompt.most_output
        cost = engine.caller.cost(candidate, Usage(input=asked, output=answered(candidate.max_tokens)), now)
        shown = asked + rough(self._incumbent_text) + answered(candidate.max_tokens) + _INSTRUCTION_TOKENS
        judges = judges_for(self._plan, incumbent.provider, incumbent.model, self._task, engine.settings)
        for judge in judges[:1]:
            cost += 2 * engine.caller.cost(judge, Usage(input=shown, output=judge.max_tokens), now)
        return cost

    def _prompt(self, answer: str, place: _Place) -> Prompt:
        a, b = (answer, self._incumbent_text) if place == "A" else (self._incumbent_text, answer)
        messages = comparison_messages(self._task.request, a, b)
        return Prompt(messages, Params(temperature=0.0), preference_schema())


class _JudgesBench:
    """Judges in the order of their turn, and what the one whose turn it is has said so far."""

    def __init__(self, judges: list[ModelSettings]) -> None:
        self._waiting = judges
        self._turn: str | None = None
        """`provider/model` of the one that has spoken."""
        self.scores: list[float] = []
        """What its verdicts are worth for the candidate, from 0 to 1. Its reasons may quote the answers: they stay in
        the journal."""

    @property
    def next(self) -> ModelSettings | None:
        """Whom to ask next; None where nobody is left."""
        return next(iter(self._waiting), None)

    @property
    def is_done(self) -> bool:
        """Whether one judge has seen both orders."""
        return len(self.scores) == len(_PLACES)

    def place_for(self, ref: str) -> _Place:
        """Say where the candidate's answer stands in the next call of a judge."""
        return _PLACES[len(self.scores)] if ref == self._turn else _PLACES[0]

    def hear(self, ref: str, preference: Preference | None) -> None:
        """Take a verdict; a judge that gives none is not asked again, and its first one counts for nothing."""
        if preference is None:
            self.dismiss(ref)
            return
        place = self.place_for(ref)
        if ref != self._turn:
            self._turn, self.scores = ref, []
            # It goes on, though others that were away before a restart may be back.
            self._waiting.sort(key=lambda judge: judge.ref != ref)
        self.scores.append(preference.score(place))

    def dismiss(self, ref: str) -> None:
        """Ask somebody else."""
        self._waiting = [judge for judge in self._waiting if judge.ref != ref]
        self._turn, self.scores = None, []


def _hop(ctx: Context, given: ShadowTask, outcome: str, why: str, **fields: Any) -> Hop:  # noqa: ANN401 - Hop's fields
    return ctx.hop(outcome, tier=given.task.tier, detail=f"{given.shadow}: {why}", **fields)


def _call_fields(ended: CallEnded) -> dict[str, Any]:
    return {
        "attempt_id": ended.attempt_id,
        "provider": ended.provider,
        "model": ended.model,
        "provider_ms": round(ended.provider_ms, 3),
        "cost_usd": ended.cost_usd,
    }


def _said(ended: CallEnded, preference: Preference | None, place: _Place) -> str:
    if ended.error is not None:
        return ended.error.kind
    if preference is None:
        return "unreadable"
    return _WORTH[preference.score(place)]
