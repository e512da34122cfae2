"""What a run is told by: percentiles of many values, and when the requests of an open loop are due."""

import math
from collections.abc import Iterable, Iterator
from typing import Self

from pydantic import BaseModel, ConfigDict

_DIGITS = 3


class Distribution(BaseModel):
    """Some values, by nearest rank: each percentile is one of them, and the share of values is at or below it.

    All are NaN-free; of no values at all there is no distribution (`of` returns None).
    """

    model_config = ConfigDict(frozen=True)

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self | None:
        """Rank values; None where there are none."""
        ranked = sorted(values)
        if not ranked:
            return None
        p50, p95, p99 = (nearest_rank(ranked, share) for share in (0.5, 0.95, 0.99))
        return cls(p50=_rounded(p50), p95=_rounded(p95), p99=_rounded(p99), max=_rounded(ranked[-1]))


def nearest_rank(ranked: list[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed.

    Args:
        ranked: At least one value, in rising order.
        share: From 0 to 1.
    """
    return ranked[min(max(0, math.ceil(share * len(ranked)) - 1), len(ranked) - 1)]


def planned_times(start: float, rate: float, seconds: float) -> Iterator[float]:
    """Yield when each request of an open loop is due: evenly, whatever became of those before it.

    Args:
        start: Of the clock that the times are of, in seconds.
        rate: Requests a second.
        seconds: For how long; there is one request at least.
    """
    # Multiplied rather than added up, so that rounding does not let the pace drift.
    for number in range(max(1, round(rate * seconds))):
        yield start + number / rate


def _rounded(value: float) -> float:
    return round(value, _DIGITS)
