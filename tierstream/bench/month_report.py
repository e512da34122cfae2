"""What a month came to, with the loop off and on, as it is printed and as JSON."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict

from tierstream.bench.pipeline_report import Machine

_THOUSAND = 1000


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True)


class Day(_Figures):
    """A day of one run."""

    day: int
    requests: int
    right: int
    """First results that are right, by what only the simulator knows."""
    right_in_the_end: int
    """With the revisions that users asked for in place of what they complained of."""
    first_tiers: dict[str, int]
    """Results by the tier that was asked first."""
    tiers: dict[str, int]
    """By the tier that answered."""
    judged: int
    """Results with a verdict on one of their answers."""
    escalated: int
    right_by_kind: dict[str, tuple[int, int]]
    """First results that are right, and all, by kind of question."""
    cost_usd: Decimal = Decimal(0)
    """All paid calls for its requests, by the ledger: judges, votes and revisions too."""


class Step(_Figures):
    """What was done with a model of the classifier, as `tierstream report learning` has it."""

    day: int
    """After the requests of which it was done, or among them; 0: before the first."""
    version: str
    state: str
    by: str
    reason: str


class TrainingRound(_Figures):
    """A round of `tierstream learn train`."""

    after_day: int
    version: str | None = None
    """None: there was too little to learn from."""
    state: str
    reason: str
    labels: dict[str, int] = {}
    """By source."""
    held_back: int = 0
    moved: int = 0
    untested: int = 0


class LearnedRate(_Figures):
    """How often the judge looks at the answers of a model on a tier about one type of request."""

    tier: int
    model: str
    query_type: str
    rate: float
    reason: str


class Learned(_Figures):
    """What else the deployment had learned by the end."""

    judge_rates: tuple[LearnedRate, ...]
    judge_others: float | None
    """Of what has no rate of its own; None: no rates were learned."""
    online_policies: int
    """Versions of the router under a budget."""
    canaries: dict[str, str]
    """States by name."""
    escalations: int
    validations: int
    feedback: dict[str, int]
    """By kind; what nobody could match among it."""
    revisions: int
    """Results that feedback asked for."""
    revisions_right: int
    cost_by_purpose: dict[str, Decimal]


class Verified(_Figures):
    """What `tierstream verify` said at the end of a run."""

    ok: bool
    violated: dict[str, int]
    """By check; empty where every invariant holds."""


RunName = Literal["off", "on", "budget"]


class MonthRun(_Figures):
    """One run: the loop off, on, or on and under a budget, where what was learned of the tiers decides."""

    name: RunName
    seconds: float
    requests: int
    results: int
    missing: int
    duplicates: int
    days: tuple[Day, ...]
    steps: tuple[Step, ...]
    rounds: tuple[TrainingRound, ...]
    planted: str | None
    """The version that was activated though it is bad."""
    learned: Learned
    verified: Verified

    @property
    def is_sound(self) -> bool:
        """Whether each request has its one result and every invariant holds."""
        return not self.missing and not self.duplicates and self.verified.ok

    @property
    def usd_per_request(self) -> float | None:
        """What a request cost on average, to six places; None where nothing was spent."""
        return round(self.share(1, len(self.days) + 1).usd_per_1000 / _THOUSAND, 6) or None

    def share(self, since: int, until: int) -> "RunShare":
        """Return what the days since one and before another came to."""
        days = [day for day in self.days if since <= day.day < until]
        requests = sum(day.requests for day in days) or 1
        return RunShare(
            right=round(sum(day.right for day in days) / requests, 4),
            right_in_the_end=round(sum(day.right_in_the_end for day in days) / requests, 4),
            usd_per_1000=round(float(sum((day.cost_usd for day in days), Decimal(0))) * _THOUSAND / requests, 4),
        )


class Change(_Figures):
    """What changes in the world."""

    day: int
    """From whose beginning on it holds."""
    what: str


class RunShare(_Figures):
    """What some days of a run came to."""

    right: float
    right_in_the_end: float
    usd_per_1000: float


class Phase(_Figures):
    """The days between two changes."""

    first: int
    last: int
    runs: dict[RunName, RunShare]


class MonthReport(_Figures):
    """A whole month, in each run."""

    machine: Machine
    at: datetime
    seed: int
    rate: float
    changes: tuple[Change, ...]
    loop: dict[str, object]
    """The settings of the runs that learn, beside those of the other."""
    budget_usd_per_request: float | None
    """What the run under a budget is told to spend: what the run without the loop did. None: there is none."""
    runs: tuple[MonthRun, ...]
    """Loop off, loop on, and where there is one, under a budget."""
    phases: tuple[Phase, ...]
    """The last one is of the whole month."""

    @property
    def is_sound(self) -> bool:
        """Whether all runs are."""
        return all(run.is_sound for run in self.runs)

    @property
    def on(self) -> MonthRun:
        """The run in which models of the classifier are trained."""
        return next(run for run in self.runs if run.name == "on")


def phases_of(runs: Sequence[MonthRun], changes: Sequence[Change]) -> Iterator[Phase]:
    """Cut the month where something changes; then comes all of it."""
    end = max(len(run.days) for run in runs) + 1
    cuts = sorted({1, end, *(change.day for change in changes)})
    for since, until in [*pairwise(cuts), (1, end)]:
        yield Phase(first=since, last=until - 1, runs={run.name: run.share(since, until) for run in runs})
