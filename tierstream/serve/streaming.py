"""An answer that goes out piece by piece, as server-sent events."""

from collections.abc import Iterable

from tierstream.serve.call import Call
from tierstream.serve.exchange import PendingAnswer
from tierstream.serve.shown_answer import ShownAnswer
from tierstream.serve.surface import EventWriter, error_of
from topics.answer_assembly import Piece
from topics.events import Chunk
from topics.results import Result


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
        self._has_read_log = False

    async def read_log(self, pending: PendingAnswer) -> None:
        """Show what there is so far, from the log: who asked before may have been shown it.

        Raises:
            DoorError: It contradicts itself, or Kafka does not answer.
        """
        self._has_read_log = True
        for chunk in await pending.chunks():
            await self._show(chunk)

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
                await self._add(news, pending)
        if not self._shown.is_whole(news):
            # Each piece is an event of its own: who asks again for what they have missed gets the same events only if
            # all chunks come before what the result has beyond them.
            for chunk in await pending.last_chunks():
                await self._add(chunk, pending)
        await self._finish(news)

    async def _add(self, chunk: Chunk, pending: PendingAnswer) -> None:
        if self._shown.lacks_beginning_of(chunk) and not self._has_read_log:
            # A repeat has come into the middle of a call.
            await self.read_log(pending)
        await self._show(chunk)

    async def _show(self, chunk: Chunk) -> None:
        """Show what a chunk has that was not shown."""
        if pieces := list(self._shown.add(chunk)):
            await self._begin()
            await self._call.write(self._written(pieces))

    async def _finish(self, result: Result) -> None:
        """Show what is left of an answer, and end the stream."""
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
