"""What a client has been shown of an answer that streams, and what it may be shown next.

Text goes out before anybody knows that it is the answer: a call may break off and begin anew, another model may be
asked, a worker may crash. What was shown can't be taken back, so a stream goes on only with what continues it.
"""

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from tierstream.serve.surface import DoorError
from tierstream.serve.transcript import Transcript, pieces_of_result
from topics.answer_assembly import Piece, pieces_of
from topics.events import Chunk
from topics.results import Result

_RESTARTED: Final = (
    "the answer began anew and does not continue what was shown; send the same body with the same Idempotency-Key "
    "again for the answer, which is not billed twice"
)


class ShownAnswer:
    """Decides what of the chunks and the result of one request continues what was shown.

    Chunks of a call count from its first one. Who comes in the middle has to take in those before it too, or waits for
    the next call, or for the result.
    """

    def __init__(self) -> None:
        self._shown = Transcript()
        self._call: UUID | None = None
        self._next_seq = 0
        self._complete: UUID | None = None
        """The attempt whose last chunk has come, where the current call is one of its calls."""
        self._void: set[UUID] = set()
        """Calls that another one has followed."""
        self._repeated: Transcript | None = None
        """What the current call has repeated so far of what an earlier one has shown; None: it is beyond that."""

    def add(self, chunk: Chunk) -> Iterable[Piece]:
        """Take in a chunk, and return what is shown of it.

        Raises:
            DoorError: It contradicts what was shown.
        """
        if chunk.revision or chunk.call_id in self._void:
            return ()
        if chunk.call_id != self._call:
            if chunk.seq:
                return ()
            self._begin(chunk.call_id)
        if chunk.seq < self._next_seq:
            # It was read twice: from the log, and as it came.
            return ()
        self._next_seq = chunk.seq + 1
        self._complete = chunk.attempt_id if chunk.kind == "done" else None
        pieces = pieces_of(chunk)
        if self._repeated is None:
            self._shown.extend(pieces)
            return pieces
        self._repeated.extend(pieces)
        if self._repeated.rest_of(self._shown) is not None:
            return ()
        rest = _continued(self._shown, self._repeated)
        self._shown, self._repeated = self._repeated, None
        return rest

    def lacks_beginning_of(self, chunk: Chunk) -> bool:
        """Whether a chunk belongs to a call that began before anything of it was taken in."""
        is_new = not chunk.revision and chunk.call_id != self._call and chunk.call_id not in self._void
        return is_new and chunk.seq > 0

    def is_whole(self, result: Result) -> bool:
        """Whether all chunks of the attempt that a result names have been taken in."""
        return self._complete is not None and self._complete == result.attempt_id

    def _begin(self, call: UUID) -> None:
        if self._call is not None:
            self._void.add(self._call)
        self._call, self._next_seq = call, 0
        self._repeated = Transcript() if self._shown else None

    def finish(self, result: Result) -> Iterable[Piece]:
        """Return what of an answer has not been shown yet.

        Raises:
            DoorError: It contradicts what was shown.
        """
        return _continued(self._shown, Transcript(pieces_of_result(result)))


def _continued(shown: Transcript, whole: Transcript) -> Iterable[Piece]:
    rest = shown.rest_of(whole)
    if rest is None:
        raise DoorError(503, "stream_restarted", _RESTARTED, may_retry=True)
    return rest
