"""requests -> tier tasks. Decides the tier of each request; bad input becomes a dead letter and a rejection."""

from datetime import datetime, timedelta

from streams.budgets.budgets import NO_LIMITS, Outlook
from streams.calls.tier_votes import VoteResult
from streams.config.eligible_models import NoModelError
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from streams.routing.affinity import STAYS
from streams.routing.policy import bounds_problem
from streams.routing.router import Draft
from streams.runtime.outcomes import given_up, unserved
from streams.runtime.stage import Context, Outputs, RefusedError, stage
from streams.validation.json_schema import schema_problem
from topics.base import from_millis
from topics.dead_letters import revision_of
from topics.events import Hop, StatusEvent, StatusKind
from topics.partitioning import partition_for
from topics.registry import REQUESTS, tier_tasks
from topics.requests import Request
from topics.results import CANCELLED, ResultStatus
from topics.tasks import Attempt, Decision, TierTask


@stage(source=REQUESTS, emits=(tier_tasks,), in_flight=1_000, pays=False, votes=True)
async def classify(request: Request, ctx: Context) -> Outputs:
    """Drop what is settled, refuse what can't be served, and send the rest to its tier.

    Where the local classifier leaves it open, a language model is asked before anything is published.
    """
    digest = request.digest()
    revision = revision_of(ctx.received.headers)
    settled, asked_ms = ctx.engine.settled, ctx.received.timestamp
    await settled.cover(partition_for(request.request_id, ctx.engine.settings.kafka.partitions), asked_ms)
    if settled.knows(request.request_id, revision, asked_ms):
        return settled.resent(request.request_id, revision, asked_ms, digest)
    if settled.is_cancelled(request.request_id, revision, asked_ms):
        return [_cancelled(request, revision, digest, ctx)]
    deadline = ctx.engine.settings.deadlines.of(request, asked_ms)
    problem = _problem(request, ctx.engine.settings, deadline - from_millis(ctx.received.timestamp))
    if problem is not None:
        raise RefusedError(problem, digest=digest)
    outlook = ctx.engine.budgets.outlook(request) if ctx.engine.budgets is not None else NO_LIMITS
    try:
        draft, unaffordable = _draft(request, digest, ctx, outlook)
    except NoModelError as error:
        raise RefusedError(str(error), digest=digest) from None
    is_late = deadline <= ctx.now()
    if unaffordable is not None and not is_late:
        refused = _task(request, digest, ctx, deadline, draft.decision)
        refused = refused.after(_hop(draft.decision, ctx, "rejected", more=(unaffordable,)))
        return [given_up(ctx.stage, refused, (), ResultStatus.REJECTED, "budget", unaffordable)]
    asked = await ctx.vote(request, revision, deadline) if draft.asks else VoteResult()
    decision = draft.decision if is_late else ctx.engine.router.decide(draft, asked.vote)
    task = _task(request, digest, ctx, deadline, decision, asked.attempts)
    if is_late:
        message = "the deadline passed before the request was routed"
        late = task.after(_hop(decision, ctx, "expired"))
        return [given_up(ctx.stage, late, late.attempts, ResultStatus.EXPIRED, "deadline", message)]
    accepted = StatusEvent(kind=StatusKind.ACCEPTED, at=ctx.started_at, unknown_fields=ctx.unknown_fields)
    routed = StatusEvent(kind=StatusKind.ROUTED, at=ctx.now(), tier=task.tier, detail=task.why)
    missing = (f"no vote: {asked.missing}",) if asked.missing else ()
    return [
        Output(tier_tasks(task.tier), task.after(_hop(decision, ctx, "routed", more=missing))),
        ctx.status(request.request_id, revision, accepted, routed),
    ]


def _cancelled(request: Request, revision: int, digest: str, ctx: Context) -> Output:
    return unserved(
        ctx.stage,
        request.request_id,
        ctx.received.source,
        revision=revision,
        digest=digest,
        status=ResultStatus.REJECTED,
        code=CANCELLED,
        message="it was cancelled before it was routed",
    )


def _draft(request: Request, digest: str, ctx: Context, outlook: Outlook) -> tuple[Draft, str | None]:
    """Decide within what budgets leave; return with the draft why they leave nothing.

    Raises:
        NoModelError: No model may serve the request, whatever may be spent.
    """
    router, arrived_ms, conversations = ctx.engine.router, ctx.received.timestamp, ctx.engine.conversations
    standing = conversations.standing(request, arrived_ms) if conversations is not None else None
    try:
        draft = router.draft(request, digest, arrived_ms, outlook.ceilings, standing)
    except NoModelError:
        if not outlook.ceilings:
            raise
        tier, budget = min(outlook.ceilings)
        why = f"{budget} leaves no tier above {tier}, and no model up to there may serve the request"
        return router.draft(request, digest, arrived_ms), why
    return draft, None if outlook.refusal is None else str(outlook.refusal)


def _problem(request: Request, settings: Settings, lifetime: timedelta) -> str | None:
    """Say which field of a well-formed request asks for what this deployment can't give, and why."""
    window = timedelta(seconds=settings.delivery.dedup_window_s)
    if problem := bounds_problem(request, settings.top_tier):
        return problem
    if lifetime > window:
        return f"deadline: may be at most {window.total_seconds():g} s after the request"
    if not settings.may_serve(request.context.data_class):
        return f"context.data_class: no provider may see {request.context.data_class.value} data"
    schema = request.answer_schema
    found = schema_problem(schema) if schema is not None else None
    place = "response_schema" if request.response_format is None else "response_format.json_schema.schema"
    return f"{place}: {found}" if found else None


def _task(
    request: Request,
    digest: str,
    ctx: Context,
    deadline: datetime,
    decision: Decision,
    attempts: tuple[Attempt, ...] = (),
) -> TierTask:
    return TierTask(
        request=request,
        digest=digest,
        revision=revision_of(ctx.received.headers),
        source=ctx.received.source,
        deadline=deadline,
        decision=decision,
        tier=decision.tier,
        why=_why(decision),
        attempts=attempts,
    )


def _why(decision: Decision) -> str:
    if decision.stays_with is not None:
        return f"{STAYS}{decision.stays_with}"
    return f"rule {decision.rule}" if decision.rule else f"classifier {decision.classifier}"


def _hop(decision: Decision, ctx: Context, outcome: str, *, more: tuple[str, ...] = ()) -> Hop:
    reasons = [*decision.reasons, *more]
    return ctx.hop(
        outcome,
        tier=decision.tier,
        rule=decision.rule,
        classifier=decision.classifier,
        scores=decision.scores,
        detail=", ".join(reasons) or None,
    )
