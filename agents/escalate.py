"""escalations -> tier tasks. An answer that was not good enough sends its task one tier up, as far as it may go."""

from streams.kafka.publisher import Output
from streams.runtime.outcomes import given_up
from streams.runtime.stage import Context, Outputs, stage
from topics.events import StatusEvent, StatusKind
from topics.registry import ESCALATIONS, tier_tasks
from topics.results import ResultStatus
from topics.tasks import Escalation


@stage(source=ESCALATIONS, emits=(tier_tasks,), in_flight=1_000, pays=False)
async def escalate(escalation: Escalation, ctx: Context) -> Outputs:
    """Send the task up, or end it with its best answer where there is no higher tier for it."""
    task = escalation.task
    if task.tier >= task.decision.ceiling:
        ended = task.after(ctx.hop("exhausted", tier=task.tier, detail=escalation.reason))
        return [given_up(ctx.stage, ended, ended.attempts, ResultStatus.FAILED, "no_good_answer", escalation.reason)]
    why = f"escalated from tier {task.tier}: {_in_short(escalation.reason)}"
    hop = ctx.hop("escalated", tier=task.tier + 1, detail=escalation.reason)
    up = task.after(hop).model_copy(update={"tier": task.tier + 1, "promoted_from": None, "why": why})
    told = ": ".join(part for part in (escalation.reason, escalation.said) if part)
    event = StatusEvent(kind=StatusKind.ESCALATED, at=ctx.now(), tier=up.tier, detail=told)
    return [
        Output(tier_tasks(up.tier), up),
        ctx.status(task.request.request_id, task.revision, event),
    ]


def _in_short(reason: str) -> str:
    """Leave out what is wrong in particular: a route is made of few different words, by which it is counted."""
    return ": ".join(reason.split(": ")[:2])
