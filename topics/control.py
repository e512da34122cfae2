"""What all processes of a deployment share: the partition count, and what circuit breakers do and are told to do."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from topics.base import Label, Record, Timestamp


class PartitionCount(Record):
    """How many partitions every topic of the prefix has; fixed for the life of the prefix."""

    SCHEMA: ClassVar[str] = "partition-count/1"

    setting: Literal["partitions"] = "partitions"
    partitions: Annotated[int, Field(ge=1)]

    @property
    def partition_key(self) -> str:
        """The setting's name, which is also what compaction keeps one of."""
        return self.setting


class BreakerState(StrEnum):
    """What a circuit breaker lets through."""

    CLOSED = "closed"
    """Everything."""
    OPEN = "open"
    """Nothing, until its time is up."""
    HALF_OPEN = "half_open"
    """A few probes, whose outcome decides."""


class BreakerStatus(Record):
    """The state of one circuit breaker in one process, for display; nobody acts on it."""

    SCHEMA: ClassVar[str] = "breaker/1"

    worker: Label
    target: Label
    """`provider/model`, or `tier:N` for a tier as a whole."""
    state: BreakerState
    forced: bool = False
    """Whether an operator's order decided the state."""
    reason: str
    since: Timestamp
    until: Timestamp | None = None
    """When probes are let through at the earliest; None unless open, or open by order."""
    calls: int
    failures: int
    slow: int
    """Of the window when the state changed."""
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """Process and target: compaction keeps the latest state of each."""
        return f"breaker:{self.worker}:{self.target}"


class BreakerOrder(Record):
    """An operator's word to all processes about one circuit breaker."""

    SCHEMA: ClassVar[str] = "breaker-order/1"

    target: Label
    order: Literal["open", "closed", "auto"]
    """`auto` takes an earlier order back."""
    by: Label
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The target: compaction keeps the latest order for each."""
        return f"breaker-order:{self.target}"
