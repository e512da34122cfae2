"""What a run of the pipeline measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tierstream.bench.workload import Kind

GIVE_UP_S: Final = 60.0
"""Seconds without any answer after which those that are left count as missing."""
WARM_UP_RATE: Final = 40.0
"""Requests a second before what counts."""


@dataclass(frozen=True)
class PipelinePlan:
    """What is to be measured.

    Attributes:
        rates: Requests a second of each open loop; None for saturation.
        seconds: Of each load.
        warm_up_s: Of load before the first one.
        in_flight: Requests without a result at saturation.
        kind: Which requests.
        latency_ms: Of the mock; None where the simulator answers.
        limit: Whether the plain program is measured first.
        kill: Whether there is one more load at the end, in which the worker is killed.
        soak_minutes: How long a run at a share of the saturation lasts; None: there is none.
        share: Of the saturation.
    """

    rates: Sequence[float | None]
    seconds: float = 20.0
    warm_up_s: float = 10.0
    in_flight: int = 128
    kind: Kind = Kind.TIER1
    latency_ms: float | None = 0.0
    limit: bool = True
    kill: bool = False
    soak_minutes: float | None = None
    share: float = 0.7

    @property
    def kill_rate(self) -> float:
        """Requests a second of the load in which something is killed: the first rate, else a modest one."""
        return next((rate for rate in self.rates if rate is not None), WARM_UP_RATE / 2)
