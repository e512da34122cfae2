"""Whether a task waits for a batch of the provider instead of being asked now."""

from streams.config.settings_sections import ModelSettings
from streams.fallback.bounds import out_of_bounds
from streams.runtime.stage import Context
from topics.requests import ServiceClass
from topics.tasks import TierTask


def waits_at(task: TierTask, ctx: Context) -> bool:
    """Whether the task's tier has tasks of its kind wait.

    A task that has waited at its tier does not do so again, and one whose text is shown as it comes never does.
    """
    if not ctx.engine.settings.tiers[task.tier - 1].batching.provider or task.request.stream:
        return False
    return task.request.service_class is ServiceClass.BULK and task.waited_here is None


def batch_model(task: TierTask, first: ModelSettings | None, ctx: Context) -> ModelSettings | None:
    """Return the model whose provider's batch a task waits for; None where it is asked now.

    It is the one that would be asked first, or none. A task that has no time to wait does so nevertheless where its
    call has begun: that may be the call of a copy that waits, which is known to who serves those.

    Args:
        task: At a tier where `waits_at` says so, none of whose models has been asked yet.
        first: The model that would be asked first.
        ctx: Of the tier's stage.
    """
    settings = ctx.engine.settings
    if first is None or not settings.has_batches(first) or out_of_bounds(task, ctx) is not None:
        return None
    return first if settings.bulk.has_time(task.deadline, ctx.now()) or ctx.has_begun(task) else None
