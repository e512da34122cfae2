"""How long a partition with work has stood still: what tells a process that hangs from one with nothing to do."""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.telemetry.progress import PartitionName, Place


@dataclass(slots=True)
class _Standing:
    done: int
    since: float


class CommitAges:
    """The commit ages of the partitions of one stage.

    A partition stands still while it has records, and what is done of them stays as it was. One that moves, has
    nothing to do, rests, or has only just come to this process, begins anew.
    """

    def __init__(self) -> None:
        self._standing: dict[PartitionName, _Standing] = {}
        self._now = 0.0
        self.places: Mapping[PartitionName, Place] = {}
        """As last observed."""

    def observe(self, now: float, places: Mapping[PartitionName, Place], *, is_resting: bool) -> None:
        """Take note of how far all assigned partitions are.

        Args:
            now: Monotonic seconds.
            places: Of each partition; who is not among them is not ours, or not known yet.
            is_resting: Whether nothing has to move now.
        """
        self._now, self.places = now, places
        standing: dict[PartitionName, _Standing] = {}
        for name, place in places.items():
            before = self._standing.get(name)
            stands = before is not None and before.done == place.done and place.lag > 0 and not is_resting
            standing[name] = before if before is not None and stands else _Standing(place.done, now)
        self._standing = standing

    def ages(self) -> dict[PartitionName, float]:
        """Return for how many seconds each partition has stood still, as of the last observation."""
        return {name: self._now - one.since for name, one in self._standing.items()}
