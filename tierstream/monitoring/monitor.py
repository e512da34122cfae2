"""What is known of a process from outside: its metrics, whether it is alive, and whether it is ready."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client.registry import Collector

from streams.telemetry import metric_specs as specs
from streams.telemetry.metric_specs import MetricSpec
from streams.telemetry.progress import Progress
from streams.telemetry.readings import Readings, Samples
from tierstream.monitoring.commit_age import CommitAges

log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0


@dataclass(slots=True)
class _Watched:
    progress: Progress
    limit_s: float
    ages: CommitAges = field(default_factory=CommitAges)


class Monitor:
    """Watches over one process: a worker, the sink, or whatever serves HTTP.

    A process is alive as long as none of its partitions stands still for too long, see `CommitAges`. What waits for a
    server that is away is alive, but not ready: another process would wait as well.

    Args:
        is_away: Whether a server that it needs is known not to answer.
        monotonic: Monotonic seconds.
    """

    def __init__(
        self, *, is_away: Callable[[], bool] = lambda: False, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.registry = CollectorRegistry()
        self._is_away = is_away
        self._monotonic = monotonic
        self._watched: dict[str, _Watched] = {}
        self._is_started = False
        self._blind: list[str] = []
        """Why nobody looks any more: of what nobody looks at nobody can say that it is alive."""
        # One series more for each counter, which tells nothing that a restart does not.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.register(
            Readings(
                {
                    specs.ALIVE: lambda: _flag(is_set=not self.stuck()),
                    specs.READY: lambda: _flag(is_set=self.is_ready),
                    specs.BUILD: lambda: [((version("tierstream"),), 1.0)],
                }
            )
        )

    def register(self, collector: Collector) -> None:
        """Expose further metrics; `Readings` makes a collector of what something else counts.

        Raises:
            ValueError: One of its names is taken.
        """
        self.registry.register(collector)

    def read(self, sources: Mapping[MetricSpec, Callable[[], Samples]]) -> None:
        """Expose metrics that are read at each scrape."""
        self.register(Readings(sources))

    def watch(self, stage: str, progress: Progress, *, limit_s: float) -> None:
        """Look at how far a stage is, from now on.

        Args:
            stage: Its name in labels and messages.
            progress: Is asked every second.
            limit_s: For how long a partition of it may stand still.
        """
        if not self._watched:
            self.read({specs.LAG: self._lags, specs.COMMIT_AGE: self._ages})
        self._watched[stage] = _Watched(progress, limit_s)

    def note_started(self) -> None:
        """Take the process as ready, as long as what it needs answers."""
        self._is_started = True

    @property
    def is_ready(self) -> bool:
        """Whether the process does its work."""
        return self._is_started and not self._is_away() and not self.stuck()

    def stuck(self) -> list[str]:
        """Say of each partition that stands still for too long which one it is, a line each."""
        found = list(self._blind)
        for stage, watched in self._watched.items():
            for (topic, partition), age in watched.ages.ages().items():
                if age > watched.limit_s:
                    limit = f"{age:.0f} s without a commit, at most {watched.limit_s:.0f}"
                    found.append(f"{stage}: {topic}-{partition} stands still: {limit}")
        return found

    def look(self) -> None:
        """Ask all stages how far they are."""
        now, is_away = self._monotonic(), self._is_away()
        for watched in self._watched.values():
            is_resting = is_away or watched.progress.is_resting
            watched.ages.observe(now, watched.progress.places(), is_resting=is_resting)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Ask every second, for as long as the block lasts."""
        task = asyncio.create_task(self._look_on())
        task.add_done_callback(self._note_end)
        try:
            yield
        finally:
            task.cancel()

    async def _look_on(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)

    def _note_end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the monitoring has failed", exc_info=error)
            self._blind.append(f"the monitoring has failed: {type(error).__name__}")

    def _lags(self) -> Samples:
        for stage, watched in self._watched.items():
            lags: dict[str, int] = {}
            for (topic, _), place in watched.ages.places.items():
                lags[topic] = lags.get(topic, 0) + place.lag
            yield from (((stage, topic), float(lag)) for topic, lag in lags.items())

    def _ages(self) -> Samples:
        for stage, watched in self._watched.items():
            oldest: dict[str, float] = {}
            for (topic, _), age in watched.ages.ages().items():
                oldest[topic] = max(oldest.get(topic, 0.0), age)
            yield from (((stage, topic), age) for topic, age in oldest.items())


def _flag(*, is_set: bool) -> Samples:
    return [((), float(is_set))]
