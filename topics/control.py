"""What all processes share: the partition count, circuit breakers and orders for them, and models of the classifier."""

import hashlib
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Base64Bytes, Field

from topics.base import Label, Record, Timestamp

MODEL_MAX_BYTES: Final = 5_000_000
"""Largest model file that is published: as Base64 it fits into a record of 8 MiB."""
STEPS_BEFORE: Final = 3
"""Most earlier versions that an activation names."""

CLASSIFIER_TARGET: Final = "classify"
"""The breaker of the language model as a classifier, besides that of the model itself."""

_VERSION_DIGITS: Final = 12


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
    """`provider/model`, `tier:N` for a tier as a whole, or `classify`."""
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


PublishedVersion = Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]
"""The first digits of the SHA-256 of a model file."""

ModelVersion = PublishedVersion | Literal["shipped", "configured"]
"""A published model, the one that ships with the package, or whichever the settings of a process name."""


class ModelFile(Record):
    """A version of the learned classifier, for workers on any host."""

    SCHEMA: ClassVar[str] = "model/1"

    version: PublishedVersion
    file: Base64Bytes
    classifier: Label
    """The name of the version in decisions: the digest of the parameters."""
    outcomes: Annotated[int, Field(ge=0)]
    """How many it was trained on."""
    note: Label | None = None
    by: Label
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The version: a file that is published again replaces its record."""
        return model_key(self.version)

    @property
    def is_intact(self) -> bool:
        """Whether the file is the one that the version names."""
        return version_of(self.file) == self.version


def version_of(file: bytes) -> str:
    """Return the version that a model file is published as."""
    return hashlib.sha256(file).hexdigest()[:_VERSION_DIGITS]


def model_key(version: str) -> str:
    """Return the key of a model file's record, which is also that of its tombstone."""
    return f"model:{version}"


class ModelStep(Record):
    """A version that took force at a time of the broker's."""

    version: ModelVersion
    effective_at: Timestamp


class ActiveModel(Record):
    """An operator's word on which model decides from when on.

    It takes force `delay_ms` after the broker has appended it: requests that the broker appends from then on are
    decided by `version`, earlier ones as `before` says, whenever and wherever they are delivered.
    """

    SCHEMA: ClassVar[str] = "active-model/1"

    version: ModelVersion
    delay_ms: Annotated[int, Field(ge=0)]
    before: Annotated[tuple[ModelStep, ...], Field(max_length=STEPS_BEFORE)] = ()
    """The oldest first; what has not taken force when this order is appended never does."""
    by: Label
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """One for the deployment."""
        return "active-model"


class ModelStatus(Record):
    """What one process made of the latest activation, for display; nobody acts on it."""

    SCHEMA: ClassVar[str] = "model-status/1"

    worker: Label
    version: ModelVersion
    """The one that was activated."""
    ordered_at: Timestamp
    """The activation's `at`, which tells what is about an earlier one."""
    state: Literal["loaded", "failed", "ignored"]
    """`failed`: the process stays with the version before. `ignored`: its settings use no learned classifier."""
    detail: str
    """The classifier's version in decisions, or why it was not loaded."""
    at: Timestamp

    @property
    def partition_key(self) -> str:
        """The process: compaction keeps the latest word of each."""
        return model_status_key(self.worker)


def model_status_key(worker: str) -> str:
    """Return the key of a process's word on models, which is also that of its tombstone."""
    return f"model-status:{worker}"
