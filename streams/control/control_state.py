"""What `llm.control` says: states of breakers for display, orders of operators, and models of the classifier. Pure."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from streams.control.rollout import Activation
from topics.base import Record
from topics.codec import SCHEMA_HEADER, DecodeError, decode, header
from topics.control import (
    ActiveModel,
    BreakerOrder,
    BreakerStatus,
    ModelFile,
    ModelStatus,
    model_key,
    model_status_key,
)
from topics.learned import CanaryState, JudgeRates, OnlinePolicyUpdate, Promotion, promotion_key
from topics.registry import CONTROL

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelPlace:
    """Where the file of a published model stands; it is megabytes, so it is read when it is wanted."""

    key: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A tombstone: what was said under the key holds no longer."""

    key: str


@dataclass(frozen=True, slots=True)
class Learned:
    """A record of what was learned, and when the broker appended it (ms since the epoch)."""

    record: JudgeRates | CanaryState | OnlinePolicyUpdate | Promotion
    appended_ms: int


Entry = Record | Activation | ModelPlace | Learned | Withdrawn


@dataclass
class ControlState:
    """What the topic says: the latest state of each breaker in each process, the latest orders, and the models."""

    statuses: dict[tuple[str, str], BreakerStatus] = field(default_factory=dict)
    """By worker and target."""
    orders: dict[str, BreakerOrder] = field(default_factory=dict)
    """By target; an order `auto` only takes an earlier one back."""
    models: dict[str, ModelPlace] = field(default_factory=dict)
    """By version."""
    activation: Activation | None = None
    model_statuses: dict[str, ModelStatus] = field(default_factory=dict)
    """By worker."""
    promotions: dict[str, Promotion] = field(default_factory=dict)
    """By version of the model."""
    canaries: dict[str, CanaryState] = field(default_factory=dict)
    """By name."""

    def add(self, entry: Entry) -> None:
        """Let an entry replace the one before it."""
        match entry:
            case BreakerStatus():
                self.statuses[entry.worker, entry.target] = entry
            case BreakerOrder():
                self.orders[entry.target] = entry
            case ModelPlace():
                self.models[entry.key.removeprefix(model_key(""))] = entry
            case Activation():
                self.activation = entry
            case ModelStatus():
                self.model_statuses[entry.worker] = entry
            case Learned(Promotion() as promotion):
                self.promotions[promotion.version] = promotion
            case Learned(CanaryState() as state):
                self.canaries[state.name] = state
            case Withdrawn():
                self.models.pop(entry.key.removeprefix(model_key("")), None)
                self.model_statuses.pop(entry.key.removeprefix(model_status_key("")), None)
                self.promotions = {
                    version: page for version, page in self.promotions.items() if promotion_key(version) != entry.key
                }


def entries_of(records: Iterable[Any]) -> Iterator[Entry]:
    """Yield what records of the topic say, as aiokafka gives them; those of newer versions are passed over."""
    for record in records:
        try:
            yield _entry_of(record)
        except DecodeError as error:
            place = (record.topic, record.partition, record.offset)
            log.warning("%s-%d@%d can't be read: %s", *place, error.message)


def _entry_of(record: Any) -> Entry:  # noqa: ANN401 - aiokafka is untyped
    """Read a record, a model file apart, of which only the place is noted.

    Raises:
        DecodeError: It is none that this version knows.
    """
    key = (record.key or b"").decode(errors="replace")
    if record.value is None:
        return Withdrawn(key)
    if header(record.headers, SCHEMA_HEADER) == ModelFile.SCHEMA:
        return ModelPlace(key, record.partition, record.offset)
    found = decode(CONTROL, record.value, record.headers).record
    match found:
        case ActiveModel():
            return Activation(found, record.timestamp)
        case JudgeRates() | CanaryState() | OnlinePolicyUpdate() | Promotion():
            return Learned(found, record.timestamp)
        case _:
            return found
