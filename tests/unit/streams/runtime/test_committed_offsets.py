"""How far a consumer commits, on partitions with offsets that hold no record for it."""

import asyncio
from asyncio import FIRST_COMPLETED
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP
from hypothesis import example, given
from hypothesis import strategies as st

from streams.config.settings import Settings
from streams.kafka.heartbeat import GroupHeartbeat
from streams.runtime.faust_app import _Consumer, _ConsumerInLoop, _Fetched, new_app

TOPIC = TP("requests", 0)


@dataclass
class Broker:
    """A partition as a broker and aiokafka show it: `log` says of each offset whether it holds a record for us."""

    log: list[bool]
    start: int
    committed: int | None
    position: int = 0

    async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
        self.position = self.committed or self.position
        return {TOPIC: self.committed}

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.start)

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.position = offset

    def fetch(self, offsets: int) -> list[int]:
        """Read so many offsets, and return those of records."""
        since, self.position = self.position, min(self.position + offsets, len(self.log))
        return [offset for offset in range(since, self.position) if self.log[offset]]


@dataclass
class Reader:
    """A consumer of ours with a broker like that behind it; commits stay under way until they are let through."""

    broker: Broker
    handed_on: deque[Any] = field(default_factory=deque)
    under_way: deque[tuple[int, "asyncio.Future[bool]"]] = field(default_factory=deque)
    committing: "asyncio.Task[bool] | None" = None

    def __post_init__(self) -> None:
        self.app = new_app(Settings(kafka={"bootstrap_servers": "127.0.0.1:1"}), "classify", GroupHeartbeat(10.0))
        self.app.finalize()
        self.app._producer = SimpleNamespace(flush=lambda: asyncio.sleep(0))
        self.app.topics.acks_enabled_for = lambda _: True
        self.consumer = _Consumer(self.app.transport, self._receive, _ignore, _ignore)
        self.consumer.app = self.app
        thread: Any = _ConsumerInLoop(self.consumer)
        thread.call_thread = lambda function: function()
        thread._ensure_consumer = lambda: self.broker
        self.consumer._thread = thread
        self.consumer._getmany = self._getmany
        self.consumer._commit = self._commit
        self.consumer.assignment = lambda: {TOPIC}
        self.consumer.highwater = lambda _: len(self.broker.log)
        self.consumer._set_active_tps({TOPIC})
        self.asked, self.answer, self.sent = asyncio.Event(), asyncio.Queue[list[int]](), asyncio.Event()

    async def _receive(self, message: Any) -> None:
        self.handed_on.append(message)

    async def _getmany(self, **_: Any) -> dict[TP, list[Any]]:
        self.asked.set()
        offsets = await self.answer.get()
        self.consumer.fetched = _Fetched(len(offsets), {TOPIC: self.broker.position})
        return {TOPIC: [_record(offset) for offset in offsets]} if offsets else {}

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        done = asyncio.get_running_loop().create_future()
        self.under_way.append((offsets[TOPIC], done))
        self.sent.set()
        return await done

    async def fetch(self, offsets: int) -> None:
        """Fetch once and hand on all that came."""
        await self.asked.wait()
        self.asked.clear()
        self.answer.put_nowait(self.broker.fetch(offsets))
        await self.asked.wait()

    async def acknowledge(self, records: int) -> None:
        for _ in range(min(records, len(self.handed_on))):
            self.consumer.ack(self.handed_on.popleft())

    async def commit(self, _: int) -> None:
        """Start a commit, unless one is under way: Faust has one at a time."""
        if not self.under_way:
            self.sent.clear()
            self.committing = asyncio.create_task(self.consumer._commit_tps([*self.consumer._acked], False))
            await asyncio.wait([self.committing, asyncio.create_task(self.sent.wait())], return_when=FIRST_COMPLETED)

    async def let_through(self, _: int) -> None:
        """The commit under way reaches the broker."""
        if self.under_way:
            offset, done = self.under_way.popleft()
            first_open = self.handed_on[0].offset if self.handed_on else self.broker.position
            assert offset <= first_open, "committed past unfinished work"
            assert offset > (self.broker.committed or 0)
            self.broker.committed = offset
            done.set_result(True)
            await asyncio.wait([self.committing])

    async def rebalance(self, _: int) -> None:
        """The partition is revoked and assigned again: what was not acknowledged is read once more."""
        await self.let_through(0)
        await self.consumer.on_partitions_revoked({TOPIC})
        self.handed_on.clear()
        self.consumer._set_active_tps({TOPIC})
        await self.consumer.perform_seek()

    async def finish(self) -> None:
        """Read to the end, do all the work, and commit as often as it takes."""
        await self.let_through(0)
        while self.broker.position < len(self.broker.log):
            await self.fetch(len(self.broker.log))
        await self.acknowledge(len(self.handed_on))
        for _ in range(3):
            await self.commit(0)
            await self.let_through(0)


async def _ignore(*_: Any) -> None: ...


def _record(offset: int) -> Any:
    return SimpleNamespace(
        topic=TOPIC.topic, partition=TOPIC.partition, offset=offset, timestamp=0, timestamp_type=0, headers=[],
        key=None, value=b"", checksum=None, serialized_key_size=0, serialized_value_size=0,
    )  # fmt: skip


STEPS = ("fetch", "acknowledge", "commit", "let_through", "rebalance")


async def run(broker: Broker, steps: list[tuple[str, int]]) -> None:
    reader = Reader(broker)
    await reader.consumer.perform_seek()
    draining = asyncio.create_task(reader.consumer._drain_messages(SimpleNamespace(_stopped=asyncio.Event())))
    for name, count in steps:
        await getattr(reader, name)(count)
    await reader.finish()
    draining.cancel()
    await asyncio.wait([draining])
    assert (broker.committed or broker.start) == len(broker.log)


# Gaps at the beginning and at the end, with a commit in their midst, and a record between two gaps that touch it.
@example(
    log=[False] * 4 + [True],
    start=0,
    committed=None,
    steps=[("fetch", 2), ("commit", 0), ("let_through", 0), ("fetch", 3), ("acknowledge", 1)],
)
@example(log=[False] * 4 + [True], start=3, committed=None, steps=[("fetch", 2), ("commit", 0)])
@example(log=[True, False, False], start=0, committed=None, steps=[("fetch", 2), ("acknowledge", 1), ("commit", 0)])
@example(
    log=[True, False, False, True, False, False, True],
    start=0,
    committed=None,
    steps=[("fetch", 7), ("acknowledge", 2), ("commit", 0), ("let_through", 0)],
)
@given(
    log=st.lists(st.booleans(), max_size=12),
    start=st.sampled_from([0, 3]),
    committed=st.none() | st.integers(0, 6),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 5)), max_size=16),
)
def test_all_is_committed_once_it_is_done_and_nothing_before(log, start, committed, steps):
    log = [False] * start + log
    at = committed if committed is not None and start <= committed <= len(log) else None
    asyncio.run(run(Broker(log, start, at), steps))
