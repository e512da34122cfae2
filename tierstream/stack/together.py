"""Awaiting several things at once as if they were one."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def all_of(*work: Coroutine[Any, Any, Any]) -> None:
    """Await all of them at once; the first failure cancels the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except* Exception as failed:  # noqa: BLE001 - raised again below
        first = failed.exceptions[0]
    else:
        return
    raise first
