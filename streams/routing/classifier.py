"""Classifiers: how likely each tier is the lowest one that will do, and what kind of request it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from topics.requests import Request


class QueryType(StrEnum):
    """The kinds that rules and reports tell apart, by what is to be done, whatever the subject."""

    FAQ = "faq"
    """A question to be answered from knowledge or from given facts."""
    EXTRACTION = "extraction"
    """Something to be pulled out of, or marked in, a given text."""
    CODE = "code"
    """Programs, queries, configuration, logs, and the design of software."""
    SUPPORT = "support"
    """Service to customers and the like: their problems, and replies to them."""
    ANALYSIS = "analysis"
    """Something to be worked out from figures, facts or a situation."""
    OTHER = "other"
    """Rewriting, translating, summarising, inventing, small talk, commands."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a classifier makes of a request.

    Attributes:
        needs: For each tier but the last, the probability that the request needs a higher one. The values do not
            increase: a request that needs more than tier 2 needs more than tier 1.
        query_type: The producer's label, else what it looks like.
    """

    needs: Sequence[float]
    query_type: str


class Classifier(Protocol):
    """Scores a request; implementations are pure and deterministic unless their docstring says otherwise."""

    @property
    def version(self) -> str:
        """Name and version, recorded with each decision."""

    def read(self, request: Request, tiers: int) -> Reading:
        """Score a request for so many tiers."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a word, a feature of the form or a model of outcomes did to the scores.

    Attributes:
        name: The word, the feature or the model.
        kind: Which of them it is.
        moved: By how much it raised the log odds of needing more than tier 1, 2 and so on, for each tier but the last.
    """

    name: str
    kind: Literal["word", "form", "outcomes"]
    moved: tuple[float, ...]


@runtime_checkable
class ExplainingClassifier(Classifier, Protocol):
    """A classifier that says what moved its scores."""

    def evidence(self, request: Request, tiers: int) -> list[Evidence]:
        """Say what moved the scores for so many tiers, in no order."""


def tier_probabilities(needs: Sequence[float]) -> tuple[float, ...]:
    """Turn the probabilities of needing more into one for each tier that it is the lowest that will do."""
    above = [1.0, *needs, 0.0]
    return tuple(round(max(above[i] - above[i + 1], 0.0), 6) for i in range(len(above) - 1))
