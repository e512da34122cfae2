"""What a request leaves behind for a comparison: its answer, to be held against a candidate's."""

from typing import ClassVar

from topics.base import Label, Record
from topics.tasks import Completion, TierTask


class ShadowTask(Record):
    """A request that has its answer, and that a candidate is asked as well.

    Nobody waits for it, so it is no `TaskRecord`: the request has its result, or will have it, whatever comes of this.
    """

    SCHEMA: ClassVar[str] = "shadow-task/1"
    REQUEST_ID_AT: ClassVar[tuple[str, ...]] = ("task", *TierTask.REQUEST_ID_AT)

    task: TierTask
    """The request as the tier had it, without what happened to it; its deadline is that of the comparison."""
    completion: Completion
    """The answer that the requester gets."""
    shadow: Label
    """As the settings call it."""

    @property
    def partition_key(self) -> str:
        """The request id."""
        return self.task.partition_key
