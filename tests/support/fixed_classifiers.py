"""Classifiers whose scores a test knows beforehand."""

from collections.abc import Sequence

from streams.routing.classifier import QueryType, Reading
from topics.requests import Request


class Fixed:
    """Says the same of every request.

    Args:
        needs: Probability of needing more than tier 1, than tier 2 and so on; 0 for the steps above.
        query_type: Of requests whose producer names none.
    """

    version = "fixed/1"

    def __init__(self, *needs: float, query_type: str = QueryType.OTHER) -> None:
        self._needs = needs
        self._query_type = query_type

    def read(self, request: Request, tiers: int) -> Reading:
        """Return what it was told to."""
        needs: Sequence[float] = (*self._needs, *[0.0] * (tiers - 1))[: tiers - 1]
        return Reading(needs, request.query_type or self._query_type)
