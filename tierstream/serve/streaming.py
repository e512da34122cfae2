"""An answer that goes out piece by piece, as server-sent events."""

import asyncio
from collections.abc import Iterable
from typing import Final

from tierstream.serve.call import Call
from tierstream.serve.exchange import PendingAnswer
from tierstream.serve.shown_answer import ShownAnswer
from tierstream.serve.surface import EventWriter, error_of
from topics.answer_assembly import Piece
from topics.events import Chunk
from topics.results import Result

_LAST_CHUNKS_S: Final = 0.25
"""The result and the last chunks come by different ways, and each piece of a chunk is an event of its own: who asks
again for what they have missed gets the same events only if the chunks come first."""


class AnswerEvents:
    """The stream of one answer.

    Args:
        call: Whose response it is.
        writer: Writes the events.
    """

    def __init__(self, call: Call, writer: EventWriter) -> None:
        self._call = call
        self._writer = writer
        self._shown = ShownAnswer()

    async def add(self, chunk: Chunk) -> None:
        """Show what a chunk has that was not shown.

        Raises:
            DoorError: It contradicts what was shown.
        """
        if pieces := list(self._shown.add(chunk)):
            await self._begin()
            await self._call.write(self._written(pieces))

    async def follow(self, pending: PendingAnswer) -> None:
        """Show all that comes, to the end. Until there is something to show, errors can still have their HTTP status.

        Raises:
            DoorError: There is no answer, or no more of it.
        """
        heartbeat_s = self._call.door.settings.serve.heartbeat_s
        while not isinstance(news := await pending.next(heartbeat_s), Result):
            if news is None:
                await self._begin()
                await self._call.write(self._writer.keep_alive())
            else:
                await self.add(news)
        await self._last_chunks(pending)
        await self.finish(news)

    async def _last_chunks(self, pending: PendingAnswer) -> None:
        until = asyncio.get_running_loop().time() + _LAST_CHUNKS_S
        while self._shown.is_in_between and (left_s := until - asyncio.get_running_loop().time()) > 0:
            if isinstance(chunk := await pending.next(left_s), Chunk):
                await self.add(chunk)

    async def finish(self, result: Result) -> None:
        """Show what is left of an answer, and end the stream.

        Raises:
            DoorError: There is none, or it contradicts what was shown.
        """
        if error := error_of(result):
            raise error
        rest = self._shown.finish(result)
        await self._begin()
        await self._call.write(self._written(rest) + self._writer.finish(result))
        await self._call.end()

    async def _begin(self) -> None:
        """Write the beginning before anything else: what is written next may depend on it."""
        await self._call.begin(self._writer)

    def _written(self, pieces: Iterable[Piece]) -> bytes:
        return b"".join(map(self._writer.piece, pieces))
