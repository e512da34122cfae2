"""The batcher under a clock that only the tests move: when batches leave, who is in them, and cancelled joins."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from streams.calls.batcher import Batch, Batcher
from streams.config.settings_sections import BatchingSettings


async def _settle() -> None:
    """Let everything that can go on do so; a few turns of the loop are enough for a chain of wake-ups."""
    for _ in range(8):
        await asyncio.sleep(0)


class FlushFailedError(Exception):
    """What a flush or a call fails with here."""


@dataclass
class Harness:
    """A batcher whose flushes and calls end when the test says so, in a loop whose time stands still."""

    max_wait_ms: float = 100
    max_size: int = 3
    idle_below: int = 0
    now: float = 1000.0
    batches: list[list[int]] = field(default_factory=list)
    flushing: list[asyncio.Future[None]] = field(default_factory=list)
    hold: bool = False
    """Whether a flush goes on until the test ends it."""
    left_in: dict[int, Batch] = field(default_factory=dict)
    joins: dict[int, "asyncio.Task[None]"] = field(default_factory=dict)
    joined_at: dict[int, float] = field(default_factory=dict)
    landed: dict[int, asyncio.Event] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Timers of the loop are due by the test's clock.
        asyncio.get_running_loop().time = lambda: self.now
        batching = BatchingSettings(max_wait_ms=self.max_wait_ms, max_size=self.max_size, idle_below=self.idle_below)
        self.batcher: Batcher[int] = Batcher(batching, self._flush, monotonic=lambda: self.now)

    async def _flush(self, batch: Sequence[int]) -> None:
        self.batches.append(list(batch))
        if self.hold:
            self.flushing.append(asyncio.get_running_loop().create_future())
            await self.flushing[-1]

    def join(self, *items: int) -> None:
        for item in items:
            self.landed[item] = asyncio.Event()
            self.joined_at[item] = self.now
            self.joins[item] = asyncio.create_task(self._travel(item))

    async def _travel(self, item: int) -> None:
        async with self.batcher.join(item) as batch:
            self.left_in[item] = batch
            await self.landed[item].wait()

    async def pass_time(self, milliseconds: float) -> None:
        await _settle()
        self.now += milliseconds / 1000
        await _settle()

    @property
    def departed(self) -> list[int]:
        return [item for batch in self.batches for item in batch]


async def test_a_full_batch_leaves_and_the_next_one_starts():
    harness = Harness(max_size=3)
    harness.join(*range(7))
    await _settle()
    assert harness.batches == [[0, 1, 2], [3, 4, 5]]
    assert harness.batcher.waiting == 1
    assert harness.left_in[5] == Batch(batch_size=3, wait_ms=0)


async def test_a_batch_leaves_when_its_oldest_has_waited_long_enough():
    harness = Harness(max_wait_ms=100)
    harness.join(1)
    await harness.pass_time(60)
    harness.join(2)
    await harness.pass_time(39)
    assert harness.batches == []
    await harness.pass_time(1)
    assert harness.batches == [[1, 2]]
    assert harness.left_in[1].wait_ms == pytest.approx(100)
    assert harness.left_in[2].wait_ms == pytest.approx(40)


async def test_an_idle_batcher_waits_for_nothing_but_takes_who_comes_in_the_same_turn():
    harness = Harness(max_size=10, idle_below=1)
    harness.join(1, 2)
    await _settle()
    assert harness.batches == [[1, 2]]
    harness.join(3)
    await _settle()
    assert harness.batches == [[1, 2]]


async def test_what_waits_leaves_as_soon_as_the_batcher_is_idle():
    harness = Harness(max_size=10, idle_below=2)
    harness.join(1, 2)
    await _settle()
    harness.join(3, 4)
    await _settle()
    assert harness.batcher.waiting == 2
    harness.landed[1].set()
    await _settle()
    assert harness.batches == [[1, 2], [3, 4]]
    assert harness.batcher.on_the_wire == 3


async def test_without_a_wait_everything_leaves_at_once():
    harness = Harness(max_wait_ms=0, max_size=10)
    harness.join(1)
    await _settle()
    harness.join(2, 3)
    await _settle()
    assert harness.batches == [[1], [2, 3]]


async def test_newcomers_do_not_put_off_a_departure():
    harness = Harness(max_wait_ms=0, max_size=100)

    over = asyncio.Event()

    def tick(item: int) -> None:
        # The next tick is scheduled first, so that its item joins just before what the last one has set off.
        if item < 20:
            asyncio.get_running_loop().call_soon(tick, item + 1)
        else:
            over.set()
        harness.join(item)

    tick(0)
    await over.wait()
    assert len(harness.batches) > 5
    await _settle()
    assert harness.departed == list(range(21))


async def test_several_flushes_are_in_progress_at_a_time():
    harness = Harness(max_size=2, hold=True)
    harness.join(1, 2, 3, 4)
    await _settle()
    assert harness.batches == [[1, 2], [3, 4]]
    harness.flushing[1].set_result(None)
    await _settle()
    assert set(harness.left_in) == {3, 4}
    harness.flushing[0].set_result(None)
    await _settle()
    assert set(harness.left_in) == {1, 2, 3, 4}


async def test_a_failed_flush_is_raised_in_every_join_of_its_batch_alone():
    harness = Harness(max_size=2, hold=True)
    harness.join(1, 2, 3, 4)
    await _settle()
    harness.flushing[0].set_exception(FlushFailedError("no broker"))
    harness.flushing[1].set_result(None)
    await _settle()
    assert [type(harness.joins[item].exception()) for item in (1, 2)] == [FlushFailedError, FlushFailedError]
    assert set(harness.left_in) == {3, 4}
    assert harness.batcher.on_the_wire == 2


async def test_a_cancelled_join_is_taken_out_of_its_batch_and_the_next_oldest_sets_the_time():
    harness = Harness(max_wait_ms=100)
    harness.join(1)
    await harness.pass_time(90)
    harness.join(2)
    await _settle()
    harness.joins[1].cancel()
    await harness.pass_time(10)
    assert harness.batches == []
    await harness.pass_time(90)
    assert harness.batches == [[2]]


async def test_the_last_to_be_cancelled_takes_the_departure_with_it():
    harness = Harness(max_wait_ms=100)
    harness.join(1)
    await _settle()
    harness.joins[1].cancel()
    await harness.pass_time(50)
    harness.join(2)
    await harness.pass_time(50)
    assert harness.batches == []


@pytest.mark.parametrize("flushed", [False, True])
async def test_a_join_cancelled_in_its_flush_leaves_the_wire(flushed):
    harness = Harness(max_size=1, hold=True)
    harness.join(1)
    await _settle()
    if flushed:
        # The outcome and the cancellation arrive in the same turn of the loop.
        harness.flushing[0].set_result(None)
    harness.joins[1].cancel()
    await _settle()
    assert harness.joins[1].cancelled()
    assert harness.batcher.on_the_wire == 0
    assert harness.batches == [[1]]


async def test_an_error_in_the_call_leaves_the_wire():
    harness = Harness(max_size=1)
    with pytest.raises(FlushFailedError):
        async with harness.batcher.join(1):
            raise FlushFailedError
    assert harness.batcher.on_the_wire == 0


ACTIONS = st.lists(
    st.tuples(st.sampled_from(("join", "join", "join", "land", "cancel", "pass", "fail")), st.integers(0, 60)),
    max_size=60,
)
"""What happens, and a number that picks how many join, whose turn it is or how many milliseconds pass."""


@settings(max_examples=examples(150))
@given(ACTIONS, st.sampled_from((0, 1, 20, 100)), st.integers(1, 6), st.integers(0, 6))
def test_any_schedule_keeps_order_limits_and_waits(actions, max_wait_ms, max_size, idle_below):
    async def run() -> None:
        harness = Harness(max_wait_ms=max_wait_ms, max_size=max_size, idle_below=idle_below, hold=True)
        cancelled: set[int] = set()
        for action, number in actions:
            _act(harness, action, number, cancelled)
            await (harness.pass_time(number) if action == "pass" else _settle())
            _check(harness, cancelled)
        await harness.pass_time(max_wait_ms)
        assert harness.batcher.waiting == 0
        assert set(harness.departed) | cancelled == set(harness.joins)
        for flush in harness.flushing:
            if not flush.done():
                flush.set_result(None)
        for landed in harness.landed.values():
            landed.set()
        await asyncio.gather(*harness.joins.values(), return_exceptions=True)
        assert harness.batcher.on_the_wire == 0

    asyncio.run(run())


def _act(harness: Harness, action: str, number: int, cancelled: set[int]) -> None:
    running = [item for item, task in harness.joins.items() if not task.done()]
    flushing = [flush for flush in harness.flushing if not flush.done()]
    if action == "join":
        known = len(harness.joins)
        harness.join(*range(known, known + 1 + number % 4))
    elif action == "land" and running:
        if flushing:
            flushing[number % len(flushing)].set_result(None)
        harness.landed[running[number % len(running)]].set()
    elif action == "fail" and flushing:
        flushing[number % len(flushing)].set_exception(FlushFailedError("no broker"))
    elif action == "cancel" and running:
        item = running[number % len(running)]
        cancelled.add(item)
        harness.joins[item].cancel()


def _check(harness: Harness, cancelled: set[int]) -> None:
    assert harness.departed == sorted(set(harness.departed)), "not first in, first out, or twice"
    assert all(len(batch) <= harness.max_size for batch in harness.batches)
    waiting = [item for item in harness.joins if item not in cancelled and item not in harness.departed]
    assert harness.batcher.waiting == len(waiting)
    travelling = [item for item in harness.departed if not harness.joins[item].done()]
    assert harness.batcher.on_the_wire == len(travelling)
    if waiting:
        assert harness.batcher.on_the_wire >= harness.idle_below, "waits in an idle batcher"
        assert len(waiting) < harness.max_size, "waits in a full batch"
        assert harness.now - harness.joined_at[waiting[0]] < harness.max_wait_ms / 1000, "waits for too long"
    sizes = {item: len(batch) for batch in harness.batches for item in batch}
    assert {item: batch.batch_size for item, batch in harness.left_in.items()}.items() <= sizes.items()
