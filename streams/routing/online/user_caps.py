"""Bounds what one user's feedback can move."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

_REMEMBERED: Final = 10_000
"""Users; of more the one who was silent for longest is forgotten."""
_FREE: Final = 3.0
"""Outcomes that count in full, whatever their share: else the first users of a deployment would count for nothing."""
_LARGEST: Final = 5.0
"""What a single surprise counts at most, in standard deviations."""
_OWN_MEMORY: Final = 50.0
"""Outcomes of one user and arm that his mean is of, at most."""
_CONSENSUS_STEP: Final = 0.03
_CREDIBLE: Final = 9.0
"""Squared deviation from the others, in standard errors and summed over the arms, from which on a user counts less."""


@dataclass(slots=True)
class _User:
    count: float = 0.0
    at: int = 0
    means: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Of each arm: how many surprises, and their mean beyond that of the others."""


class UserCaps:
    """Weighs what users say so that none has more than a share of it, and who contradicts the others has less.

    Where an arm becomes worse for everybody, the others say so too, and nobody is doubted for it.

    Args:
        share: Of the recent outcomes.
        half_life: Outcomes of all users after which one counts half.
    """

    def __init__(self, share: float, half_life: float) -> None:
        self._share = share
        self._decay = 0.5 ** (1 / half_life)
        self._at = 0
        self._all = 0.0
        self._users: OrderedDict[str, _User] = OrderedDict()
        self._consensus: dict[int, float] = {}
        """Of each arm: the mean surprise of what was said of it."""

    def weigh(self, user: str | None, arm: int, surprise: float) -> float:
        """Return what an outcome of the user counts, from 0 to 1; of nobody (a judge, a check) 1.

        Args:
            user: Who says what the answer was worth.
            arm: Whose answer it was.
            surprise: By how much that is above what was expected, in standard deviations.
        """
        self._at += 1
        self._all = self._all * self._decay + 1
        bounded = min(max(surprise, -_LARGEST), _LARGEST)
        others = self._consensus.get(arm, 0.0)
        counts = 1.0 if user is None else self._weigh_user(user, arm, bounded - others)
        self._consensus[arm] = others + _CONSENSUS_STEP * counts * (bounded - others)
        return counts

    def _weigh_user(self, name: str, arm: int, deviation: float) -> float:
        user = self._users.pop(name, None) or _User(at=self._at)
        user.count = user.count * self._decay ** (self._at - user.at) + 1
        user.at = self._at
        count, mean = user.means.get(arm, (0.0, 0.0))
        count = min(count + 1, _OWN_MEMORY)
        user.means[arm] = (count, mean + (deviation - mean) / count)
        self._users[name] = user
        if len(self._users) > _REMEMBERED:
            self._users.popitem(last=False)
        capped = min(1.0, max(self._share * self._all, _FREE) / user.count)
        doubt = sum(count * mean**2 for count, mean in user.means.values())
        return float(capped * min(1.0, _CREDIBLE / doubt) if doubt > 0 else capped)
