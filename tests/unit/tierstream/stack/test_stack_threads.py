"""Blocking work in a thread that the end of the process does not wait for."""

import asyncio
import threading

import pytest

from tierstream.stack.threads import in_daemon_thread


async def test_what_the_work_returns_or_raises_is_passed_on() -> None:
    assert await in_daemon_thread(lambda: "done") == "done"
    with pytest.raises(ZeroDivisionError):
        await in_daemon_thread(lambda: 1 / 0)


def test_the_loop_ends_while_the_work_hangs() -> None:
    hangs, released = threading.Event(), threading.Event()

    def work() -> None:
        hangs.set()
        released.wait()

    async def interrupted() -> None:
        waiting = asyncio.create_task(in_daemon_thread(work))
        await asyncio.to_thread(hangs.wait)
        waiting.cancel()
        await asyncio.wait((waiting,))

    asyncio.run(interrupted())
    assert not released.is_set()
    released.set()
