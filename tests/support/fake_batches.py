"""A provider that takes batches, in memory, and says of them what it is told to."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from support.in_memory import USAGE, Clock

from streams.providers.base import ChatCall, ChatReply, ErrorKind, ProviderError
from streams.providers.batches import BatchProgress, LineEnd

HOUR = 3600.0
UNREADABLE, MALFORMED = b"unreadable", b"malformed"
"""Bodies that break what reads them, and that are none of the protocol."""


@dataclass(frozen=True, slots=True)
class Arrives:
    """What the client is told of a batch that the provider has taken all the same."""

    error: Exception
    visible_after_s: float = 0.0
    """How long it takes until the provider lists it."""


@dataclass
class TakenBatch:
    """A batch that a provider has."""

    batch_id: str
    name: str
    custom_ids: tuple[str, ...]
    listed_at: datetime
    ends_at: datetime


class FakeBatches:
    """The batches of a provider: each ends an hour after it was taken, with an answer to each call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.taken: list[TakenBatch] = []
        self.submissions: list[str] = []
        """The name of each batch that was handed over, taken or not."""
        self.looks: list[datetime] = []
        """When it was asked whether it has a batch."""
        self.told: list[Exception | Arrives] = []
        """What the next ones are told that hand a batch over; None left: it is taken."""
        self.doubts: list[Exception] = []
        """What the next ones are told that ask whether it has a batch."""
        self.troubles: list[Exception] = []
        """What the next ones are told that ask for anything."""
        self.calls: dict[str, ChatCall] = {}
        self.cancelled: list[str] = []
        self.refusal: str | None = None
        self.lasts_s = HOUR
        self.knows_ids_only = False
        """Whether a batch is found by its calls and not by its name."""
        self.end_of: Callable[[str], LineEnd | None] = lambda custom_id: LineEnd(custom_id, custom_id.encode())
        self.cant_express: Callable[[ChatCall], bool] = lambda call: False
        self.gate: asyncio.Event | None = None
        """What a batch waits for before it is taken."""
        self.on_progress: Callable[[], Awaitable[None]] | None = None

    async def write_line(self, custom_id: str, call: ChatCall) -> bytes:
        if self.cant_express(call):
            raise ProviderError(ErrorKind.BAD_REQUEST, "it can't be expressed")
        self.calls[custom_id] = call
        return json.dumps({"custom_id": custom_id}).encode()

    async def submit(self, name: str, lines: Sequence[bytes], may_leave: Callable[[], Awaitable[None]]) -> str:
        await may_leave()
        self.submissions.append(name)
        if self.gate is not None:
            await self.gate.wait()
        told = self.told.pop(0) if self.told else None
        if isinstance(told, Exception):
            raise told
        now, hidden_s = self._clock(), told.visible_after_s if told is not None else 0.0
        batch = TakenBatch(
            f"batch_{len(self.taken)}",
            name,
            tuple(json.loads(line)["custom_id"] for line in lines),
            now + timedelta(seconds=hidden_s),
            now + timedelta(seconds=self.lasts_s),
        )
        self.taken.append(batch)
        if told is not None:
            raise told.error
        return batch.batch_id

    async def find(self, name: str, custom_ids: Sequence[str], since: datetime) -> str | None:
        self.looks.append(self._clock())
        if self.doubts:
            raise self.doubts.pop(0)
        self._trouble()
        for batch in self.taken:
            is_it = set(batch.custom_ids) <= set(custom_ids) if self.knows_ids_only else batch.name == name
            if is_it and batch.listed_at <= self._clock():
                return batch.batch_id
        return None

    async def progress(self, batch_id: str) -> BatchProgress:
        if self.on_progress is not None:
            await self.on_progress()
        self._trouble()
        has_ended = self._clock() >= self._batch(batch_id).ends_at or batch_id in self.cancelled
        return BatchProgress(has_ended or self.refusal is not None, refusal=self.refusal)

    async def cancel(self, batch_id: str) -> None:
        self.cancelled.append(batch_id)

    async def line_ends(self, batch_id: str) -> AsyncGenerator[LineEnd, None]:
        self._trouble()
        for custom_id in self._batch(batch_id).custom_ids:
            if (end := self.end_of(custom_id)) is not None:
                yield end

    def read(self, call: ChatCall, body: bytes) -> ChatReply:
        if body == UNREADABLE:
            raise ValueError("SECRETANSWER")
        if body == MALFORMED:
            raise ProviderError(ErrorKind.MALFORMED, "not in the protocol's form", usage=USAGE)
        return ChatReply(body.decode(), "stop", USAGE)

    def _batch(self, batch_id: str) -> TakenBatch:
        found = next((batch for batch in self.taken if batch.batch_id == batch_id), None)
        if found is None:
            raise ProviderError(ErrorKind.BAD_REQUEST, "no such batch", status=404)
        return found

    def _trouble(self) -> None:
        if self.troubles:
            raise self.troubles.pop(0)
