"""Versions of the classifier's model as an operator sees them: what is published, in force, and loaded. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from streams.control.control_state import ControlState
from streams.control.rollout import Step, in_force, millis, needed, steps_of
from topics.base import from_millis
from topics.control import ModelFile, ModelStatus

BUILT_IN: Final = ("configured", "shipped")
"""Versions that nobody publishes: what the settings name, and what comes with the package."""

Role = Literal["pending", "active", "previous", "recent"]
"""`recent`: ended so recently that requests of its time may be delivered again."""


@dataclass(frozen=True, slots=True)
class PublishedModel:
    """What there is to know of a published model, without its file."""

    version: str
    size: int
    """Of the file, bytes."""
    outcomes: int
    """How many it was trained on."""
    classifier: str
    """The name in decisions."""
    note: str | None
    by: str
    at: datetime

    @classmethod
    def of(cls, record: ModelFile) -> "PublishedModel":
        """Take what a record says."""
        size = len(record.file)
        return cls(record.version, size, record.outcomes, record.classifier, record.note, record.by, record.at)


@dataclass(frozen=True, slots=True)
class ModelReport:
    """A version: what was published, and what it does."""

    version: str
    published: PublishedModel | None
    """None: built in, or its record can't be read."""
    role: Role | None
    """None: it decides nothing."""
    since: datetime | None
    """From when on it decides or decided, the latest time; None where it always did, or never."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        known = self.published
        return {
            "version": self.version,
            "role": self.role,
            "since": None if self.since is None else self.since.isoformat(),
            "bytes": known.size if known else None,
            "outcomes": known.outcomes if known else None,
            "classifier": known.classifier if known else None,
            "note": known.note if known else None,
            "by": known.by if known else None,
            "at": known.at.isoformat() if known else None,
        }


@dataclass(frozen=True, slots=True)
class WorkerModel:
    """What a process said last; of an earlier activation if it has ended since, or can't read the topic."""

    status: ModelStatus
    is_current: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**self.status.model_dump(mode="json"), "current": self.is_current}


def steps_now(state: ControlState, now: datetime, window: timedelta) -> tuple[Step, ...]:
    """Return the versions that requests are or may be decided by, in the order in which they take force.

    Args:
        state: What the topic says.
        now: The time.
        window: How far back requests may be delivered again.
    """
    return needed(steps_of(state.activation), millis(now - window))


def model_reports(
    state: ControlState, published: Iterable[PublishedModel], now: datetime, window: timedelta
) -> list[ModelReport]:
    """List every version, built-in ones first and then by age."""
    steps = steps_now(state, now, window)
    known = {model.version: model for model in sorted(published, key=lambda model: model.at)}
    versions = dict.fromkeys([*BUILT_IN, *known, *sorted(state.models), *(step.version for step in steps)])
    found = _roles(steps, now)
    return [ModelReport(version, known.get(version), *found.get(version, (None, None))) for version in versions]


def worker_models(state: ControlState) -> list[WorkerModel]:
    """List what the processes say, those that have not spoken of the latest activation last."""
    ordered_at = state.activation.order.at if state.activation is not None else None
    found = [WorkerModel(status, status.ordered_at == ordered_at) for status in state.model_statuses.values()]
    return sorted(found, key=lambda worker: (not worker.is_current, worker.status.worker))


def _roles(steps: tuple[Step, ...], now: datetime) -> dict[str, tuple[Role, datetime | None]]:
    """Name the most important role of each version."""
    place = steps.index(in_force(steps, millis(now)))
    ranked: list[tuple[Step, Role]] = [
        *((step, "recent") for step in steps[: max(place - 1, 0)]),
        *((step, "previous") for step in steps[max(place - 1, 0) : place]),
        *((step, "pending") for step in steps[place + 1 :]),
        (steps[place], "active"),
    ]
    # A version can come several times: what stands last is what counts most.
    return {step.version: (role, from_millis(step.since_ms) if step.since_ms else None) for step, role in ranked}
