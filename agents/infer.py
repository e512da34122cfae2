"""tier tasks -> answers. Asks the models of a tier in order; a chain that ends without an answer goes one tier up."""

from collections.abc import Iterator

from streams.checks import failed_check
from streams.outcomes import answered, given_up
from streams.providers.base import ErrorKind, Remedy, remedy_of
from streams.publisher import Output
from streams.settings import ModelSettings, Settings
from streams.stage import Context, Outputs, attempt_of, stage
from topics.events import Status, StatusEvent, StatusKind
from topics.journal import CallEnded, Purpose
from topics.registry import ESCALATIONS, STATUS, VALIDATION, tier_tasks
from topics.requests import Request
from topics.results import ResultStatus
from topics.tasks import Answer, Attempt, Completion, Escalation, TierTask


def _in_flight(settings: Settings, tier: int) -> int:
    return settings.tiers[tier - 1].in_flight


@stage(source=tier_tasks, emits=(tier_tasks, VALIDATION, ESCALATIONS), in_flight=_in_flight)
async def infer(task: TierTask, ctx: Context) -> Outputs:
    """Try the tier's models until one answers; check the answer for free; hand on what comes of it."""
    hops: list[Output] = []
    for model in _chain(task, ctx):
        ended = await ctx.recall(task, task.tries(ctx.stage))
        if ended is None and (stopped := _out_of_bounds(task, ctx)):
            code, message = stopped
            status = ResultStatus.EXPIRED if code == "deadline" else ResultStatus.FAILED
            return [given_up(ctx.stage, task, task.attempts, status, code, message), *hops]
        ended = ended or await _ask(task, model, ctx)
        completion = _completion(ended)
        failed = failed_check(task.request, completion.content, completion.finish_reason) if completion else None
        outcome = ended.error.kind if ended.error else failed or "ok"
        task = task.model_copy(update={"attempts": (*task.attempts, attempt_of(ended, task.why, outcome))})
        hops.append(_hop(task, ctx, outcome))
        if completion is not None:
            return [*_answered(task, ctx, completion, failed), *hops]
        if ended.error is not None and remedy_of(ErrorKind(ended.error.kind)) is not Remedy.NEXT_PROVIDER:
            break
        task = task.model_copy(update={"why": f"fallback: {model.provider} {outcome}"})
    return [*_promoted(task, ctx), *hops]


def _chain(task: TierTask, ctx: Context) -> Iterator[ModelSettings]:
    """Yield the models of the tier that may see the request."""
    settings = ctx.engine.settings
    for model in settings.tiers[task.tier - 1].models:
        if settings.may_see(model, task.request.context.data_class):
            yield model


def _out_of_bounds(task: TierTask, ctx: Context) -> tuple[str, str] | None:
    """Say why no further call may be made for the task."""
    if ctx.now() >= task.deadline:
        return "deadline", "the deadline passed before an answer was found"
    limit = task.request.max_cost_usd
    if limit is not None and task.cost_usd >= limit:
        return "max_cost", f"max_cost_usd of {limit} is used up"
    return None


async def _ask(task: TierTask, model: ModelSettings, ctx: Context) -> CallEnded:
    n = task.tries(ctx.stage)
    event = StatusEvent(
        kind=StatusKind.ATTEMPT_STARTED,
        at=ctx.now(),
        tier=task.tier,
        provider=model.provider,
        model=model.model,
        detail=task.why,
    )
    status = Status(request_id=task.request.request_id, revision=task.revision, events=(event,))
    request: Request = task.request
    return await ctx.pay(
        task,
        n,
        model,
        purpose=Purpose.INFER,
        messages=request.messages,
        params=request.params,
        response_schema=request.response_schema,
        announce=(Output(STATUS, status),),
    )


def _completion(ended: CallEnded) -> Completion | None:
    if ended.content is None or ended.usage is None:
        return None
    return Completion(
        attempt_id=ended.attempt_id,
        tier=ended.tier,
        provider=ended.provider,
        model=ended.model,
        content=ended.content,
        finish_reason=ended.finish_reason or "other",
        usage=ended.usage,
    )


def _answered(task: TierTask, ctx: Context, completion: Completion, failed: str | None) -> Outputs:
    if failed is not None:
        best = completion if completion.content.strip() else task.best
        return [Output(ESCALATIONS, Escalation(task=task.model_copy(update={"best": best}), reason=f"check: {failed}"))]
    judged = task.decision.validate_answer and ctx.engine.settings.validation.judge is not None
    if judged and task.tier < task.decision.ceiling:
        return [Output(VALIDATION, Answer(task=task, completion=completion))]
    return [answered(ctx.stage, task, completion, task.attempts)]


def _promoted(task: TierTask, ctx: Context) -> Outputs:
    """Go one tier up when no model of this one answered; end the request where there is no higher one."""
    if task.tier >= task.decision.ceiling:
        message = f"no provider answered, {len(task.attempts)} attempts"
        return [given_up(ctx.stage, task, task.attempts, ResultStatus.FAILED, "no_provider", message)]
    last = task.attempts[-1].outcome if task.attempts else "no provider may see the request"
    up = task.model_copy(update={"tier": task.tier + 1, "why": f"promoted from tier {task.tier}: {last}"})
    event = StatusEvent(kind=StatusKind.ESCALATED, at=ctx.now(), tier=up.tier, detail=up.why)
    return [Output(tier_tasks(up.tier), up), ctx.status(task.request.request_id, task.revision, event)]


def _hop(task: TierTask, ctx: Context, outcome: str) -> Output:
    attempt: Attempt = task.attempts[-1]
    return ctx.hop(
        task.request.request_id,
        task.revision,
        outcome,
        tier=task.tier,
        attempt_id=attempt.attempt_id,
        provider=attempt.provider,
        model=attempt.model,
        provider_ms=attempt.provider_ms,
        cost_usd=attempt.cost_usd,
        detail=attempt.why,
    )
