"""What many workers can do, from what one was measured to do: a model, and what breaks first in it. Pure.

Each worker has one thread. It serves its share of the requests, and follows the journal and the markers of all, for any
request may be the copy of another one (docs/adr/0014-memories-by-age.md):

    rate / workers * request_ms / 1000 + rate * followed_us / 1,000,000 = 1
"""

from collections.abc import Sequence
from typing import Final, Self

from pydantic import BaseModel, ConfigDict

_RECORDS_FOLLOWED: Final = 3
"""Of a request that one call answers: start and end of the call, and the marker."""
_RECORD_US: Final = 12.0
"""CPU of a worker for a record that it follows (tests/bench/test_restore.py)."""
_REMEMBERED_BYTES: Final = 451.0
"""Of each request within the window, in each worker: 155 MiB for 360,000 (the same)."""
_FIRST_MIB: Final = 180.0
"""Memory of a worker that remembers nothing yet."""
_STAGE_CONSUMERS: Final = 8
"""Of a worker with all stages and three tiers: six of Faust, settle and parked; an endpoint for records and one for the
group each."""
_FOLLOWERS: Final = 3
_HALF: Final = 0.5
_PRODUCERS: Final = 7
"""Of the worker, and one that each Faust app opens."""


class Costs(BaseModel):
    """What was measured of one worker.

    Attributes:
        request_ms: CPU of the worker for a request at saturation, in milliseconds.
        broker_ms: CPU of the brokers for it.
        broker_bytes: Written to the topics for it, by one replica.
    """

    model_config = ConfigDict(frozen=True)

    request_ms: float
    broker_ms: float
    broker_bytes: float


class Scale(BaseModel):
    """What a number of workers can do.

    Attributes:
        workers: How many, each with all stages.
        partitions: At least, of each topic: a worker above that number would have none.
        requests_per_s: In all, with every worker's thread busy.
        following_percent: Of each worker's thread, spent on what the others do.
        memory_mib: Of each worker once it has worked for a window at that rate.
        restore_s: CPU seconds of a worker's start after that, for reading the window back.
        broker_cpus: Of all brokers together, without replication.
        broker_mib_per_s: Written to the topics, by one replica.
        connections: To the brokers, if there is one of them.
        requests_per_s_in_memory: What all workers can do if each has no more than the given memory.
        breaks_first: What bounds it: `memory`, `following`, or `serving`, which more workers would mend.
    """

    model_config = ConfigDict(frozen=True)

    workers: int
    partitions: int
    requests_per_s: float
    following_percent: float
    memory_mib: float
    restore_s: float
    broker_cpus: float
    broker_mib_per_s: float
    connections: int
    requests_per_s_in_memory: float
    breaks_first: str


def scale(workers: int, costs: Costs, *, window_s: float, memory_mib: float) -> Scale:
    """Say what so many workers can do.

    Args:
        workers: At least 1.
        costs: Of one.
        window_s: How long requests are remembered (`delivery.dedup_window_s`).
        memory_mib: That each worker may have.
    """
    followed_s = _RECORDS_FOLLOWED * _RECORD_US / 1_000_000
    rate = 1 / (costs.request_ms / 1000 / workers + followed_s)
    remembered = rate * window_s * _REMEMBERED_BYTES / 2**20
    affordable = max(memory_mib - _FIRST_MIB, 0.0) * 2**20 / (window_s * _REMEMBERED_BYTES)
    following = rate * followed_s
    bound = "memory" if affordable < rate else "following" if following > _HALF else "serving"
    return Scale(
        workers=workers,
        partitions=workers,
        requests_per_s=round(rate, 1),
        following_percent=round(following * 100, 1),
        memory_mib=round(_FIRST_MIB + remembered, 1),
        restore_s=round(rate * window_s * followed_s, 1),
        broker_cpus=round(rate * costs.broker_ms / 1000, 2),
        broker_mib_per_s=round(rate * costs.broker_bytes / 2**20, 2),
        # A worker settles one partition, by a producer of its own.
        connections=workers * (2 * _STAGE_CONSUMERS + _FOLLOWERS + _PRODUCERS + 1),
        requests_per_s_in_memory=round(min(rate, affordable), 1),
        breaks_first=bound,
    )


class ScaleReport(BaseModel):
    """The model for several numbers of workers."""

    model_config = ConfigDict(frozen=True)

    costs: Costs
    scales: tuple[Scale, ...]

    @classmethod
    def of(cls, workers: Sequence[int], costs: Costs, *, window_s: float, memory_mib: float) -> Self:
        """Reckon each; see `scale`."""
        scales = tuple(scale(number, costs, window_s=window_s, memory_mib=memory_mib) for number in workers)
        return cls(costs=costs, scales=scales)
