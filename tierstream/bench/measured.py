"""A load with what processes spent on it, whichever system it is put on."""

import asyncio
from dataclasses import dataclass
from typing import Final

from tierstream.bench.load import Answered, Load, Trial
from tierstream.bench.processes import ProcessMeter, Spent

_FILL_S: Final = 3.0
"""A closed loop is steady once it is filled and answers have come for so long."""


@dataclass(frozen=True)
class Measured:
    """A load and the stretch of it that counts.

    Attributes:
        trial: The whole load.
        seconds: Length of the stretch.
        spent: CPU seconds by process in it.
        others: CPUs that were busy with anything else in it, on average.
        answered: What was answered in it.
    """

    trial: Trial
    seconds: float
    spent: dict[str, float]
    others: float
    answered: list[Answered]

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return len(self.answered) / self.seconds

    @property
    def cpu_ms(self) -> dict[str, float]:
        """CPU milliseconds of each process for an answer."""
        return {name: round(spent / max(1, len(self.answered)) * 1000, 3) for name, spent in self.spent.items()}


async def measured(load: Load, meter: ProcessMeter, rate: float | None, *, in_flight: int, seconds: float) -> Measured:
    """Put a load on a system.

    Args:
        load: Of the system.
        meter: Of its processes.
        rate: Requests a second; None: as many as are answered.
        in_flight: Requests without an answer, where there is no rate.
        seconds: That count.

    Raises:
        DeliveryError: Kafka failed under the load.
    """
    if rate is None:
        return await _saturated(load, meter, in_flight, seconds)
    return await _paced(load, meter, rate, seconds)


async def _paced(load: Load, meter: ProcessMeter, rate: float, seconds: float) -> Measured:
    """Put an open loop on a system; all of it counts, until the last answer."""
    before = meter.cpu()
    trial = await load.open_loop(rate, seconds)
    after = meter.cpu()
    last = max((one.at for one in trial.answered), default=trial.began)
    # The pace is that of the sending unless answers fell behind it.
    took = max(last - trial.began, seconds)
    return Measured(trial, took, after.since(before), after.others_since(before), trial.answered)


async def _saturated(load: Load, meter: ProcessMeter, in_flight: int, seconds: float) -> Measured:
    """Put a closed loop on a system, of which the steady middle counts."""
    readings: list[Spent] = []

    async def watch(trial: Trial) -> None:
        await load.reached(trial, in_flight)
        await asyncio.sleep(_FILL_S)
        readings.append(meter.cpu())
        await asyncio.sleep(seconds)
        readings.append(meter.cpu())

    trial = await load.closed_loop(in_flight, watch)
    start, end = readings
    steady = trial.between(start.at, end.at)
    return Measured(trial, end.at - start.at, end.since(start), end.others_since(start), steady)
