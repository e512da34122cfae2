"""Classifiers: how likely each tier is the lowest one that will do."""

from collections.abc import Sequence
from typing import Protocol

from topics.requests import Request


class Classifier(Protocol):
    """Scores a request; implementations are pure and deterministic unless their docstring says otherwise."""

    @property
    def version(self) -> str:
        """Name and version, recorded with each decision."""

    def needs_more_than(self, request: Request, query_type: str, tiers: int) -> Sequence[float]:
        """Return, for each tier but the last, the probability that the request needs a higher one.

        The values do not increase; a request that needs more than tier 2 needs more than tier 1.
        """


def tier_probabilities(needs: Sequence[float]) -> tuple[float, ...]:
    """Turn the probabilities of needing more into one for each tier that it is the lowest that will do."""
    above = [1.0, *needs, 0.0]
    return tuple(round(max(above[i] - above[i + 1], 0.0), 6) for i in range(len(above) - 1))
