"""How good a learned classifier is on labelled outcomes: by slice, beside what it has to beat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.routing.evaluation import (
    Array,
    Ints,
    MetricIntervals,
    Metrics,
    NoGapError,
    Ranking,
    oracle,
    random_metrics,
)
from streams.routing.folds import deal_groups, deal_subjects, number_consecutively, passage_groups
from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.learned.cross_validation import out_of_fold_scores
from streams.routing.learned.training import TrainingOptions
from tierstream.outcome_file import LabelledOutcome

BROKEN_LABELS: Final = frozenset({"high_school_mathematics", "moral_scenarios"})
"""Subjects of MMLU in RouteLLM's outcomes: the stronger model's answers to the first were not extracted (3 % right),
and 895 questions of the second have one stem."""
MMLU: Final = "mmlu"
CLEAN: Final = "mmlu_clean"
UNSEEN: Final = "unseen_subjects"


@dataclass(frozen=True, slots=True)
class PaperRow:
    """A router of the RouteLLM paper; the shares are fractions."""

    router: str
    cpt50: float
    cpt80: float
    apgr: float


PAPER: Final[dict[str, tuple[PaperRow, ...]]] = {
    MMLU: (
        PaperRow("BERT + golden labels", 0.4130, 0.7220, 0.572),
        PaperRow("matrix factorization + golden labels", 0.3546, 0.7140, 0.597),
        PaperRow("causal LLM + golden labels", 0.3549, 0.7031, 0.600),
        PaperRow("SW ranking + golden labels", 0.3540, 0.7155, 0.603),
    ),
    "gsm8k": (
        PaperRow("BERT + judge's labels", 0.4476, 0.7909, 0.531),
        PaperRow("matrix factorization + judge's labels", 0.3882, 0.7262, 0.565),
        PaperRow("SW ranking + judge's labels", 0.4121, 0.7220, 0.568),
        PaperRow("causal LLM + judge's labels", 0.3364, 0.6326, 0.622),
    ),
}
"""The best rows of tables 2 and 3 (arXiv 2406.18665): trained on other prompts, tested on the whole benchmark."""


@dataclass(frozen=True, slots=True)
class RouterFigures:
    """Metrics of one way to route; intervals where they were asked for."""

    router: str
    metrics: Metrics
    intervals: MetricIntervals | None


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the outcomes.

    Attributes:
        name: A benchmark, or what was left out of it.
        outcomes: How many.
        weak: Mean quality of the weaker model.
        strong: The same for the stronger one.
        routers: The model first; empty where the stronger model is no better.
        paper: What the paper reports for this benchmark.
    """

    name: str
    outcomes: int
    weak: float
    strong: float
    routers: tuple[RouterFigures, ...]
    paper: tuple[PaperRow, ...]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How often the outcomes are drawn anew, and from which seed."""

    draws: int
    seed: int


class Outcomes:
    """Labelled outcomes as columns."""

    def __init__(self, rows: Sequence[LabelledOutcome]) -> None:
        self.prompts = [row.prompt for row in rows]
        self.weak: Array = np.array([row.weak_correct for row in rows])
        self.strong: Array = np.array([row.strong_correct for row in rows])
        self.benchmarks = np.array([row.benchmark for row in rows])
        self.subjects = np.array([row.subject for row in rows])
        self.groups: Ints = passage_groups(self.prompts)

    @property
    def broken(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Whether a label is one of `BROKEN_LABELS`: (outcomes,)."""
        return np.asarray((self.benchmarks == MMLU) & np.isin(self.subjects, list(BROKEN_LABELS)))

    def slices(self) -> dict[str, Ints]:
        """Name the rows of each benchmark, and of MMLU without broken labels."""
        found = {str(name): np.flatnonzero(self.benchmarks == name) for name in np.unique(self.benchmarks)}
        if self.broken.any():
            found[CLEAN] = np.flatnonzero((self.benchmarks == MMLU) & ~self.broken)
        return {name: rows for name, rows in sorted(found.items()) if len(rows)}

    def passage_folds(self, folds: int, seed: int) -> Ints:
        """Deal the passages to folds."""
        return deal_groups(self.groups, folds, seed)

    def subject_folds(self, folds: int, seed: int) -> Ints | None:
        """Deal the subjects to folds; None if there are too few.

        Outcomes without a subject beside others, and broken labels, are in no fold: they are only trained on.
        """
        several = [b for b in np.unique(self.benchmarks) if len(set(self.subjects[self.benchmarks == b])) >= folds]
        dealt = np.isin(self.benchmarks, several) & ~self.broken & (self.subjects != "")
        subjects = self.subjects[dealt].tolist()
        if len(set(subjects)) < folds:
            return None
        found = np.full(len(self.prompts), -1, dtype=np.intp)
        found[dealt] = deal_subjects(subjects, folds, seed)
        return found

    def scores_of(self, model: LearnedClassifier, on_progress: Callable[[float], None]) -> Array:
        """Score all prompts: (outcomes,)."""
        step = 256
        found: list[float] = []
        for start in range(0, len(self.prompts), step):
            found += model.score_many(self.prompts[start : start + step])
            on_progress(len(found) / len(self.prompts))
        return np.array(found)

    def out_of_fold(self, folds: Ints, seed: int, on_progress: Callable[[float], None]) -> Array:
        """Score each prompt that is in a fold by a model trained on the rest.

        Raises:
            TrainingError: The rest can't be learned from.
        """
        options = TrainingOptions(seed=seed)
        return out_of_fold_scores(self.prompts, self.weak, self.strong, folds, options, on_progress)


def evaluate_slice(name: str, outcomes: Outcomes, rows: Ints, scores: Array, bootstrap: Bootstrap) -> Slice:
    """Compare the scores with prompt length, chance and the oracle on some of the outcomes.

    Args:
        name: Of the slice.
        outcomes: All of them.
        rows: Which ones.
        scores: (outcomes,) The model's.
        bootstrap: Draws of the intervals; none: no intervals.
    """
    weak, strong = outcomes.weak[rows], outcomes.strong[rows]
    lengths = [len(outcomes.prompts[i]) for i in rows]
    rankings = {
        "model": Ranking(scores[rows], weak, strong),
        "prompt length": Ranking(lengths, weak, strong),
        "oracle": oracle(weak, strong),
    }
    groups = number_consecutively(outcomes.groups[rows].tolist())
    try:
        routers = [
            RouterFigures(router, ranking.metrics(), _intervals(ranking, groups, bootstrap))
            for router, ranking in rankings.items()
        ]
        routers.insert(2, RouterFigures("random", random_metrics(weak, strong), None))
    except NoGapError:
        routers = []
    return Slice(name, len(rows), float(weak.mean()), float(strong.mean()), tuple(routers), PAPER.get(name, ()))


def _intervals(ranking: Ranking, groups: Ints, bootstrap: Bootstrap) -> MetricIntervals | None:
    return ranking.intervals(groups, bootstrap.draws, bootstrap.seed) if bootstrap.draws else None
