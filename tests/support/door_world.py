"""A door over a log in memory: what the stages would say is said by the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from support.in_memory import Clock, Log
from support.plain_surface import PlainSurface

from streams.config.settings import Settings
from streams.kafka.publisher import Delivered, Output
from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests
from tierstream.monitoring.door_monitoring import DoorMonitoring
from tierstream.monitoring.monitor import Monitor
from tierstream.serve.answer_board import AnswerBoard
from tierstream.serve.app import new_app
from tierstream.serve.door import Door
from tierstream.serve.exchange import Exchange
from tierstream.serve.keys import KeyEntry, KeyRing
from tierstream.serve.server import new_server
from tierstream.serve.surface import Surface
from tierstream.serve.targets import DeploymentTargets
from tierstream.stack.ports import free_port
from topics.events import Chunk
from topics.registry import OUTCOMES, SETTLED
from topics.requests import Request
from topics.results import Outcome, Result, ResultStatus, Settled
from topics.tasks import Source

CALL = UUID(int=1)


def door_settings(**serve) -> Settings:
    """Settings of a door that does not wait long."""
    return Settings(serve={"heartbeat_s": 0.05, "drain_timeout_s": 0, **serve})


class MemorySender:
    """Puts requests on the log, and tells whoever plays the stages."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.sent: list[tuple[Request, Delivered]] = []
        self.arrived = asyncio.Condition()
        self.on_request: Callable[[Request, Delivered], None] = lambda request, place: None

    async def send(self, output: Output) -> Delivered:
        place = self._log.append(output)
        request = output.record
        if not isinstance(request, Request):
            return place
        self.sent.append((request, place))
        async with self.arrived:
            self.arrived.notify_all()
        self.on_request(request, place)
        return place

    async def came(self, count: int) -> tuple[Request, Delivered]:
        """Wait until so many requests have come, and return the last of them."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.sent) >= count)
        return self.sent[count - 1]


class MemoryBoard(AnswerBoard):
    """Is handed all chunks by the test, and so is never behind."""

    async def catch_up(self) -> None:
        pass


class DoorWorld:
    """The parts of a door."""

    def __init__(
        self,
        settings: Settings,
        entries: list[KeyEntry] | None = None,
        surfaces: Mapping[str, Surface] | None = None,
    ) -> None:
        self.settings = settings
        self.clock = Clock()
        self.log = Log(self.clock)
        self.board = MemoryBoard(settings.kafka, max_waiting=settings.serve.max_waiting)
        self.settled = SettledRequests(settings, self.clock, self.log)
        results = ResultIndex(settings, self.settled, self.clock, self.log, self.log)
        self.sender = MemorySender(self.log)
        self.exchange = Exchange(settings, self.board, self.sender, self.settled, results, self.clock)
        self.monitoring = DoorMonitoring(Monitor(), lambda: self.board.waiting)
        self.monitoring.monitor.note_started()
        self.door = Door(
            settings,
            self.exchange,
            KeyRing(entries),
            DeploymentTargets(settings),
            surfaces or {name: PlainSurface(name) for name in ("chat_completions", "messages")},
            self.monitoring,
            lambda: self.clock().timestamp(),
        )
        self._following: asyncio.Task[None] | None = None

    async def follow(self) -> None:
        """Have the markers be read from here on."""
        ready = asyncio.Event()
        self._following = asyncio.create_task(self.settled.run(ready))
        await ready.wait()

    def outcome(self, request: Request, place: Delivered, content: str = "an answer", **fields) -> Outcome:
        """Decide how a request ends."""
        topic = "llm.requests"
        source = Source(topic=topic, partition=place.partition, offset=place.offset, timestamp_ms=place.timestamp_ms)
        known = {"status": ResultStatus.OK, "content": content, "cost_usd": 0, "stage": "infer:1"}
        return Outcome.model_validate(
            {"request_id": request.request_id, "source": source, "digest": request.digest(), **known, **fields}
        )

    def settle(self, request: Request, place: Delivered, content: str = "an answer", *, told: bool = True, **fields):
        """Publish the result of a request, as settle does; where it is not told, it was read before anybody waited."""
        outcome = self.outcome(request, place, content, **fields)
        at = self.log.append(Output(OUTCOMES, outcome))
        if told:
            self.board.take(Result.of(outcome, self.clock()))
        marker = Settled(
            request_id=request.request_id,
            revision=0,
            digest=outcome.digest,
            asked_ms=place.timestamp_ms,
            outcome_offset=at.offset,
        )
        self.log.append(Output(SETTLED, marker))

    def chunk(self, request: Request, seq: int, text: str, *, call: UUID = CALL, kind: str = "text") -> None:
        """Publish a piece of an answer."""
        fields = {"request_id": request.request_id, "attempt_id": UUID(int=9), "call_id": call, "seq": seq}
        self.board.take(Chunk.model_validate({**fields, "kind": kind, "text": text, "at": self.clock()}))

    def answer_all(self, content: str = "an answer") -> None:
        """Answer each request as soon as it comes."""
        self.sender.on_request = lambda request, place: self.settle(request, place, content)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve it over HTTP in this event loop; yields its URL."""
        await self.follow()
        port = free_port()
        server = new_server(self.settings.serve, new_app(self.door, self.monitoring), port)
        running = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            self.door.close()
            server.should_exit = server.force_exit = True
            await running


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that nobody tells of."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
