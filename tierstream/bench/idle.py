"""A stack that nobody uses: what its processes spend by themselves."""

import asyncio
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tierstream.bench.processes import ProcessMeter


class Idle(BaseModel):
    """What a stack costs that nobody uses."""

    model_config = ConfigDict(frozen=True)

    seconds: float
    cpu_ms_per_s: dict[str, float]
    """CPU of each process a second, in milliseconds."""
    rss_mib: dict[str, float]
    other_cpus: float
    """CPUs of the machine that were busy with anything else meanwhile."""


async def measure_idle(folder: Path, *, settle_s: float, seconds: float) -> Idle:
    """Wait while nothing is asked of a stack, and read what it spent.

    Args:
        folder: Data folder of the running stack.
        settle_s: Seconds before, in which the start comes to its end.
        seconds: That count.
    """
    meter = ProcessMeter.of_stack(folder)
    await asyncio.sleep(settle_s)
    before = meter.cpu()
    await asyncio.sleep(seconds)
    after = meter.cpu()
    took = after.at - before.at
    return Idle(
        seconds=round(took, 2),
        cpu_ms_per_s={name: round(spent / took * 1000, 2) for name, spent in after.since(before).items()},
        rss_mib=meter.rss_mib(),
        other_cpus=round(after.others_since(before), 2),
    )
