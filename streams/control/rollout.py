"""Which model of the classifier was, is and will be in force, as the latest activation says. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from topics.base import Timestamp, from_millis
from topics.control import STEPS_BEFORE, ActiveModel, ModelStep, ModelVersion

CONFIGURED: Final = "configured"
"""The model that the settings of each process name; in force where nothing was ever activated."""


@dataclass(frozen=True, slots=True)
class Step:
    """A version, and the broker's time from which on it decides (ms since the epoch)."""

    version: ModelVersion
    since_ms: int


@dataclass(frozen=True, slots=True)
class Activation:
    """The latest order, and when the broker appended it (ms since the epoch)."""

    order: ActiveModel
    appended_ms: int

    @property
    def latest(self) -> Step:
        """What it orders."""
        return Step(self.order.version, self.appended_ms + self.order.delay_ms)


def steps_of(activation: Activation | None) -> tuple[Step, ...]:
    """Return the versions in the order in which they take force, the one that was ordered last.

    An order takes back one that has not taken force when it comes, and a version that follows itself has begun before.
    """
    if activation is None:
        return (Step(CONFIGURED, 0),)
    named = (Step(step.version, millis(step.effective_at)) for step in activation.order.before)
    steps: list[Step] = []
    for step in (*(step for step in named if step.since_ms <= activation.appended_ms), activation.latest):
        if not steps or steps[-1].version != step.version:
            steps.append(step)
    return tuple(steps)


def needed(steps: tuple[Step, ...], since_ms: int) -> tuple[Step, ...]:
    """Drop versions that decide nothing any more: those that ended before a time, the last two apart.

    Args:
        steps: See `steps_of`.
        since_ms: When requests were appended that may be delivered again, at the earliest (ms since the epoch).
    """
    ended = sum(after.since_ms <= since_ms for after in steps[1:])
    return steps[max(min(ended, len(steps) - 2), 0) :]


def next_order(
    earlier: tuple[Step, ...], version: ModelVersion, delay: timedelta, *, by: str, at: Timestamp
) -> ActiveModel:
    """Make the order that follows what was in force until now.

    Args:
        earlier: What `needed` left of the steps until now.
        version: To activate.
        delay: How long after the broker has appended the order.
        by: Who orders it.
        at: When.
    """
    return ActiveModel(
        version=version,
        delay_ms=round(delay.total_seconds() * 1000),
        before=tuple(
            ModelStep(version=step.version, effective_at=from_millis(step.since_ms)) for step in earlier[-STEPS_BEFORE:]
        ),
        by=by,
        at=at,
    )


def in_force(steps: tuple[Step, ...], now_ms: int) -> Step:
    """Return the version that decides requests of that time (ms since the epoch)."""
    return next((step for step in reversed(steps) if step.since_ms <= now_ms), steps[0])


def millis(moment: Timestamp) -> int:
    """Return a moment as ms since the epoch."""
    return round(moment.timestamp() * 1000)
