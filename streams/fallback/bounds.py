"""When no further call may be made for a task."""

from dataclasses import dataclass

from streams.runtime.stage import Context
from topics.results import CANCELLED, ResultStatus
from topics.tasks import TierTask


@dataclass(frozen=True, slots=True)
class OutOfBounds:
    """Why no further call may be made for a task."""

    status: ResultStatus
    code: str
    message: str


def out_of_bounds(task: TierTask, ctx: Context) -> OutOfBounds | None:
    """Say why no further call may be made for the task; None where one may."""
    if ctx.engine.settled.is_cancelled(task.request.request_id, task.revision, task.source.timestamp_ms):
        return OutOfBounds(ResultStatus.REJECTED, CANCELLED, "it was cancelled before it was answered")
    if ctx.now() >= task.deadline:
        return OutOfBounds(ResultStatus.EXPIRED, "deadline", "the deadline passed before an answer was found")
    if task.is_spent:
        limit = task.request.max_cost_usd
        return OutOfBounds(ResultStatus.FAILED, "max_cost", f"max_cost_usd of {limit} is used up")
    most = ctx.engine.settings.attempts.max_attempts
    if task.calls_for_an_answer >= most:
        return OutOfBounds(ResultStatus.FAILED, "max_attempts", f"no answer in {most} attempts")
    return None
