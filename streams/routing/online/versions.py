"""Policies by the time from which on they decide, so that a request that is delivered again is decided as before."""

from bisect import bisect_right, insort
from dataclasses import dataclass, field
from typing import Final

from streams.routing.online.policy import OnlinePolicy

_MOST: Final = 4_000
"""Kept at most, the latest ones: some ten kilobytes each."""


@dataclass(frozen=True, slots=True, order=True)
class _Step:
    since_ms: int
    number: int
    policy: OnlinePolicy = field(compare=False)


class OnlinePolicies:
    """The policies of the last window, by the broker's time."""

    def __init__(self) -> None:
        self._steps: list[_Step] = []

    def __len__(self) -> int:
        return len(self._steps)

    def add(self, number: int, policy: OnlinePolicy, since_ms: int) -> None:
        """Let a version decide the requests that the broker appends from a time on (ms since the epoch)."""
        self.drop(number)
        insort(self._steps, _Step(since_ms, number, policy))
        del self._steps[:-_MOST]

    def drop(self, number: int) -> None:
        """Forget a version."""
        self._steps = [step for step in self._steps if step.number != number]

    def at(self, asked_ms: int) -> OnlinePolicy | None:
        """Return the policy for a request that the broker appended then (ms since the epoch); None before the first."""
        found = bisect_right(self._steps, asked_ms, key=lambda step: step.since_ms)
        return self._steps[found - 1].policy if found else None

    @property
    def newest(self) -> int:
        """Number of the latest version, of whatever time; 0 where there is none."""
        return max((step.number for step in self._steps), default=0)

    def ended_before(self, since_ms: int) -> list[int]:
        """List the versions that decide no request that was appended since a time."""
        last = bisect_right(self._steps, since_ms, key=lambda step: step.since_ms)
        return [step.number for step in self._steps[: max(last - 1, 0)]]
