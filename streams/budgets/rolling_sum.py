"""What was spent in a window that moves in steps."""

from collections import deque
from collections.abc import Iterable, Iterator


class RollingSum:
    """Amounts by step of time; what has left the window is dropped.

    Args:
        sums: Steps, numbered since the epoch, and amounts, the oldest first.
    """

    __slots__ = ("_sums", "total")

    def __init__(self, sums: Iterable[tuple[int, int]] = ()) -> None:
        self._sums: deque[tuple[int, int]] = deque(sums)
        self.total = sum(amount for _, amount in self._sums)

    def __len__(self) -> int:
        return len(self._sums)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._sums)

    def add(self, step: int, amount: int) -> None:
        """Add what was spent in a step; mostly the latest one, for what comes late is late by little."""
        self.total += amount
        at = len(self._sums)
        while at and self._sums[at - 1][0] > step:
            at -= 1
        if at and self._sums[at - 1][0] == step:
            self._sums[at - 1] = (step, self._sums[at - 1][1] + amount)
        else:
            self._sums.insert(at, (step, amount))

    def drop_before(self, first: int) -> None:
        """Drop the steps before the first one of the window."""
        while self._sums and self._sums[0][0] < first:
            self.total -= self._sums.popleft()[1]

    def since(self, first: int) -> int:
        """Return the sum from a step on, without dropping what is older."""
        left = self.total
        for step, amount in self._sums:
            if step >= first:
                break
            left -= amount
        return left

    def step_below(self, limit: int) -> int | None:
        """Return the step with which the sum falls below a limit once it has left; None where it is below already."""
        left = self.total
        if left < limit:
            return None
        for step, amount in self._sums:
            left -= amount
            if left < limit:
                return step
        return None
