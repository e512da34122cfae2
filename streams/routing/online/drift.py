"""Notices that an arm is no longer what it was: a two-sided CUSUM (Page 1954) of standardised surprises."""

from typing import Final

_SLACK: Final = 0.75
"""Deviations that count for nothing, in standard deviations: half of the smallest shift that is to be found soon."""
_ALARM: Final = 8.0
"""By chance a sum gets there once in some 100,000 outcomes, if they are normal."""
_LARGEST: Final = 3.0
"""What a single outcome counts at most."""


class ChangeDetector:
    """Watches one arm."""

    def __init__(self) -> None:
        self._above = 0.0
        self._below = 0.0

    def observe(self, surprise: float, weight: float) -> bool:
        """Take in a surprise in standard deviations; say whether the arm has changed, and begin anew if so."""
        bounded = min(max(surprise, -_LARGEST), _LARGEST)
        self._above = max(0.0, self._above + weight * (bounded - _SLACK))
        self._below = max(0.0, self._below + weight * (-bounded - _SLACK))
        changed = max(self._above, self._below) > _ALARM
        if changed:
            self._above = self._below = 0.0
        return changed
