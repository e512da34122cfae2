"""Bounds what one user's feedback can move."""

from collections import OrderedDict
from typing import Final

_REMEMBERED: Final = 10_000
"""Users; of more the one who was silent for longest is forgotten."""
_FREE: Final = 3.0
"""Outcomes that count in full, whatever their share: else the first users of a deployment would count for nothing."""


class UserCaps:
    """Weighs outcomes so that no user has more than a share of what counts.

    Args:
        share: Of the recent outcomes.
        half_life: Outcomes of all users after which one counts half.
    """

    def __init__(self, share: float, half_life: float) -> None:
        self._share = share
        self._decay = 0.5 ** (1 / half_life)
        self._at = 0
        self._all = 0.0
        self._users: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """How many outcomes each had, and when that was counted."""

    def weigh(self, user: str | None) -> float:
        """Return what an outcome of the user counts, from 0 to 1; of nobody (a judge, a check) 1."""
        self._at += 1
        self._all = self._all * self._decay + 1
        if user is None:
            return 1.0
        count, at = self._users.pop(user, (0.0, self._at))
        count = count * self._decay ** (self._at - at) + 1
        self._users[user] = (count, self._at)
        if len(self._users) > _REMEMBERED:
            self._users.popitem(last=False)
        return float(min(1.0, max(self._share * self._all, _FREE) / count))
