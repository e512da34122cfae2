"""How good a learned classifier is on labelled outcomes: by slice, beside what it has to beat."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.routing.learned.classifier import LearnedClassifier
from tierstream.training.evaluation import (
    Array,
    Ints,
    Lead,
    MetricIntervals,
    Metrics,
    NoGapError,
    Ranking,
    draw_metrics,
    intervals,
    lead,
    oracle,
    random_metrics,
)
from tierstream.training.folds import deal_groups, deal_subjects, number_consecutively, passage_groups
from tierstream.training.outcome_file import LabelledOutcome

BROKEN_LABELS: Final = frozenset({"high_school_mathematics", "moral_scenarios"})
"""Subjects of MMLU in RouteLLM's outcomes: the stronger model's answers to the first were not extracted (3 % right),
and 895 questions of the second have one stem."""
MMLU: Final = "mmlu"
CLEAN: Final = "mmlu_clean"
UNSEEN: Final = "unseen_subjects"
MODEL: Final = "model"
BASELINE: Final = "tf-idf ridge"

Progress = Callable[[float], None]


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
    """Metrics of one way to route; intervals where they were asked for.

    Attributes:
        router: Its name.
        metrics: Of the whole slice.
        intervals: Of the metrics.
        model_lead: How far the model is ahead of it; None for the model itself, and where there is nothing to compare.
    """

    router: str
    metrics: Metrics
    intervals: MetricIntervals | None
    model_lead: Lead | None


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

    def unseen_in(self, training: "Outcomes") -> Ints:
        """Return the rows whose subject does not occur in the training; those without a subject are not among them."""
        known = {*zip(training.benchmarks.tolist(), training.subjects.tolist(), strict=True)}
        mine = zip(self.benchmarks.tolist(), self.subjects.tolist(), strict=True)
        return np.array([i for i, place in enumerate(mine) if place[1] and place not in known], dtype=np.intp)

    def shared_with(self, training: "Outcomes") -> int:
        """Count the prompts that occur in the training too."""
        known = set(training.prompts)
        return sum(prompt in known for prompt in self.prompts)

    def scores_of(self, model: LearnedClassifier, on_progress: Progress) -> Array:
        """Score all prompts: (outcomes,)."""
        step = 256
        found: list[float] = []
        for start in range(0, len(self.prompts), step):
            found += model.score_many(self.prompts[start : start + step])
            on_progress(len(found) / len(self.prompts))
        return np.array(found)


def evaluate_slice(
    name: str, outcomes: Outcomes, rows: Ints, scores: Array, baseline: Array | None, bootstrap: Bootstrap
) -> Slice:
    """Compare the scores with the tf-idf baseline, prompt length, chance and the oracle on some of the outcomes.

    Args:
        name: Of the slice.
        outcomes: All of them.
        rows: Which ones.
        scores: (outcomes,) The model's.
        baseline: (outcomes,) The tf-idf baseline's, if it was fitted.
        bootstrap: Draws of the intervals; none: no intervals.
    """
    weak, strong = outcomes.weak[rows], outcomes.strong[rows]
    rankings = {
        MODEL: Ranking(scores[rows], weak, strong),
        **({} if baseline is None else {BASELINE: Ranking(baseline[rows], weak, strong)}),
        "prompt length": Ranking([len(outcomes.prompts[i]) for i in rows], weak, strong),
        "oracle": oracle(weak, strong),
    }
    groups = number_consecutively(outcomes.groups[rows].tolist())
    try:
        metrics = [ranking.metrics() for ranking in rankings.values()]
        chance = random_metrics(weak, strong)
    except NoGapError:
        routers = []
    else:
        drawn = draw_metrics([*rankings.values()], groups, bootstrap.draws, bootstrap.seed)
        routers = [
            RouterFigures(
                router,
                metrics[i],
                intervals([draw[i] for draw in drawn]),
                None if router in {MODEL, "oracle"} else lead(metrics[0], metrics[i], [(d[0], d[i]) for d in drawn]),
            )
            for i, router in enumerate(rankings)
        ]
        routers.insert(-1, RouterFigures("random", chance, None, None))
    paper = PAPER.get(name.lower(), ())
    return Slice(name, len(rows), float(weak.mean()), float(strong.mean()), tuple(routers), paper)
