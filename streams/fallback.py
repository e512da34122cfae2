"""The one retry loop: the models of a tier in order, until one answers or none is left."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.calls import attempt_of
from streams.checks import failed_check
from streams.gate import TierVisit, UnavailableError
from streams.providers.base import ErrorKind, Remedy, is_provider_failure, remedy_of
from streams.publisher import Output
from streams.sections import ModelSettings
from streams.stage import Context
from topics.events import Status, StatusEvent, StatusKind
from topics.journal import CallEnded, Purpose
from topics.registry import STATUS
from topics.results import ResultStatus
from topics.tasks import TierTask


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
    once, and once more only where nothing was sent. A model whose breaker, limit or slots are closed is passed over
    without a call. Deadline, cost limit and number of attempts are looked at before each call.
    """
    result = ChainResult(task)
    asked: Counter[str] = Counter()
    while (earlier := await ctx.recall(result.task, result.task.tries(ctx.stage))) is not None:
        asked[f"{earlier.provider}/{earlier.model}"] += 1
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
            asked[model.ref] += 1
            result.stopped = out_of_bounds(result.task, ctx)
            if result.stopped is not None:
                return
            try:
                ended = await _ask(result.task, model, ctx)
            except UnavailableError as unavailable:
                result.away = str(unavailable)
                break
            result.made += 1
            if _is_over(result, ended):
                return


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
    if last is None or last.error is None or (last.provider, last.model) != (model.provider, model.model):
        return 1
    return 2 if remedy_of(ErrorKind(last.error.kind)) is Remedy.RETRY else 1


def _is_over(result: ChainResult, ended: CallEnded) -> bool:
    """Add a call to the result; say whether the chain ends with it."""
    task, why = result.task, result.task.why
    result.ended.append(ended)
    if ended.error is None:
        result.answer = ended
        result.failed_check = failed_check(task.request, ended.content or "", ended.finish_reason or "other")
        outcome = result.failed_check or "ok"
    else:
        outcome = ended.error.kind
        why = f"fallback: {ended.provider} {outcome}"
    attempts = (*task.attempts, attempt_of(ended, task.why, outcome))
    result.task = task.model_copy(update={"attempts": attempts, "why": why})
    if ended.error is None:
        return True
    kind = ErrorKind(ended.error.kind)
    if is_provider_failure(kind):
        result.away = f"{ended.provider}/{ended.model}: {kind.value}"
    return remedy_of(kind) in {Remedy.NEXT_TIER, Remedy.GIVE_UP}


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
