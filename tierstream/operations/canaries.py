"""Canaries as an operator sees them: those of the settings, and what was last said of each. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from streams.config.settings import Settings
from streams.config.settings_candidates import CanarySettings
from streams.control.control_state import ControlState
from topics.learned import CanaryState


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """A canary of the settings."""

    plan: CanarySettings
    said: CanaryState | None
    """The latest word on it with this candidate; None: it runs, and nothing was learned."""

    @property
    def state(self) -> str:
        """running, stopped or passed."""
        return self.said.state if self.said is not None else "running"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        plan = self.plan
        told = self.said.model_dump(mode="json", exclude={"name", "model", "state"}) if self.said else None
        place = {"name": plan.name, "tier": plan.tier, "model": plan.model.ref, "share": plan.share}
        return {**place, "state": self.state, "said": told}


def canary_reports(settings: Settings, state: ControlState) -> Iterator[CanaryReport]:
    """Yield the canaries in the order of the settings."""
    for plan in settings.canary:
        said = state.canaries.get(plan.name)
        yield CanaryReport(plan, said if said is not None and said.model == plan.model.ref else None)


def ordered(report: CanaryReport, state: Literal["running", "stopped"], *, by: str, at: datetime) -> CanaryState:
    """Make an operator's word on a canary; what was counted so far stays."""
    if report.said is not None:
        return report.said.model_copy(update={"state": state, "reason": "ordered", "by": by, "at": at})
    return CanaryState(
        name=report.plan.name,
        model=report.plan.model.ref,
        state=state,
        reason="ordered",
        candidate_requests=0,
        candidate_failures=0,
        incumbent_requests=0,
        incumbent_failures=0,
        by=by,
        at=at,
    )
