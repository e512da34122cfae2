"""Shares of counted things, with what chance leaves open."""

import math
from dataclasses import dataclass
from typing import Final, Self

_Z: Final = 1.959964
"""Of a standard normal: 95 % of it lie within."""
_DIGITS: Final = 4


@dataclass(frozen=True, slots=True)
class Share:
    """How many of how many; of none there is no share.

    Attributes:
        count: Those that are meant.
        of: All.
        share: The one divided by the other.
        low: Lower end of the 95 % interval of Wilson.
        high: Its upper end.
    """

    count: int
    of: int
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of_counts(cls, count: int, of: int) -> Self:
        """Divide, and say how sure that is."""
        if not of:
            return cls(count=count, of=of, share=None, low=None, high=None)
        low, high = wilson_interval(count, of)
        return cls(
            count=count, of=of, share=round(count / of, _DIGITS), low=round(low, _DIGITS), high=round(high, _DIGITS)
        )


def wilson_interval(count: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share by Wilson's score, which holds near 0 and 1 too.

    Args:
        count: From 0 to `of`.
        of: At least 1.
    """
    share, weight = count / of, _Z**2 / of
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)
