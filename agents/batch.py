"""llm.batches -> requests, progress, ends. Serves each batch: its lines go out as requests and come back as results.

It is a member of a group that reads the batches, for one reason: whoever owns the partition of a batch serves it, and
if it dies somebody else does. What there is of batches it follows outside of the group, as the door does, and all that
it knows of a batch it has from there: an owner that takes over reads how far the batch is, and goes on. A process that
was stopped and believes that it still owns a partition does no harm: what it sends are copies; the first end counts.

The results are followed while there is a batch to serve, and only then: they are those of all requests.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiokafka import ConsumerRebalanceListener, TopicPartition

from streams.batches.batch_log import BatchLog, BatchState
from streams.batches.batch_run import BatchRun, is_stopped
from streams.batches.contents import Contents
from streams.batches.result_watch import ResultWatch
from streams.batches.slots import Slots
from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.group_consumer import group_consumer
from streams.kafka.publisher import Publisher
from streams.runtime.unless import unless
from topics.registry import BATCHES

log = logging.getLogger(__name__)

STAGE: Final = "batch"
_LOOK_S: Final = 0.5
"""How often it looks whether there is something to do."""

_Follow = Callable[[asyncio.Event], Coroutine[Any, Any, None]]


class BatchStage(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka is untyped
    """The consumer that serves the batches of its partitions.

    Args:
        settings: How much may be under way.
        publisher: Of the process.
        clock: Current moment.
    """

    def __init__(self, settings: Settings, publisher: Publisher, clock: Clock) -> None:
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._topic = BATCHES.full_name(settings.kafka.prefix)
        self._log = BatchLog(settings)
        self._contents = Contents(settings.kafka)
        self._watch = ResultWatch(settings, clock)
        self._slots = Slots(settings.lines_in_flight, settings.batches.per_second)
        self._owned: set[int] = set()
        self._new: set[int] = set()
        """Owned, but not yet known up to where the owner before may have come."""
        self._runs: dict[str, tuple[BatchRun, asyncio.Task[None]]] = {}
        self._watching: asyncio.Task[None] | None = None
        self._assigned = asyncio.Event()
        self._changing = asyncio.Lock()
        """Held by who begins and ends runs: a rebalance comes at any time."""

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Serve batches until `stop` is set; what is under way then, the next owner goes on with.

        Raises:
            DeliveryError: The broker did not take a record.
            aiokafka.errors.KafkaError: The broker refuses.
        """
        self._consumer = group_consumer(self._settings, STAGE)
        self._consumer.subscribe([self._topic], listener=self)
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._contents.close)
            following = await closing.enter_async_context(_following(self._log.run))
            closing.push_async_callback(self._consumer.stop)
            closing.push_async_callback(self._leave)
            await self._consumer.start()
            while not stop.is_set():
                # Its partitions are paused: this brings nothing, and tells the group that the process is there.
                await self._consumer.getmany(timeout_ms=int(_LOOK_S * 1000))
                if self._assigned.is_set():
                    on_ready()
                async with self._changing:
                    await unless(following, self._look())

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - all go at once
        """Serve no batch any more."""
        async with self._changing:
            self._owned.clear()
            self._new.clear()
            await self._leave()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Serve the batches of these partitions; nothing is read of any."""
        owned = list(assigned)
        self._consumer.pause(*owned)
        self._new = {tp.partition for tp in owned}
        self._assigned.set()

    async def _look(self) -> None:
        """Begin what is to be served, and see how each batch does.

        Raises:
            DeliveryError: A batch could not be served.
            aiokafka.errors.KafkaError: The same.
        """
        if self._new:
            new = set(self._new)
            await self._log.catch_up(new)
            self._owned |= new & self._new
            self._new -= new
        for batch_id, (run, task) in list(self._runs.items()):
            if task.done():
                task.result()
                del self._runs[batch_id]
            else:
                await run.look()
        waiting = self._next()
        if waiting and self._watching is None:
            self._watching = await _followed(self._watch.run)
        for state in waiting:
            self._begin(state)
        if self._watching is not None and self._watching.done():
            self._watching.result()
        elif not self._runs:
            await self._stop_watching()

    def _next(self) -> list[BatchState]:
        """Say which batches have their turn: those that only have to be ended, and the oldest ones."""
        waiting = [state for state in self._log.open_in(self._owned) if state.batch.batch_id not in self._runs]
        room, now = max(self._settings.batches.at_once - len(self._runs), 0), self._clock()
        ending = [state for state in waiting if is_stopped(state, now)]
        others = sorted(
            (state for state in waiting if not is_stopped(state, now)), key=lambda state: state.batch.created_at
        )
        return [*ending, *others[:room]]

    def _begin(self, state: BatchState) -> None:
        run = BatchRun(
            state,
            settings=self._settings.batches,
            publisher=self._publisher,
            contents=self._contents,
            watch=self._watch,
            slots=self._slots,
            clock=self._clock,
        )
        log.info("serving %s, %d lines", state.batch.batch_id, state.batch.total)
        self._runs[state.batch.batch_id] = (run, asyncio.create_task(run.run()))

    async def _leave(self) -> None:
        runs = [task for _, task in self._runs.values()]
        self._runs.clear()
        for task in runs:
            task.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        await self._stop_watching()

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            watching, self._watching = self._watching, None
            await _ended(watching)


async def _followed(follow: _Follow) -> "asyncio.Task[None]":
    """Begin to follow something; returns once it is followed."""
    ready = asyncio.Event()
    task: asyncio.Task[None] = asyncio.create_task(follow(ready))
    try:
        await unless(task, ready.wait())
    except BaseException:
        await _ended(task)
        raise
    return task


@asynccontextmanager
async def _following(follow: _Follow) -> AsyncIterator["asyncio.Task[None]"]:
    task = await _followed(follow)
    try:
        yield task
    finally:
        await _ended(task)


async def _ended(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
