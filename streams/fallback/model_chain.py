"""The one retry loop: the models of a tier in order, until one answers or none is left."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from streams.admission import TierVisit, UnavailableError
from streams.budgets.budgets import BudgetRefusedError
from streams.budgets.refusal import Refusal
from streams.calls.paid_calls import attempt_of
from streams.config.settings_candidates import CanarySettings
from streams.config.settings_sections import ModelSettings
from streams.fallback.batch_wait import batch_model, waits_at
from streams.fallback.bounds import OutOfBounds, out_of_bounds
from streams.fallback.escalated_prompt import prompt_of
from streams.fallback.looks import waits_for_verdict
from streams.kafka.publisher import Output
from streams.learning.canary import canary_why, plain_why
from streams.learning.candidates import canary_for
from streams.providers.base import ErrorKind, Remedy, is_provider_failure, is_transient, remedy_of
from streams.runtime.stage import Context
from streams.validation.checks import failed_check
from topics.events import StatusEvent, StatusKind
from topics.journal import CallEnded, Purpose
from topics.results import ResultStatus
from topics.tasks import TierTask

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.4, 1.6
"""Of the pause before a retry, as shares of the setting: calls that failed together don't come back together."""
_LOOK_S = 0.05
"""How often a pause looks whether the task is still ours."""


@dataclass(slots=True)
class ChainResult:
    """What came of a tier's chain for one task."""

    task: TierTask
    """With all attempts so far."""
    canary: CanarySettings | None = None
    """Whose candidate the request is picked for, running or not."""
    answer: CallEnded | None = None
    failed_check: str | None = None
    """What is wrong with the answer, as far as that can be told for free."""
    stopped: OutOfBounds | None = None
    refusal: Refusal | None = None
    """The budget that stopped it."""
    made: int = 0
    """Calls that left in this visit, those from before a restart not counted."""
    batch_model: ModelSettings | None = None
    """The model whose provider's batch the task has to wait for before anybody is asked."""
    away: str | None = None
    """The last provider that could not be had, and why; a later try may find it back. None: none was away."""
    ended: list[CallEnded] = field(default_factory=list)
    """The calls of this visit, those from before a restart included."""

    def add(self, ended: CallEnded) -> None:
        """Take in how a call ended."""
        why = _why(self, _ref(ended))
        self.ended.append(ended)
        if ended.error is None:
            self.answer = ended
            reason = ended.finish_reason or "other"
            self.failed_check = failed_check(self.task.request, ended.content or "", reason, ended.tool_calls)
            outcome = self.failed_check or "ok"
        else:
            outcome = ended.error.kind
            if is_provider_failure(ErrorKind(outcome)):
                self.away = f"{_ref(ended)}: {outcome}"
        attempts = (*self.task.attempts, attempt_of(ended, why, outcome))
        self.task = self.task.model_copy(update={"attempts": attempts, "why": why})

    @property
    def is_over(self) -> bool:
        """Whether nobody else of the tier is to be asked."""
        if not self.ended:
            return False
        error = self.ended[-1].error
        return error is None or remedy_of(ErrorKind(error.kind)) in {Remedy.NEXT_TIER, Remedy.GIVE_UP}


async def ask_chain(task: TierTask, ctx: Context) -> ChainResult:
    """Try the models of the task's tier that may serve it, in order.

    The rules: what was paid for before a restart counts, in the order in which it was paid for. A model is asked
    once, and once more at once where nothing was sent. Where nobody answered, the last one whose failure may pass by
    itself is asked once more after a pause, for that costs less than the tier above. A model whose breaker is open,
    whose limit is reached or whose slots are taken is passed over without a call. Deadline, cost limit and number of
    attempts are looked at before each call. The model that a conversation stays with comes first. For its share of the
    other requests the candidate of a canary does, and where another model was asked before a restart it is not asked
    any more.
    """
    result = ChainResult(task, canary_for(task, ctx.engine.settings))
    asked: Counter[str] = Counter()
    behind = None if task.waited_here is None else task.waited_here.ended_at
    while not result.is_over and (earlier := await ctx.recall(result.task, behind=behind)) is not None:
        asked[_ref(earlier)] += 1
        result.add(earlier)
    if result.is_over:
        return result
    # A candidate is asked now: it is none of the tier's models, whose settings are all that a waiting call has.
    if not result.ended and waits_at(task, ctx) and next(_candidate(result, ctx), None) is None:
        result.batch_model = batch_model(task, next(iter(chain_of(task, ctx)), None), ctx)
        if result.batch_model is not None:
            return result
    try:
        visit = ctx.engine.gate.enter_tier(task.tier)
    except UnavailableError as unavailable:
        result.away = str(unavailable)
        return result
    try:
        await _ask_each(result, asked, ctx)
        _judge(visit, result, ctx)
    finally:
        visit.cancelled()
    return result


async def _ask_each(result: ChainResult, asked: Counter[str], ctx: Context) -> None:
    for model in (*_candidate(result, ctx), *chain_of(result.task, ctx)):
        while asked[model.ref] < _tries_of(model, result):
            if await _try(model, result, asked, ctx):
                return
    retry = _retry(result, asked, ctx)
    if retry is not None:
        await _pause(retry.pause_s, ctx)
        await _try(retry.model, result, asked, ctx)


def _candidate(result: ChainResult, ctx: Context) -> Iterator[ModelSettings]:
    """Yield the canary's candidate where it is to be asked, or may be once more."""
    canary = result.canary
    if canary is None or any(_ref(ended) != canary.model.ref for ended in result.ended):
        return
    state = ctx.engine.learned.canary(canary.name, canary.model.ref)
    if state is not None and state.state == "stopped":
        return
    if ctx.engine.models.may_serve(canary.model, result.task.request):
        yield canary.model


async def _try(model: ModelSettings, result: ChainResult, asked: Counter[str], ctx: Context) -> bool:
    """Ask a model, if it can be had; say whether the chain ends with it."""
    asked[model.ref] += 1
    result.stopped = out_of_bounds(result.task, ctx)
    if result.stopped is not None:
        return True
    task = result.task.model_copy(update={"why": _why(result, model.ref)})
    try:
        ended = await _ask(task, model, ctx)
    except UnavailableError as unavailable:
        result.away = str(unavailable)
        return False
    except BudgetRefusedError as refused:
        result.refusal = refused.refusal
        result.stopped = OutOfBounds(ResultStatus.REJECTED, "budget", str(refused.refusal))
        return True
    result.made += 1
    result.add(ended)
    return result.is_over


@dataclass(frozen=True, slots=True)
class _Retry:
    """A model that is asked once more, after a pause."""

    model: ModelSettings
    pause_s: float


def _retry(result: ChainResult, asked: Counter[str], ctx: Context) -> _Retry | None:
    """Choose who is asked once more; None where nobody is, or where it would be in vain.

    It follows from the calls that were made alone, so a restart makes no second retry.
    """
    failed = next((ended for ended in reversed(result.ended) if _may_pass(ended)), None)
    if failed is None or failed.error is None:
        return None
    attempts = ctx.engine.settings.attempts
    model = next((model for model in chain_of(result.task, ctx) if model.ref == _ref(failed)), None)
    if not attempts.retry_pause_s or model is None or asked[model.ref] > 1:
        return None
    asked_for_s = (failed.error.retry_after_ms or 0) / 1000
    # The breaker of a provider that said when to come back opens again just then.
    is_there = asked_for_s <= attempts.patience_s if asked_for_s else ctx.engine.gate.is_open_to(result.task.tier)
    share = _SHORTEST_PAUSE + (_LONGEST_PAUSE - _SHORTEST_PAUSE) * ctx.engine.random()
    pause_s = asked_for_s + attempts.retry_pause_s * share
    has_time = ctx.now() + timedelta(seconds=pause_s) < result.task.deadline
    if not is_there or not has_time or out_of_bounds(result.task, ctx) is not None:
        return None
    return _Retry(model, pause_s)


def _may_pass(ended: CallEnded) -> bool:
    """Whether a call failed in a way that may pass by itself; what was billed is not asked for a second time."""
    return ended.error is not None and ended.usage is None and is_transient(ErrorKind(ended.error.kind))


async def _pause(seconds: float, ctx: Context) -> None:
    """Wait, but not for a task that others own by now; no provider's slot is held."""
    while seconds > 0 and ctx.lease.holds:
        await ctx.engine.sleep(min(seconds, _LOOK_S))
        seconds -= _LOOK_S


def chain_of(task: TierTask, ctx: Context) -> list[ModelSettings]:
    """Return the models of the task's tier that may serve it, that of its conversation first."""
    models = ctx.engine.models.of_tier(task.tier, task.request)
    return sorted(models, key=lambda model: model.ref != task.stays_with)


def _tries_of(model: ModelSettings, result: ChainResult) -> int:
    """How often a model may be asked: once more where its call could not be sent."""
    last = result.ended[-1] if result.ended else None
    if last is None or last.error is None or _ref(last) != model.ref:
        return 1
    return 2 if remedy_of(ErrorKind(last.error.kind)) is Remedy.RETRY else 1


def _why(result: ChainResult, ref: str) -> str:
    """Say why a model is asked: what went wrong before, in this visit."""
    if not result.ended:
        canary, why = result.canary, result.task.why
        return plain_why(why) if canary is None or ref != canary.model.ref else canary_why(why, canary.name)
    same = [ended for ended in result.ended if _ref(ended) == ref]
    word, cause = ("retry", same[-1]) if same else ("fallback", result.ended[-1])
    return f"{word}: {cause.provider} {cause.error.kind if cause.error is not None else 'ok'}"


def _ref(ended: CallEnded) -> str:
    return f"{ended.provider}/{ended.model}"


def _judge(visit: TierVisit, result: ChainResult, ctx: Context) -> None:
    """Tell the tier's breaker; a chain that was cut short, or asked nobody, says nothing about the tier."""
    if result.answer is not None:
        visit.succeeded()
    elif result.away is not None and result.made and result.stopped is None and _is_whole_chain(result.task, ctx):
        visit.failed()


def _is_whole_chain(task: TierTask, ctx: Context) -> bool:
    return len(chain_of(task, ctx)) == len(ctx.engine.settings.tiers[task.tier - 1].models)


async def _ask(task: TierTask, model: ModelSettings, ctx: Context) -> CallEnded:
    return await ctx.pay(
        task,
        model,
        prompt_of(task, model, ctx.engine),
        Purpose.INFER,
        stream=streams_text(task, ctx),
        announce=(_announcement(task, model, ctx),) if task.request.is_followed else (),
    )


def _announcement(task: TierTask, model: ModelSettings, ctx: Context) -> Output:
    event = StatusEvent(
        kind=StatusKind.ATTEMPT_STARTED,
        at=ctx.now(),
        tier=task.tier,
        provider=model.provider,
        model=model.model,
        detail=task.why,
    )
    return ctx.status(task.request.request_id, task.revision, event)


def streams_text(task: TierTask, ctx: Context) -> bool:
    """Whether text may be shown as it arrives: never before the verdict that it waits for."""
    return task.request.stream and not waits_for_verdict(task, ctx)
