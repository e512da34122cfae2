"""What becomes of a record that no handler could serve: a dead letter, and an ending for the request behind it."""

import traceback
from datetime import datetime

from streams.kafka.publisher import Output, RecordTooLargeError
from streams.runtime.outcomes import crashed, unserved, without_answer
from streams.runtime.stage import Received, RefusedError
from topics.base import Record
from topics.codec import DecodeError
from topics.dead_letters import KEPT_BYTES, dead_letter, revision_of
from topics.events import DeadLetter
from topics.registry import DEAD_LETTERS, OUTCOMES
from topics.results import Outcome, ResultError, ResultStatus

_TRACEBACK_CHARACTERS = 20_000


class FailedRecord:
    """One record of a stage that failed, and when.

    Args:
        stage: The stage's name.
        received: The record.
        at: When it failed.
        rejects: Whether a record that can't be read is its sender's fault, and not ours.
        ends_requests: Whether a request behind it waits for its result, and has to be ended.
        kept_bytes: Most bytes that the letter keeps, each of key, headers and value.
    """

    def __init__(
        self,
        stage: str,
        received: Received,
        at: datetime,
        *,
        rejects: bool = False,
        ends_requests: bool = True,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        self._stage = stage
        self._received = received
        self._at = at
        self._rejects = rejects
        self._ends_requests = ends_requests
        self._kept_bytes = kept_bytes

    def undecodable(self, error: DecodeError) -> list[Output]:
        """End a record that could not be read; the request too, if its id could."""
        return self._refuse(error, digest=None)

    def refused(self, record: Record, error: RefusedError) -> list[Output]:
        """End a request that asks for what can't be given."""
        return self._refuse(DecodeError("invalid", str(error), record.partition_key), digest=error.digest)

    def raised(self, record: Record, error: Exception) -> list[Output]:
        """End a record whose handler raised something unforeseen; the traceback goes into the letter."""
        if isinstance(error, RecordTooLargeError):
            return self._outgrown(record, error)
        kind = type(error).__name__
        trace = "".join(traceback.format_exception(error))[-_TRACEBACK_CHARACTERS:]
        problem = DecodeError("handler_error", f"the handler raised {kind}", record.partition_key)
        ending = self._crashed(record, f"stage {self._stage} failed: {kind}")
        return [Output(DEAD_LETTERS, self._letter(problem, trace))] + ([] if ending is None else [ending])

    def _outgrown(self, record: Record, error: RecordTooLargeError) -> list[Output]:
        """End a record of which something comes that no topic takes."""
        message = str(error)
        letter = Output(DEAD_LETTERS, self._letter(DecodeError("too_large", message, record.partition_key)))
        # What did not fit knows of the calls that were paid since the record was written.
        ending = error.record if isinstance(error.record, Outcome) else self._outcome(error.record, message)
        ending = ending or self._outcome(record, message)
        if ending is None:
            return [letter]
        status = ResultStatus.REJECTED if self._rejects else ResultStatus.FAILED
        bare = without_answer(ending, status, ResultError(code="too_large", message=message))
        return [letter, Output(OUTCOMES, bare)]

    def _outcome(self, record: Record, message: str) -> Outcome | None:
        ending = self._crashed(record, message)
        return ending.record if ending is not None and isinstance(ending.record, Outcome) else None

    def _crashed(self, record: Record, message: str) -> Output | None:
        if not self._ends_requests:
            return None
        revision = revision_of(self._received.headers)
        return crashed(self._stage, record, self._received.source, revision, message)

    def _refuse(self, error: DecodeError, digest: str | None) -> list[Output]:
        letter = self._letter(error)
        if error.request_id is None or not self._ends_requests:
            return [Output(DEAD_LETTERS, letter)]
        ending = unserved(
            self._stage,
            error.request_id,
            self._received.source,
            revision=revision_of(self._received.headers),
            # The bytes stand for the body where no body could be read.
            digest=digest or letter.sha256,
            status=ResultStatus.REJECTED if self._rejects else ResultStatus.FAILED,
            code=error.reason,
            message=error.message,
        )
        return [Output(DEAD_LETTERS, letter), ending]

    def _letter(self, error: DecodeError, trace: str | None = None) -> DeadLetter:
        received = self._received
        return dead_letter(
            self._stage,
            error,
            received,
            topic=received.topic,
            partition=received.partition,
            at=self._at,
            traceback=trace,
            kept_bytes=self._kept_bytes,
        )
