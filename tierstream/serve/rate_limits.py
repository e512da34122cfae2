"""How many requests a minute a key may send; counted in each process of the door on its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit.

    Attributes:
        limit: Requests a minute.
        remaining: How many may come at once now.
        reset_s: Seconds until all may come at once again.
        retry_after_s: Seconds until the next one may come; 0 where this one may.
    """

    limit: int
    remaining: int
    reset_s: float
    retry_after_s: float


class TokenBucket:
    """Lets a minute's requests through at once, and then one after the other as time passes.

    Args:
        limit: Requests a minute.
        monotonic: Monotonic seconds.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._monotonic = monotonic
        self._left = float(limit)
        self._at = monotonic()

    def take(self) -> Allowance:
        """Let a request through if there is room, and say what is left."""
        now = self._monotonic()
        pace = self.limit / _MINUTE_S
        self._left = min(self._left + (now - self._at) * pace, float(self.limit))
        self._at = now
        missing = 1.0 - self._left
        if missing <= 0:
            self._left -= 1.0
        reset_s = (self.limit - self._left) / pace
        return Allowance(self.limit, int(self._left), reset_s, max(missing, 0.0) / pace)
