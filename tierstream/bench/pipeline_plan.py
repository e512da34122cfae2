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
    """

    rates: Sequence[float | None]
    seconds: float = 20.0
    warm_up_s: float = 10.0
    in_flight: int = 128
    kind: Kind = Kind.TIER1
    latency_ms: float | None = 0.0
    limit: bool = True
