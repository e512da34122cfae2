"""Work that is awaited unless something else comes first."""

import asyncio

import pytest

from streams.runtime.unless import unless


class Work:
    """What never ends by itself, and whether it was begun and has ended."""

    def __init__(self):
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def run(self):
        try:
            self.begun.set()
            await asyncio.Event().wait()
        finally:
            # An end that takes a moment is waited for.
            await asyncio.sleep(0)
            self.ended.set()


async def test_work_that_comes_first_gives_its_result_and_its_error():
    never = asyncio.Event()

    async def answer():
        return 42

    async def fail():
        raise KeyError

    assert await unless(never.wait(), answer()) == 42
    with pytest.raises(KeyError):
        await unless(never.wait(), fail())


async def test_what_comes_first_cuts_the_work_short():
    work = Work()
    assert await unless(work.begun.wait(), work.run()) is None
    assert work.ended.is_set()


async def test_what_comes_first_may_raise():
    work = Work()

    async def fail():
        await work.begun.wait()
        raise KeyError

    with pytest.raises(KeyError):
        await unless(fail(), work.run())
    assert work.ended.is_set()


async def test_a_task_that_may_come_first_is_nobody_elses_to_cancel():
    async def answer():
        return 42

    guard, other = asyncio.create_task(Work().run()), Work()
    assert await unless(guard, answer()) == 42
    assert not guard.done()
    waiting = asyncio.create_task(unless(other.run(), Work().run()))
    await other.begun.wait()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert (waiting.cancelled(), other.ended.is_set()) == (True, True)
    guard.cancel()
    await asyncio.wait([guard])
