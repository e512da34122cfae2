"""A door with files and batches over a log in memory, and stages that answer as they are told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp
from support.in_memory import SETTINGS, Clock, Log

from streams.batches.batch_log import BatchLog
from streams.batches.batch_run import BatchRun
from streams.batches.contents import Contents
from streams.batches.result_watch import ResultWatch
from streams.batches.slots import Slots
from streams.config.settings import Settings
from streams.kafka.publisher import Delivered, Output
from tierstream.monitoring.door_monitoring import DoorMonitoring
from tierstream.monitoring.monitor import Monitor
from tierstream.serve.app import new_app
from tierstream.serve.batches.store import BatchStore
from tierstream.serve.door import Door
from tierstream.serve.keys import KeyEntry, KeyRing, hash_of
from tierstream.serve.surfaces import SURFACES
from tierstream.serve.targets import DeploymentTargets
from topics.feedback import Cancellation
from topics.registry import RESULTS
from topics.requests import Request
from topics.results import CANCELLED, Result, ResultError, ResultStatus
from topics.tasks import Source

KEYS = {"ann": "ts-key-of-ann-0123456789abcdef", "bob": "ts-key-of-bob-0123456789abcdef"}


class MemorySender:
    """Puts what the door writes on the log."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(self, output: Output) -> Delivered:
        return self._log.append(output)


def ending_of(request: Request) -> dict[str, Any]:
    """Answer a request with its question."""
    return {"status": ResultStatus.OK, "content": f"echo: {request.question}", "finish_reason": "stop"}


class BatchWorld:
    """The parts of a door, and of one process that serves batches."""

    def __init__(self, **batches: Any) -> None:
        self.settings = Settings(**SETTINGS, batches={"in_flight": 8, **batches}, serve={"models": {"*": "auto"}})
        self.clock = Clock()
        self.log = Log(self.clock)
        self.known = BatchLog(self.settings, self.log)
        contents = Contents(self.settings.kafka, self.log)
        self.store = BatchStore(self.settings, self.known, contents, self.log, MemorySender(self.log), self.clock)
        self.watch = ResultWatch(self.settings, self.clock, self.log)
        entries = [KeyEntry(name=name, sha256=hash_of(key), feature="nightly") for name, key in KEYS.items()]
        self.door = Door(
            self.settings,
            None,
            KeyRing(entries),
            DeploymentTargets(self.settings),
            SURFACES,
            DoorMonitoring(Monitor(), lambda: 0),
            lambda: self.clock().timestamp(),
            batches=self.store,
        )
        self.app: ASGIApp = new_app(self.door, self.door.counts)
        self.ending: Callable[[Request], dict[str, Any]] = ending_of

    @asynccontextmanager
    async def following(self) -> AsyncIterator[None]:
        """Have the log be read for as long as the block lasts."""
        tasks = []
        for follow in (self.known.run, self.watch.run):
            ready = asyncio.Event()
            tasks.append(asyncio.create_task(follow(ready)))
            await ready.wait()
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def serve(self, batch_id: str) -> None:
        """Serve a batch to its end: each request has its result as soon as it comes."""
        state = self.known.batch(batch_id)
        run = BatchRun(
            state,
            settings=self.settings.batches,
            publisher=self.log,
            contents=Contents(self.settings.kafka, self.log),
            watch=self.watch,
            slots=Slots(self.settings.lines_in_flight),
            clock=self.clock,
        )
        serving = asyncio.create_task(run.run())
        answered: set[str] = set()
        while not serving.done():
            await run.look()
            self._answer(answered)
            await asyncio.sleep(0)
        serving.result()

    def _answer(self, answered: set[str]) -> None:
        cancelled = {record.request_id for record in self.log.published if isinstance(record, Cancellation)}
        for request in [record for record in self.log.published if isinstance(record, Request)]:
            if request.request_id in answered:
                continue
            answered.add(request.request_id)
            ending = self.ending(request)
            if request.request_id in cancelled:
                error = ResultError(code=CANCELLED, message="nobody waits")
                ending = {"status": ResultStatus.REJECTED, "error": error}
            self._publish(request, ending)

    def _publish(self, request: Request, ending: dict[str, Any]) -> None:
        source = Source(topic="llm.requests", partition=0, offset=1, timestamp_ms=1_000)
        known = {"request_id": request.request_id, "cost_usd": 0, "source": source, "latency_ms": 1}
        result = Result.model_validate(
            {**known, "settled_at": self.clock(), "provider": "fast", "model": "a", **ending}
        )
        self.log.append(Output(RESULTS, result))

    def sent(self) -> list[Request]:
        """List the requests that have come."""
        return [record for record in self.log.published if isinstance(record, Request)]
