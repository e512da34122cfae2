"""The ordered window under random schedules: order, limits, back-pressure, failures and forgotten assignments."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import examples

from streams.runtime.ordered_window import OrderedWindow

Token = tuple[Hashable, int]


async def _settle() -> None:
    """Let everything that can go on do so; a few turns of the loop are enough for a chain of wake-ups."""
    for _ in range(8):
        await asyncio.sleep(0)


@dataclass
class Harness:
    """A window whose work ends when the test says so, with a model of what it should hold."""

    in_flight: int = 3
    span: int = 5
    max_bytes: int = 100
    window_type: type[OrderedWindow[Token]] = OrderedWindow
    released: list[Token] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    admitted: list[Token] = field(default_factory=list)
    """Noted as `admit` returns: the work itself starts a turn of the loop later."""
    work: dict[Token, asyncio.Future[None]] = field(default_factory=dict)
    sizes: dict[Token, int] = field(default_factory=dict)
    finished: set[Token] = field(default_factory=set)
    forgotten: set[Token] = field(default_factory=set)
    """In work when their assignment was forgotten. A blocked record of it still comes in, and counts anew."""

    def __post_init__(self) -> None:
        self.window = self.window_type(
            in_flight=self.in_flight,
            span=self.span,
            max_bytes=self.max_bytes,
            release=self.released.append,
            fail=self._fail,
        )

    async def _fail(self, error: BaseException) -> None:
        self.failures.append(error)

    def offer(self, assignment: Hashable, offset: int, size: int = 1) -> "asyncio.Task[None]":
        async def admit() -> None:
            await self.window.admit(assignment, offset, size, (assignment, offset), self._start(assignment, offset))
            self.admitted.append((assignment, offset))

        self.sizes[assignment, offset] = size
        return asyncio.create_task(admit())

    def _start(self, assignment: Hashable, offset: int) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            token = (assignment, offset)
            self.work[token] = asyncio.get_running_loop().create_future()
            self.check_limits()
            await self.work[token]

        return run

    async def finish(self, token: Token) -> None:
        self.work[token].set_result(None)
        self.finished.add(token)
        await _settle()

    def unfinished(self) -> list[Token]:
        return [token for token in self.work if token not in self.finished]

    def held(self) -> list[Token]:
        return [token for token in self.admitted if token not in self.released and token not in self.forgotten]

    def check_limits(self) -> None:
        assert len([token for token in self.admitted if token not in self.finished]) <= self.in_flight
        held = self.held()
        total = sum(self.sizes[token] for token in held)
        assert total <= self.max_bytes or len([t for t in held if self.sizes[t]]) == 1
        for assignment, offset in held:
            assert offset - min(o for other, o in held if other == assignment) < self.span

    def check_order(self) -> None:
        for assignment in {assignment for assignment, _ in self.admitted}:
            admitted = [token for token in self.admitted if token[0] == assignment and token not in self.forgotten]
            done = [token for token in self.released if token[0] == assignment]
            assert done == admitted[: len(done)], "not a prefix in offset order"
            assert self.finished.issuperset(done), "released before it was finished"
            rest = admitted[len(done) :]
            assert not rest or rest[0] not in self.finished, "finished at the head and held back"


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("finish"), st.integers(0, 9)),
        st.tuples(st.just("rebalance"), st.just(0)),
    ),
    max_size=60,
)
"""What happens besides arrivals; the number picks one of the unfinished."""

ARRIVALS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from((0, 1, 10, 40, 99, 100, 101, 500))),
    min_size=1,
    max_size=40,
)
"""Partition, step of the offset, bytes."""


async def play(harness: Harness, arrivals: list[tuple[int, int, int]], actions: list[tuple[str, int]]) -> None:
    """Feed the arrivals as one consumer would, one after the other, while the actions happen."""
    generation = 1

    async def feed() -> None:
        offsets: dict[Hashable, int] = {}
        for partition, step, size in arrivals:
            assignment = (partition, generation)
            offsets[assignment] = offsets.get(assignment, -step) + step
            await harness.offer(assignment, offsets[assignment], size)

    feeding = asyncio.create_task(feed())
    for action, number in actions:
        await _settle()
        if action == "rebalance":
            harness.forgotten |= set(harness.held())
            generation += 1
            current = generation
            harness.window.retain(lambda assignment, current=current: assignment[1] == current)
        elif open_tokens := harness.unfinished():
            await harness.finish(open_tokens[number % len(open_tokens)])
        harness.check_limits()
        harness.check_order()
    await _settle()
    while not feeding.done() or harness.unfinished():
        await _settle()
        open_tokens = harness.unfinished()
        assert open_tokens or feeding.done(), "nothing is in work, and yet nothing is admitted"
        for token in reversed(open_tokens):
            await harness.finish(token)
        harness.check_order()
    await feeding
    assert len(harness.work) == len(arrivals)
    assert harness.window.running == 0
    assert harness.window.held_bytes == 0
    assert harness.failures == []


@settings(max_examples=examples(120))
@example([(0, 1, 0)] * 4, [("rebalance", 0)], 4, 4)
@given(ARRIVALS, ACTIONS, st.integers(1, 5), st.integers(1, 8))
def test_any_schedule_releases_in_order_and_stays_within_the_limits(arrivals, actions, in_flight, span):
    async def run() -> None:
        await play(Harness(in_flight=in_flight, span=span), arrivals, actions)

    asyncio.run(run())


@settings(max_examples=examples(60))
@given(ARRIVALS, st.lists(st.integers(0, 9), max_size=12), st.integers(0, 9))
def test_a_failure_stops_admission_and_release(arrivals, before, failing):
    async def run() -> None:
        harness = Harness()
        feeding = asyncio.create_task(_feed(harness, arrivals))
        await _settle()
        for number in before:
            if open_tokens := harness.unfinished():
                await harness.finish(open_tokens[number % len(open_tokens)])
        if not (open_tokens := harness.unfinished()):
            await feeding
            return
        failed = open_tokens[failing % len(open_tokens)]
        error = ValueError("broken")
        harness.work[failed].set_exception(error)
        harness.finished.add(failed)
        await _settle()
        assert harness.failures == [error], "or a limit was passed: the harness checks them where work starts"
        started, released = len(harness.work), list(harness.released)
        for token in harness.unfinished():
            await harness.finish(token)
        assert len(harness.work) == started
        assert harness.released == released
        assert failed not in released
        feeding.cancel()

    asyncio.run(run())


async def _feed(harness: Harness, arrivals: list[tuple[int, int, int]]) -> None:
    for number, (partition, _, size) in enumerate(arrivals):
        await harness.offer(partition, number, size)


async def test_a_record_larger_than_the_limit_is_admitted_alone():
    harness = Harness()
    small, large, after = harness.offer("p", 0, 10), harness.offer("p", 1, 1000), None
    await _settle()
    assert small.done()
    assert not large.done()
    await harness.finish(("p", 0))
    assert large.done()
    assert harness.window.held_bytes == 1000
    after = harness.offer("p", 2, 1)
    await _settle()
    assert not after.done()
    await harness.finish(("p", 1))
    assert after.done()


@pytest.mark.parametrize(
    ("limits", "offers"),
    [
        ({"in_flight": 2}, [("p", 0, 1), ("q", 0, 1), ("r", 0, 1)]),
        ({"span": 3}, [("p", 10, 1), ("p", 12, 1), ("p", 13, 1)]),
        ({"max_bytes": 20}, [("p", 0, 10), ("q", 0, 10), ("r", 0, 1)]),
    ],
)
async def test_each_limit_blocks_and_lets_go(limits, offers):
    harness = Harness(**limits)
    tasks = [harness.offer(*offer) for offer in offers]
    await _settle()
    assert [task.done() for task in tasks] == [True, True, False]
    await harness.finish(offers[0][:2])
    assert tasks[2].done()


async def test_bytes_and_span_count_what_waits_for_an_unfinished_head():
    harness = Harness(in_flight=10, span=2)
    first, second, third = (harness.offer("p", offset, 10) for offset in range(3))
    await _settle()
    await harness.finish(("p", 1))
    assert harness.released == []
    assert harness.window.held_bytes == 20
    assert not third.done()
    await harness.finish(("p", 0))
    assert harness.released == [("p", 0), ("p", 1)]
    assert first.done()
    assert second.done()
    assert third.done()


async def test_forgotten_lanes_are_not_released_and_free_their_bytes():
    harness = Harness()
    for assignment in ("old", "new"):
        await harness.offer(assignment, 0, 40)
    await _settle()
    blocked = harness.offer("new", 1, 40)
    await _settle()
    assert not blocked.done()
    harness.forgotten.add(("old", 0))
    harness.window.retain(lambda assignment: assignment == "new")
    await _settle()
    assert blocked.done()
    await harness.finish(("old", 0))
    await harness.finish(("new", 0))
    assert harness.released == [("new", 0)]


async def test_drain_admits_nothing_more_and_waits_for_what_is_in_work():
    harness = Harness(in_flight=1)
    await harness.offer("p", 0)
    waiting = harness.offer("p", 1)
    await _settle()
    draining = asyncio.create_task(harness.window.drain(30))
    await _settle()
    assert not draining.done()
    await harness.finish(("p", 0))
    assert await draining
    await _settle()
    assert not waiting.done()
    assert list(harness.work) == [("p", 0)]
    waiting.cancel()


async def test_drain_says_when_time_is_up_and_cancel_releases_nothing():
    harness = Harness()
    await harness.offer("p", 0)
    await _settle()
    assert not await harness.window.drain(0)
    await harness.window.cancel()
    assert harness.window.running == 0
    assert harness.released == []
    assert harness.failures == []


async def test_an_idle_window_keeps_no_lanes():
    harness = Harness()
    for generation in range(5):
        await harness.offer(("p", generation), 0)
        await _settle()
        await harness.finish((("p", generation), 0))
    gc.collect()
    assert harness.window._assignments == {}


class _NoOrder(OrderedWindow[Token]):
    """Releases whatever is finished."""

    def _release_head(self, assignment):
        for entry in list(self._assignments[assignment].entries if assignment in self._assignments else ()):
            if entry.done:
                self._assignments[assignment].entries.remove(entry)
                self._bytes -= entry.size
                self._release(entry.token)


class _NoLimits(OrderedWindow[Token]):
    def _has_room(self, assignment, offset, size):
        return not self._failed


class _KeepsLanes(OrderedWindow[Token]):
    def retain(self, keep):
        self._changed.set()


class _LosesWakeUps(OrderedWindow[Token]):
    def retain(self, keep):
        super().retain(keep)
        self._changed.clear()

    def _release_head(self, assignment):
        super()._release_head(assignment)
        self._changed = asyncio.Event()


BUSY = [(0, 1, 40), (0, 1, 40), (1, 1, 40), (0, 3, 500), (1, 2, 1), (0, 4, 10), (0, 4, 10)]


@pytest.mark.parametrize("broken", [_NoOrder, _NoLimits, _KeepsLanes, _LosesWakeUps])
def test_the_checks_notice_a_broken_window(broken):
    async def run() -> None:
        harness = Harness(window_type=broken)
        await play(harness, BUSY, [("finish", 1), ("rebalance", 0), ("finish", 1), ("finish", 0)])

    with pytest.raises(AssertionError):
        asyncio.run(run())
