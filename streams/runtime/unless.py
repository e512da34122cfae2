"""Awaiting one thing unless another comes first."""

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless(ending: Awaitable[Any], work: Coroutine[Any, Any, T]) -> T | None:
    """Await some work; where `ending` comes first, cancel the work, wait for its end, and raise what `ending` raised.

    Args:
        ending: A task or future is left as it is in the end, anything else is cancelled.
        work: What is awaited.

    Returns:
        What the work returned; None where it was cut short.
    """
    end, working = asyncio.ensure_future(ending), asyncio.ensure_future(work)
    ours = [working] if end is ending else [working, end]
    try:
        await asyncio.wait((working, end), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        end.result()
        return None
    finally:
        for one in ours:
            one.cancel()
        await asyncio.gather(*ours, return_exceptions=True)
