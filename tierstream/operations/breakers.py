"""Circuit breakers as an operator sees them: what processes say about each target, and orders in force. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from streams.config.settings import Settings
from streams.control.control_state import ControlState
from streams.control.status_publisher import STALE_AFTER
from topics.control import CLASSIFIER_TARGET, BreakerOrder, BreakerState, BreakerStatus

FORGOTTEN_AFTER: Final = timedelta(hours=1)
"""A process that has said nothing for so long is not shown any more."""

_BY_SEVERITY: Final = (BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one process said last about a breaker; a stale report comes from one that should have said it again."""

    status: BreakerStatus
    is_stale: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**self.status.model_dump(mode="json", exclude={"target"}), "stale": self.is_stale}


@dataclass(frozen=True, slots=True)
class TargetReport:
    """A breaker over all processes: `provider/model`, `tier:N` or `classify`."""

    target: str
    workers: tuple[WorkerReport, ...]
    """The worst first, stale ones last."""
    order: BreakerOrder | None
    """Of an operator, in force."""

    @property
    def worst(self) -> BreakerStatus | None:
        """The worst that a living process says; None: nobody says anything, which means closed."""
        return next((worker.status for worker in self.workers if not worker.is_stale), None)

    @property
    def state(self) -> BreakerState:
        """The worst state over the living processes."""
        return self.worst.state if self.worst is not None else BreakerState.CLOSED

    @property
    def is_noteworthy(self) -> bool:
        """Whether it is anything but closed by itself."""
        return self.state != BreakerState.CLOSED or self.order is not None

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "target": self.target,
            "state": self.state.value,
            "order": self.order.model_dump(mode="json", exclude={"target"}) if self.order else None,
            "workers": [worker.as_json() for worker in self.workers],
        }


def known_targets(settings: Settings) -> list[str]:
    """List the breakers that a deployment with these settings has: tiers, then models, then the classifier's."""
    tiers = [f"tier:{number}" for number in range(1, settings.top_tier + 1)]
    models = list(dict.fromkeys(target for target, _ in settings.gated_models()))
    return [*tiers, *models, *([CLASSIFIER_TARGET] if settings.routing.asks_llm else [])]


def target_reports(state: ControlState, targets: Iterable[str], now: datetime) -> list[TargetReport]:
    """Put together what is known of each target, and of those that only processes or orders name.

    Args:
        state: What the topic says.
        targets: See `known_targets`.
        now: Tells what is stale, and what is forgotten.
    """
    told = [status for status in state.statuses.values() if now - status.at < FORGOTTEN_AFTER]
    in_force = {order.target: order for order in state.orders.values() if order.order != "auto"}
    named = dict.fromkeys([*targets, *sorted({status.target for status in told} | in_force.keys())])
    return [
        TargetReport(target, _workers([s for s in told if s.target == target], now), in_force.get(target))
        for target in named
    ]


def _workers(statuses: Sequence[BreakerStatus], now: datetime) -> tuple[WorkerReport, ...]:
    reports = [
        WorkerReport(status, status.state != BreakerState.CLOSED and now - status.at > STALE_AFTER)
        for status in statuses
    ]
    return tuple(sorted(reports, key=_rank))


def _rank(report: WorkerReport) -> tuple[bool, int, str]:
    return report.is_stale, -_BY_SEVERITY.index(report.status.state), report.status.worker
