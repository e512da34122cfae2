"""feedback -> tier tasks. Finds the result that feedback is about, tells of it, and may ask one tier up.

A retry is revision n + 1 of the request, its task has the place of the feedback as its source, and from then on it is a
request like any other: all tasks of one revision within the window are copies of each other, whichever feedback asked
for them, so there is one result of it and each call is paid once. What a retry looks like follows from the request and
the revision before, never from the feedback: copies take the same way.

A hop tells of each feedback, under the revision that it is about. It is published at once, for most feedback has no
result of its own, and again if the feedback is delivered again: `started_at` is the append time of the feedback, by
which the two are one.
"""

from dataclasses import dataclass
from datetime import timedelta

from streams.config.eligible_models import NoModelError
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from streams.runtime.result_index import ResultIndex, Settlement
from streams.runtime.stage import Context, Outputs, stage
from topics.base import from_millis
from topics.events import Hop, Hops, StatusEvent, StatusKind
from topics.feedback import UNMATCHED, Cancellation, Feedback, retried_as
from topics.registry import FEEDBACK, HOPS, REQUESTS, SETTLED, tier_tasks
from topics.requests import Request
from topics.results import Cancelled, Outcome
from topics.tasks import Decision, Source, TierTask


def _in_flight(settings: Settings, _: int) -> int:
    return settings.feedback.in_flight


@stage(source=FEEDBACK, emits=(tier_tasks, SETTLED), in_flight=_in_flight, pays=False, ends_requests=False)
async def feedback(said: Feedback | Cancellation, ctx: Context) -> Outputs:
    """Match feedback to its result and tell of it; where it asks for that, publish the task of the next revision.

    A cancellation becomes the marker that every stage follows; of a request that has its result it changes nothing.
    """
    if isinstance(said, Cancellation):
        return [Output(SETTLED, Cancelled(request_id=said.request_id, revision=said.revision))]
    index = ctx.engine.results
    if index is None:
        raise RuntimeError("this process does not know where results are")
    settlements = await index.of(said.request_id, said.revision)
    about = next((one for one in settlements if one.revision == said.revision), None)
    outcome = await index.outcome(said.request_id, about) if about is not None else None
    if outcome is None:
        return [_told(said, ctx, None, f"{said.kind}: no result is known")]
    if not _asks_for_retry(said, ctx.engine.settings):
        return [_told(said, ctx, outcome, "noted")]
    try:
        task = await _retry(said, outcome, settlements, index, ctx)
    except _NoRetryError as refused:
        return [_told(said, ctx, outcome, str(refused))]
    routed = StatusEvent(kind=StatusKind.ROUTED, at=ctx.now(), tier=task.tier, detail=task.why)
    return [
        Output(tier_tasks(task.tier), task),
        _told(said, ctx, outcome, retried_as(task.revision)),
        ctx.status(said.request_id, task.revision, routed),
    ]


class _NoRetryError(Exception):
    """Why no task is published; what the hop says."""


def _asks_for_retry(said: Feedback, settings: Settings) -> bool:
    return said.kind in settings.feedback.retries if said.retry is None else said.retry


def _told(said: Feedback, ctx: Context, outcome: Outcome | None, detail: str) -> Output:
    """Tell of a feedback; its append time is what names it."""
    appended = from_millis(ctx.received.timestamp)
    if ctx.unknown_fields:
        detail = f"{detail}; fields that nobody reads: {', '.join(ctx.unknown_fields)}"
    hop = Hop(
        stage=ctx.stage,
        started_at=appended,
        ended_at=max(ctx.now(), appended),
        queue_ms=0.0,
        outcome=UNMATCHED if outcome is None else said.kind,
        detail=detail,
    )
    if outcome is not None:
        of_result = {name: getattr(outcome, name) for name in ("tier", "provider", "model", "attempt_id")}
        hop = hop.model_copy(update={**of_result, "scores": (said.score,)})
    return Output(HOPS, Hops(request_id=said.request_id, revision=said.revision, hops=(hop,)))


async def _retry(
    said: Feedback, outcome: Outcome, settlements: list[Settlement], index: ResultIndex, ctx: Context
) -> TierTask:
    """Make the task of the next revision.

    Raises:
        _NoRetryError: There is to be none.
    """
    settings, revision = ctx.engine.settings, said.revision + 1
    latest = settlements[-1]
    if latest.revision > said.revision:
        following = await index.outcome(said.request_id, latest) if latest.revision == revision else None
        if following is not None and following.source == ctx.received.source:
            # This very feedback has asked for it, and was delivered again.
            raise _NoRetryError(retried_as(revision))
        raise _NoRetryError(f"noted: there is revision {latest.revision}")
    if revision > settings.feedback.max_revision:
        raise _NoRetryError("retry refused: max_revision")
    if outcome.tier is None:
        raise _NoRetryError(f"retry refused: the result is {outcome.status}, without an answer")
    asked = await _request(outcome, settlements, index, ctx)
    decision = _decision(asked, outcome.tier, ctx)
    lifetime = settings.deadlines.of(asked.request, asked.source.timestamp_ms) - from_millis(asked.source.timestamp_ms)
    window = timedelta(seconds=settings.delivery.dedup_window_s)
    return TierTask(
        request=asked.request,
        digest=outcome.digest,
        revision=revision,
        source=ctx.received.source,
        deadline=from_millis(ctx.received.timestamp) + min(lifetime, window),
        decision=decision,
        tier=decision.tier,
        why=f"feedback on revision {said.revision}, tier {outcome.tier}",
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    request: Request
    source: Source


async def _request(outcome: Outcome, settlements: list[Settlement], index: ResultIndex, ctx: Context) -> _Asked:
    """Read the request again, where the latest revision came in that was not asked for by feedback.

    Raises:
        _NoRetryError: It is no longer there.
    """
    topic = REQUESTS.full_name(ctx.engine.settings.kafka.prefix)
    for earlier in (one for one in reversed(settlements) if one.revision < outcome.revision):
        if outcome.source.topic == topic:
            break
        before = await index.outcome(outcome.request_id, earlier)
        outcome = before if before is not None else outcome
    source = outcome.source
    request = await index.request(source) if source.topic == topic else None
    if request is None or (request.request_id, request.digest()) != (outcome.request_id, outcome.digest):
        raise _NoRetryError("retry refused: the request is no longer kept")
    return _Asked(request, source)


def _decision(asked: _Asked, tier: int, ctx: Context) -> Decision:
    """Decide as it was decided, but for the tier: the next tier up that may serve it within its bounds.

    Raises:
        _NoRetryError: There is none.
    """
    engine, request = ctx.engine, asked.request
    try:
        drafted = engine.router.draft(request, request.digest(), asked.source.timestamp_ms).decision
        if tier >= drafted.ceiling:
            raise _NoRetryError(f"retry refused: {_ceiling(request, drafted, engine.settings)}")
        start = engine.models.lowest_tier(request, tier + 1, drafted.ceiling).tier
    except NoModelError:
        raise _NoRetryError("retry refused: no higher tier has a model for it") from None
    return drafted.model_copy(update={"tier": start, "rule": "feedback", "reasons": (*drafted.reasons, "feedback")})


def _ceiling(request: Request, decision: Decision, settings: Settings) -> str:
    if request.model is not None:
        return "the request names its model"
    if decision.ceiling == settings.top_tier:
        return "top tier"
    return (
        "max_tier" if request.max_tier == decision.ceiling else f"tier {decision.ceiling} is the highest by the rules"
    )
