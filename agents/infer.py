"""tier tasks -> answers. Asks the models of a tier; without an answer the task goes one tier up, or rests."""

from streams.budgets.refusal import Refusal
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.fallback.bounds import OutOfBounds
from streams.fallback.looks import look_at
from streams.fallback.model_chain import ChainResult, ask_chain, chain_of, streams_text
from streams.kafka.publisher import Output
from streams.learning.candidates import shadow_for
from streams.runtime.outcomes import answered, given_up
from streams.runtime.stage import Context, Outputs, stage
from streams.validation.best_answer import better, check_failed
from topics.base import MAX_ID_LENGTH
from topics.bulk import BulkTask
from topics.conversations import Conversation, conversation_key
from topics.events import Hop, Hops, StatusEvent, StatusKind
from topics.journal import CallEnded
from topics.messages import spoken
from topics.registry import BULK, CHUNKS, CONVERSATIONS, ESCALATIONS, HOPS, PARKED, SHADOW, VALIDATION, tier_tasks
from topics.results import ResultStatus
from topics.shadow import ShadowTask
from topics.tasks import Answer, Completion, Escalation, Parked, TierTask

_NOBODY = "no model may see the request, takes what it needs and has room for it"


def _in_flight(settings: Settings, tier: int) -> int:
    return settings.tiers[tier - 1].in_flight


@stage(
    source=tier_tasks,
    emits=(tier_tasks, VALIDATION, ESCALATIONS, PARKED, BULK, CHUNKS, SHADOW, CONVERSATIONS),
    in_flight=_in_flight,
)
async def infer(task: TierTask, ctx: Context) -> Outputs:
    """Get an answer from the tier, check it for free, and hand on what comes of it."""
    result = await ask_chain(task, ctx)
    result.task = result.task.after(*_hops(result, ctx))
    if result.batch_model is not None:
        return _waiting(result.task, result.batch_model, ctx)
    if result.refusal is not None:
        return _without_budget(result, result.refusal, ctx)
    if result.stopped is not None:
        return _ended(result, result.stopped, ctx)
    if result.answer is not None:
        return [*_answered(result, _completion(result.answer), ctx), *_remembered(result, result.answer)]
    return _unanswered(result, ctx)


def _unanswered(result: ChainResult, ctx: Context) -> list[Output]:
    """Go on at the tier above, or rest; else the request ends."""
    task = result.task
    if _may_be_promoted(result, ctx):
        return _promoted(result, ctx)
    if result.away is not None or task.promoted_from is not None:
        return _parked(result, ctx)
    attempts = result.task.calls_for_an_answer
    message = f"no provider answered, {attempts} attempts" if attempts else _NOBODY
    return _ended(result, OutOfBounds(ResultStatus.FAILED, "no_provider", message), ctx)


def _waiting(task: TierTask, model: ModelSettings, ctx: Context) -> list[Output]:
    """Have the task wait until its call leaves in a batch of the provider."""
    why = f"waits for a batch of {model.ref}"
    waiting = task.after(ctx.hop("batched", tier=task.tier, provider=model.provider, model=model.model, detail=why))
    event = StatusEvent(
        kind=StatusKind.BATCHED, at=ctx.now(), tier=task.tier, provider=model.provider, model=model.model, detail=why
    )
    return [
        Output(BULK, BulkTask(task=waiting, stage=ctx.stage, provider=model.provider, model=model.model)),
        ctx.status(task.request.request_id, task.revision, event),
    ]


def _ended(result: ChainResult, why: OutOfBounds, ctx: Context) -> list[Output]:
    return [given_up(ctx.stage, result.task, result.task.attempts, why.status, why.code, why.message)]


def _without_budget(result: ChainResult, refusal: Refusal, ctx: Context) -> list[Output]:
    """Go on at a tier that the budget leaves, or rest while it is only held for other calls; else the request ends."""
    task, lower = result.task, refusal.plan.lower_to
    if lower is not None and lower < task.tier and task.best is None:
        down = _lowered(task, lower, f"budget {refusal.plan.name}")
        if chain_of(down, ctx):
            down = down.after(ctx.hop("lowered", tier=lower, detail=str(refusal)))
            event = StatusEvent(kind=StatusKind.ROUTED, at=ctx.now(), tier=lower, detail=down.why)
            return [Output(tier_tasks(lower), down), ctx.status(task.request.request_id, task.revision, event)]
    if refusal.may_pass and lower is None:
        result.away = f"budget {refusal.plan.name} is held for other calls"
        return _parked(result, ctx)
    why = OutOfBounds(ResultStatus.REJECTED, "budget", str(refusal))
    result.task = task.after(ctx.hop("rejected", tier=task.tier, detail=str(refusal)))
    return _ended(result, why, ctx)


def _lowered(task: TierTask, tier: int, reason: str) -> TierTask:
    """Return the task for a lower tier, which it does not leave upwards again."""
    ceiling, floor = min(tier, task.decision.ceiling), min(tier, task.decision.floor)
    reasons = (*task.decision.reasons, reason)
    decision = task.decision.model_copy(update={"ceiling": ceiling, "floor": floor, "reasons": reasons})
    why = f"lowered from tier {task.tier}: {reason}"
    return task.model_copy(update={"tier": tier, "decision": decision, "promoted_from": None, "why": why})


def _completion(ended: CallEnded) -> Completion:
    if ended.content is None or ended.usage is None:
        raise ValueError("an answer has a content and a usage")
    return Completion(
        attempt_id=ended.attempt_id,
        tier=ended.tier,
        provider=ended.provider,
        model=ended.model,
        content=ended.content,
        finish_reason=ended.finish_reason or "other",
        usage=ended.usage,
        **spoken(ended),
    )


def _answered(result: ChainResult, completion: Completion, ctx: Context) -> list[Output]:
    task = result.task
    if result.failed_check is not None:
        reason = check_failed(result.failed_check)
        if _is_final(task, completion, ctx):
            return [answered(ctx.stage, task, completion, task.attempts, degraded=reason)]
        failed = task.model_copy(update={"best": better(task.best, completion, reason)})
        return [Output(ESCALATIONS, Escalation(task=failed, reason=reason))]
    look = look_at(task, completion, ctx)
    if look is not None:
        return [Output(VALIDATION, Answer(task=task, completion=completion, why=look.why, withheld=look.withheld))]
    return [answered(ctx.stage, task, completion, task.attempts), *_shadowed(task, completion, ctx)]


def _is_final(task: TierTask, completion: Completion, ctx: Context) -> bool:
    """Whether the requester has seen the answer already, and can't take it back for a better one."""
    return bool(task.request.final_once_shown) and streams_text(task, ctx) and not completion.is_empty


def _remembered(result: ChainResult, ended: CallEnded) -> list[Output]:
    """Have it known which model made the calls, for who comes back with their results; most answers make none."""
    if not ended.tool_calls or ended.usage is None or result.failed_check is not None:
        return []
    made = Conversation(
        key=conversation_key(result.task.request.user_id, ended.tool_calls),
        provider=ended.provider,
        model=ended.model,
        tier=ended.tier,
        usage=ended.usage,
        at=ended.ended_at,
    )
    return [Output(CONVERSATIONS, made)]


def _shadowed(task: TierTask, completion: Completion, ctx: Context) -> list[Output]:
    """Have the answer compared with that of a candidate, where the request is picked for it; nobody waits for that."""
    settings = ctx.engine.settings
    shadow = shadow_for(task, settings, ctx.engine.models)
    if shadow is None:
        return []
    deadline = ctx.now() + settings.deadlines.longest
    bare = task.model_copy(update={"attempts": (), "hops": (), "best": None, "deadline": deadline})
    output = Output(SHADOW, ShadowTask(task=bare, completion=completion, shadow=shadow.name))
    # A record that its topic does not take would take the answer with it.
    return [output] if len(output.encoded.value) <= settings.kafka.record_max_bytes // 2 else []


def _may_be_promoted(result: ChainResult, ctx: Context) -> bool:
    """Whether a higher tier may do better; while nobody is there either, the way through all tiers is in vain."""
    higher = range(result.task.tier + 1, result.task.decision.ceiling + 1)
    return bool(higher) and (result.away is None or any(map(ctx.engine.gate.is_open_to, higher)))


def _promoted(result: ChainResult, ctx: Context) -> list[Output]:
    """Go one tier up; a task that left its tier only because nobody was there may come back to it."""
    task = result.task
    reason = result.away or (task.attempts[-1].outcome if result.ended else _NOBODY)
    update = {
        "tier": task.tier + 1,
        "why": f"promoted from tier {task.tier}: {reason}",
        "promoted_from": task.promoted_from or (task.tier if result.away else None),
    }
    up = task.after(ctx.hop("promoted", tier=task.tier + 1, detail=reason)).model_copy(update=update)
    event = StatusEvent(kind=StatusKind.ESCALATED, at=ctx.now(), tier=up.tier, detail=up.why)
    return [Output(tier_tasks(up.tier), up), ctx.status(task.request.request_id, task.revision, event)]


def _parked(result: ChainResult, ctx: Context) -> list[Output]:
    """Let the task rest until a provider may be back.

    It may rest again and again, so that its steps are published now: with the task they would grow without end.
    """
    task, reason = result.task, result.away or "no provider answered"
    event = StatusEvent(kind=StatusKind.PARKED, at=ctx.now(), tier=task.tier, detail=reason)
    identity = (task.request.request_id, task.revision)
    steps = (*task.hops, ctx.hop("parked", tier=task.tier, detail=reason))
    resting = task.model_copy(update={"hops": ()})
    return [
        Output(PARKED, Parked(task=resting, reason=reason[:MAX_ID_LENGTH])),
        ctx.status(*identity, event),
        Output(HOPS, Hops(request_id=task.request.request_id, revision=task.revision, hops=steps)),
    ]


def _hops(result: ChainResult, ctx: Context) -> list[Hop]:
    """Describe each call of this visit."""
    task = result.task
    attempts = task.attempts[len(task.attempts) - len(result.ended) :]
    return [
        ctx.hop(
            attempt.outcome,
            tier=attempt.tier,
            attempt_id=attempt.attempt_id,
            provider=attempt.provider,
            model=attempt.model,
            provider_ms=attempt.provider_ms,
            cost_usd=attempt.cost_usd,
            batch_size=ended.batch_size,
            batch_wait_ms=ended.batch_wait_ms,
            shares=ended.shares,
            detail=attempt.why,
        )
        for attempt, ended in zip(attempts, result.ended, strict=True)
    ]
