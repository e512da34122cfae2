"""`/v1/batches`. Source: https://platform.openai.com/docs/api-reference/batch."""

import asyncio
import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import QueryParams

from streams.batches.batch_log import BatchState
from tierstream.serve.batches.endpoints import surface_of
from tierstream.serve.batches.input_lines import MOST_ERRORS, LineReader, lines_of
from tierstream.serve.batches.objects import WINDOW, batch_json, new_batch_id
from tierstream.serve.batches.paging import page
from tierstream.serve.batches.store import BatchStore, not_a_batch
from tierstream.serve.bodies import idempotency_key, read_json
from tierstream.serve.call import Call
from tierstream.serve.request_ids import new_request_id, request_id_of
from tierstream.serve.surface import DoorError
from topics.batches import (
    Batch,
    BatchCancelled,
    BatchError,
    BatchLine,
    BatchLines,
    BatchStatus,
    File,
    Metadata,
    Stretch,
)

_DAY: Final = timedelta(hours=24)
_STRETCH_BYTES: Final = 1024 * 1024
_STRETCH_LINES: Final = 500
_AT_ONCE: Final = 20
"""Lines that are read without a pause: other requests have their turn in between."""
_USUAL, _MOST = 20, 100
_METADATA: Final = TypeAdapter(Metadata | None)


class BatchApi:
    """Serves batches.

    Args:
        store: Has them.
    """

    def __init__(self, store: BatchStore) -> None:
        self._store = store

    async def create(self, call: Call) -> None:
        """Make a batch of a file: its lines are read, and what they ask for is written down before the batch is.

        With an Idempotency-Key a repeat finds the batch that was made.

        Raises:
            DoorError: 400, it can't be made of this; 404, there is no such file; 503, Kafka does not answer.
            ClientGoneError: The client went away before it was asked for.
        """
        key = idempotency_key(call.headers)
        body = await read_json(call.receive, call.headers, self._store.settings)
        batch_id = new_batch_id(_unique(call.caller.name, key))
        if key is not None and (known := await self._known(batch_id, call)) is not None:
            await self._answer(call, known)
            return
        surface_of(call.door, body.get("endpoint"))
        _check(body)
        file = await self._store.file(_text(body, "input_file_id"), call.caller.name)
        making = _Making(self._store, call, batch_id, body, file)
        await making.make()
        await self._answer(call, await self._store.batch(batch_id, call.caller.name))

    async def index(self, call: Call) -> None:
        """List the batches of the caller, the newest first.

        Raises:
            DoorError: 400, the query is wrong; 503, Kafka does not answer.
        """
        await self._store.catch_up()
        found = [batch_json(state, self._store.clock()) for state in self._store.log.batches(call.caller.name)]
        await call.answer(page(found, QueryParams(call.scope["query_string"]), usual=_USUAL, most=_MOST))

    async def show(self, call: Call) -> None:
        """Show a batch.

        Raises:
            DoorError: 404, there is none.
        """
        await self._answer(call, await self._batch(call))

    async def cancel(self, call: Call) -> None:
        """Have no further line of a batch be sent, and call off those that are under way.

        Raises:
            DoorError: 404, there is none; 409, it has ended.
        """
        state = await self._batch(call)
        if state.ended is not None and state.ended.status is not BatchStatus.CANCELLED:
            raise DoorError(409, "batch_ended", f"the batch is {state.ended.status} already")
        if state.cancelled_at is None:
            await self._store.note(BatchCancelled(batch_id=state.batch.batch_id, at=self._store.clock()))
        await self._answer(call, state)

    async def _answer(self, call: Call, state: BatchState) -> None:
        await call.answer(batch_json(state, self._store.clock()))

    async def _batch(self, call: Call) -> BatchState:
        return await self._store.batch(call.scope["path_params"]["batch_id"], call.caller.name)

    async def _known(self, batch_id: str, call: Call) -> BatchState | None:
        try:
            return await self._store.batch(batch_id, call.caller.name)
        except DoorError as error:
            if error.code == "not_found":
                return None
            raise


class _Making:
    """A batch that is being made of a file.

    Args:
        store: Takes it.
        call: Who makes it.
        batch_id: Of the batch.
        body: As it was posted.
        file: With the lines.
    """

    def __init__(self, store: BatchStore, call: Call, batch_id: str, body: Mapping[str, Any], file: File) -> None:
        self._store = store
        self._owner = call.caller.name
        self._batch_id = batch_id
        self._body = body
        self._file = file
        self._now = store.clock()
        self._prefix = request_id_of(self._owner, batch_id)
        self._reader = LineReader(
            surface_of(call.door, body["endpoint"]),
            body["endpoint"],
            caller=call.caller,
            targets=call.door.targets,
            request_prefix=self._prefix,
            settings=store.settings,
            now_s=int(self._now.timestamp()),
        )
        self._lines: list[BatchLine] = []
        self._size = 0
        self._refused = 0
        self._stretches: list[Stretch] = []

    async def make(self) -> None:
        """Read all lines, write them down as requests, and then the batch: before it nothing of it is to be seen."""
        await self._read_lines()
        reader = self._reader
        reader.finish()
        is_failed = bool(reader.errors)
        if not is_failed:
            await self._write_lines()
        await self._store.note(
            Batch(
                batch_id=self._batch_id,
                owner=self._owner,
                input_file_id=self._file.file_id,
                endpoint=self._body["endpoint"],
                metadata=self._body.get("metadata") or {},
                request_prefix=self._prefix,
                total=0 if is_failed else reader.count,
                refused=0 if is_failed else self._refused,
                stretches=() if is_failed else tuple(self._stretches),
                errors=tuple(reader.errors),
                created_at=self._now,
                expires_at=self._now + _DAY,
            )
        )

    async def _read_lines(self) -> None:
        settings = self._store.settings
        reader, most = self._reader, settings.batches.max_lines
        # What is not a request's takes far less than one may have.
        async for number, text in lines_of(self._store.data(self._file), 2 * settings.kafka.request_max_bytes):
            if reader.count >= most:
                message = f"a batch has {most} lines at most"
                reader.errors.append(BatchError(code="too_many_lines", message=message, line=number))
            if len(reader.errors) >= MOST_ERRORS or reader.count >= most:
                return
            if (line := reader.read(number, text)) is not None:
                await self._add(line, len(text))
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _add(self, line: BatchLine, size: int) -> None:
        if self._reader.errors:
            # The batch has failed: the rest is read for what else is wrong.
            return
        self._lines.append(line)
        self._size += size
        self._refused += line.request is None
        if self._size >= _STRETCH_BYTES or len(self._lines) >= _STRETCH_LINES:
            await self._write_lines()

    async def _write_lines(self) -> None:
        if not self._lines:
            return
        first = self._reader.count - len(self._lines)
        record = BatchLines(batch_id=self._batch_id, first=first, lines=tuple(self._lines))
        self._stretches.append(Stretch(first=first, offset=await self._store.keep(record)))
        self._lines, self._size = [], 0


def _unique(caller: str, key: str | None) -> str:
    if key is None:
        return new_request_id()
    return hashlib.sha256(f"batch\x1f{request_id_of(caller, key)}".encode()).hexdigest()[:32]


def _check(body: Mapping[str, Any]) -> None:
    if body.get("completion_window") != WINDOW:
        raise not_a_batch(f"the completion_window must be {WINDOW}", "completion_window")
    try:
        _METADATA.validate_python(body.get("metadata"), strict=True)
    except ValidationError:
        message = "metadata must be up to 16 texts of 512 characters, under names of 64"
        raise not_a_batch(message, "metadata") from None


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise not_a_batch(f"{name} must be a text", name)
    return value
