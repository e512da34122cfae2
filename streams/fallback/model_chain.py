"""The one retry loop: the models of a tier in order, until one answers or none is left."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from streams.admission import TierVisit, UnavailableError
from streams.calls.paid_calls import attempt_of
from streams.config.settings_sections import ModelSettings
from streams.kafka.publisher import Output
from streams.providers.base import ErrorKind, Remedy, is_provider_failure, is_transient, remedy_of
from streams.runtime.stage import Context
from streams.validation.checks import failed_check
from topics.events import Status, StatusEvent, StatusKind
from topics.journal import CallEnded, Purpose
from topics.registry import STATUS
from topics.results import ResultStatus
from topics.tasks import TierTask

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.4, 1.6
"""Of the pause before a retry, as shares of the setting: calls that failed together don't come back together."""
_LOOK_S = 0.05
"""How often a pause looks whether the task is still ours."""


@dataclass(frozen=True, slots=True)
class OutOfBounds:
    """Why no further call may be made for a task."""

    status: ResultStatus
    code: str
    message: str


@dataclass(slots=True)
class ChainResult:
    """What came of a tier's chain for one task."""

    task: TierTask
    """With all attempts so far."""
    answer: CallEnded | None = None
    failed_check: str | None = None
    """What is wrong with the answer, as far as that can be told for free."""
    stopped: OutOfBounds | None = None
    made: int = 0
    """Calls that left in this visit, those from before a restart not counted."""
    away: str | None = None
    """The last provider that could not be had, and why; a later try may find it back. None: none was away."""
    ended: list[CallEnded] = field(default_factory=list)
    """The calls of this visit, those from before a restart included."""


async def ask_chain(task: TierTask, ctx: Context) -> ChainResult:
    """Try the models of the task's tier that may see it and that it fits, in order.

    The rules: what was paid for before a restart counts, in the order in which it was paid for. A model is asked
    once, and once more at once where nothing was sent. Where nobody answered, the last one whose failure may pass by
    itself is asked once more after a pause, for that costs less than the tier above. A model whose breaker, limit or
    slots are closed is passed over without a call. Deadline, cost limit and number of attempts are looked at before
    each call.
    """
    result = ChainResult(task)
    asked: Counter[str] = Counter()
    while (earlier := await ctx.recall(result.task, result.task.tries(ctx.stage))) is not None:
        asked[_ref(earlier)] += 1
        if _is_over(result, earlier):
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
    for model in chain_of(result.task, ctx):
        while asked[model.ref] < _tries_of(model, result):
            if await _try(model, result, asked, ctx):
                return
    retry = _retry(result, asked, ctx)
    if retry is not None:
        await _pause(retry.pause_s, ctx)
        await _try(retry.model, result, asked, ctx)


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
    result.made += 1
    return _is_over(result, ended)


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
    while seconds > 0 and ctx.is_current():
        await ctx.engine.sleep(min(seconds, _LOOK_S))
        seconds -= _LOOK_S


def chain_of(task: TierTask, ctx: Context) -> Iterator[ModelSettings]:
    """Yield the models of the task's tier that may see it and have room for it."""
    settings, windows, request = ctx.engine.settings, ctx.engine.windows, task.request
    for model in settings.tiers[task.tier - 1].models:
        if settings.may_see(model, request.context.data_class) and windows.holds(model, request):
            yield model


def out_of_bounds(task: TierTask, ctx: Context) -> OutOfBounds | None:
    """Say why no further call may be made for the task; None where one may."""
    if ctx.now() >= task.deadline:
        return OutOfBounds(ResultStatus.EXPIRED, "deadline", "the deadline passed before an answer was found")
    if task.is_spent:
        limit = task.request.max_cost_usd
        return OutOfBounds(ResultStatus.FAILED, "max_cost", f"max_cost_usd of {limit} is used up")
    most = ctx.engine.settings.attempts.max_attempts
    if task.calls_for_an_answer >= most:
        return OutOfBounds(ResultStatus.FAILED, "max_attempts", f"no answer in {most} attempts")
    return None


def _tries_of(model: ModelSettings, result: ChainResult) -> int:
    """How often a model may be asked: once more where its call could not be sent."""
    last = result.ended[-1] if result.ended else None
    if last is None or last.error is None or _ref(last) != model.ref:
        return 1
    return 2 if remedy_of(ErrorKind(last.error.kind)) is Remedy.RETRY else 1


def _is_over(result: ChainResult, ended: CallEnded) -> bool:
    """Add a call to the result; say whether the chain ends with it."""
    task, why = result.task, _why(result, _ref(ended))
    result.ended.append(ended)
    if ended.error is None:
        result.answer = ended
        result.failed_check = failed_check(task.request, ended.content or "", ended.finish_reason or "other")
        outcome = result.failed_check or "ok"
    else:
        outcome = ended.error.kind
    attempts = (*task.attempts, attempt_of(ended, why, outcome))
    result.task = task.model_copy(update={"attempts": attempts, "why": why})
    if ended.error is None:
        return True
    kind = ErrorKind(ended.error.kind)
    if is_provider_failure(kind):
        result.away = f"{_ref(ended)}: {kind.value}"
    return remedy_of(kind) in {Remedy.NEXT_TIER, Remedy.GIVE_UP}


def _why(result: ChainResult, ref: str) -> str:
    """Say why a model is asked: what went wrong before, in this visit."""
    if not result.ended:
        return result.task.why
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
    return len(list(chain_of(task, ctx))) == len(ctx.engine.settings.tiers[task.tier - 1].models)


async def _ask(task: TierTask, model: ModelSettings, ctx: Context) -> CallEnded:
    event = StatusEvent(
        kind=StatusKind.ATTEMPT_STARTED,
        at=ctx.now(),
        tier=task.tier,
        provider=model.provider,
        model=model.model,
        detail=task.why,
    )
    request = task.request
    status = Status(request_id=request.request_id, revision=task.revision, events=(event,))
    return await ctx.pay(
        task,
        task.tries(ctx.stage),
        model,
        purpose=Purpose.INFER,
        messages=request.messages,
        params=request.params,
        response_schema=request.response_schema,
        stream=streams_text(task, ctx),
        announce=(Output(STATUS, status),),
    )


def streams_text(task: TierTask, ctx: Context) -> bool:
    """Whether text may be shown as it arrives: never before the verdict that it waits for."""
    return task.request.stream and not is_judged(task, ctx)


def is_judged(task: TierTask, ctx: Context) -> bool:
    """Whether a judge sees the answer first; at the highest tier that the request may reach nobody does better."""
    judge = ctx.engine.settings.validation.judge
    return task.decision.validate_answer and judge is not None and task.tier < task.decision.ceiling
