"""`/v1/files`. Source: https://platform.openai.com/docs/api-reference/files."""

from collections.abc import AsyncIterator
from typing import Final

from starlette.datastructures import QueryParams

from streams.runtime.unless import unless
from tierstream.serve.batches.endpoints import surface_of
from tierstream.serve.batches.objects import ShownFile, batch_of, new_file_id
from tierstream.serve.batches.output_lines import LineWriter
from tierstream.serve.batches.paging import page
from tierstream.serve.batches.store import BatchStore
from tierstream.serve.batches.uploads import receive_file
from tierstream.serve.bodies import ClientGoneError
from tierstream.serve.call import Call
from tierstream.serve.request_ids import new_request_id
from tierstream.serve.surface import DoorError
from topics.batches import BatchStatus, FileDeleted

_MOST_LISTED: Final = 10_000


class FileApi:
    """Serves files.

    Args:
        store: Has them.
    """

    def __init__(self, store: BatchStore) -> None:
        self._store = store

    async def create(self, call: Call) -> None:
        """Take in a file.

        Raises:
            DoorError: As of `receive_file`.
            ClientGoneError: The client went away before it was there.
        """
        file_id = new_file_id(new_request_id())
        file = await receive_file(call.receive, call.headers, self._store, file_id=file_id, owner=call.caller.name)
        await call.answer(ShownFile.of(file).as_json())

    async def index(self, call: Call) -> None:
        """List the files of the caller.

        Raises:
            DoorError: 400, the query is wrong; 503, Kafka does not answer.
        """
        query = QueryParams(call.scope["query_string"])
        files = await self._store.files(call.caller.name)
        purpose = query.get("purpose")
        found = [file.as_json() for file in files if purpose in {None, file.purpose}]
        if query.get("order") == "asc":
            found.reverse()
        await call.answer(page(found, query, usual=_MOST_LISTED, most=_MOST_LISTED))

    async def show(self, call: Call) -> None:
        """Show a file.

        Raises:
            DoorError: 404, there is none.
        """
        await call.answer((await self._file(call)).as_json())

    async def delete(self, call: Call) -> None:
        """Delete a file.

        Raises:
            DoorError: 404, there is none.
        """
        file = await self._file(call)
        await self._store.note(FileDeleted(file_id=file.file_id, at=self._store.clock()))
        await call.answer({"id": file.file_id, "object": "file", "deleted": True})

    async def content(self, call: Call) -> None:
        """Send what is in a file.

        Raises:
            DoorError: 404, there is none.
            ClientGoneError: The client went away, or the rest of it can't be had.
        """
        await self._file(call)
        async with call.door.attended(call.receive) as gone:
            if not await unless(gone, self._send(call)):
                raise ClientGoneError

    async def _send(self, call: Call) -> bool:
        has_begun = False
        try:
            async for piece in self._pieces(call):
                if not has_begun:
                    await call.begin_download("application/octet-stream")
                    has_begun = True
                await call.write(piece)
        except DoorError:
            if has_begun:
                # To end the response would say that this was all of it.
                raise ClientGoneError from None
            raise
        if not has_begun:
            await call.begin_download("application/octet-stream")
        await call.end()
        return True

    async def _pieces(self, call: Call) -> AsyncIterator[bytes]:
        file_id, owner = _id_in(call), call.caller.name
        if batch_of(file_id) is None:
            async for piece in self._store.data(await self._store.file(file_id, owner)):
                yield piece
        else:
            async for line in self._result_lines(call, file_id, owner):
                yield line

    async def _result_lines(self, call: Call, file_id: str, owner: str) -> AsyncIterator[bytes]:
        state, _ = await self._store.results_of(file_id, owner)
        _, wants_answers = batch_of(file_id) or ("", False)
        status = state.ended.status if state.ended else BatchStatus.COMPLETED
        writer = LineWriter(state.batch, status, surface_of(call.door, state.batch.endpoint))
        async for known in self._store.lines(state):
            if known.ok is wants_answers:
                at = known.result_offset
                result = None if at is None else await self._store.result(state.batch, known.number, at)
                yield writer.write(known.number, known.line, result, had_result=at is not None)

    async def _file(self, call: Call) -> ShownFile:
        file_id, owner = _id_in(call), call.caller.name
        if batch_of(file_id) is None:
            return ShownFile.of(await self._store.file(file_id, owner))
        return (await self._store.results_of(file_id, owner))[1]


def _id_in(call: Call) -> str:
    file_id: str = call.scope["path_params"]["file_id"]
    return file_id
