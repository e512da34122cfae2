"""Load on a system: requests are sent as planned or as fast as they are answered, and the time of each is kept.

Nothing is decoded while it runs, for the measuring shares the machine with what is measured: answers are looked into
afterwards.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

from streams.kafka.publisher import DeliveryError
from streams.runtime.unless import unless
from tierstream.bench.distribution import planned_times

_LEAD_S: Final = 0.05
"""Between the decision to begin and the first planned moment."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and its answer, in seconds of the event loop's clock."""

    number: int
    planned: float
    at: float
    value: bytes

    @property
    def latency_ms(self) -> float:
        """From the planned moment of sending to the arrival of the answer."""
        return (self.at - self.planned) * 1000


@dataclass
class Trial:
    """What came of some load."""

    began: float
    sent: int = 0
    answered: list[Answered] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    """Requests that ended without an answer, by what came instead."""
    missing: int = 0
    """Requests without an answer at the end, those that were refused among them."""
    duplicates: int = 0

    def between(self, start: float, end: float) -> list[Answered]:
        """Return what was answered in a stretch of time."""
        return [one for one in self.answered if start <= one.at < end]

    def taken(self) -> list[Answered]:
        """Return what was answered since this was last called, and forget it."""
        answered, self.answered = self.answered, []
        return answered


class Load(ABC):
    """Sends requests by number and takes their answers; one load at a time.

    Args:
        give_up_s: Seconds without any answer after which those that are left count as missing.

    Attributes:
        trial: The load that goes on, or the last one.
    """

    def __init__(self, give_up_s: float) -> None:
        self._give_up_s = give_up_s
        self._next = 0
        self._planned: dict[int, float] = {}
        self._answered: set[int] = set()
        self.trial = Trial(began=0.0)
        self._slots: asyncio.Semaphore | None = None
        self._progress = asyncio.Event()
        self._failure: BaseException | None = None

    @abstractmethod
    async def submit(self, number: int) -> None:
        """Send the request of a number, and do not wait for its answer."""

    async def open_loop(self, rate: float, seconds: float) -> Trial:
        """Send at planned moments, whether or not answers come, and wait for the answers.

        Raises:
            DeliveryError: Kafka failed under the load.
        """
        loop = asyncio.get_running_loop()
        trial = self._begin(loop.time() + _LEAD_S)
        for planned in planned_times(trial.began, rate, seconds):
            await asyncio.sleep(planned - loop.time())
            await self._send(planned)
        await self._drain()
        return trial

    async def closed_loop(self, in_flight: int, during: Callable[[Trial], Coroutine[Any, Any, None]]) -> Trial:
        """Keep so many requests unanswered until `during` returns, and wait for the rest of the answers.

        Args:
            in_flight: Requests without an answer.
            during: Is given the trial, which fills while it waits.

        Raises:
            DeliveryError: Kafka failed under the load.
        """
        loop = asyncio.get_running_loop()
        trial = self._begin(loop.time())
        self._slots = asyncio.Semaphore(in_flight)
        try:
            await unless(self._send_for_ever(self._slots), during(trial))
        finally:
            self._slots = None
        await self._drain()
        return trial

    async def reached(self, trial: Trial, count: int) -> None:
        """Wait until a trial that goes on has so many answers.

        Raises:
            DeliveryError: Kafka failed under the load.
        """
        while len(trial.answered) < count:
            self._progress.clear()
            await self._progress.wait()
            self._check()

    def _begin(self, at: float) -> Trial:
        self._planned.clear()
        self.trial = Trial(began=at)
        return self.trial

    async def _send_for_ever(self, slots: asyncio.Semaphore) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await slots.acquire()
            await self._send(loop.time())

    async def _send(self, planned: float) -> None:
        self._check()
        number, self._next = self._next, self._next + 1
        self._planned[number] = planned
        self.trial.sent += 1
        await self.submit(number)

    def take(self, number: int, value: bytes, at: float) -> None:
        """Take the answer to a request; a second one is counted as a duplicate."""
        if number in self._answered:
            self.trial.duplicates += 1
            return
        self._answered.add(number)
        planned = self._planned.pop(number, None)
        if planned is None:
            # Of an earlier load, and given up there.
            return
        self.trial.answered.append(Answered(number, planned, at, value))
        self._release()

    def refuse(self, number: int, why: str) -> None:
        """Take note that a request will have no answer."""
        if self._planned.pop(number, None) is not None:
            self.trial.refused[why] += 1
            self._release()

    def fail(self, failure: BaseException) -> None:
        """End the load by an error."""
        self._failure = failure
        self._progress.set()

    def note_end(self, done: "asyncio.Future[Any]") -> None:
        """End the load if a task or a delivery of it has failed; a callback."""
        if not done.cancelled() and (failure := done.exception()) is not None:
            self.fail(failure)

    def _release(self) -> None:
        self._progress.set()
        if self._slots is not None:
            self._slots.release()

    def _check(self) -> None:
        if self._failure is not None:
            raise DeliveryError(f"Kafka failed under the load: {self._failure!r}") from self._failure

    async def _drain(self) -> None:
        """Wait for what is unanswered, for as long as any answer comes in time."""
        while self._planned:
            self._progress.clear()
            try:
                async with asyncio.timeout(self._give_up_s):
                    await self._progress.wait()
            except TimeoutError:
                break
            self._check()
        self.trial.missing = len(self._planned) + self.trial.refused.total()
