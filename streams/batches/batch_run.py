"""One batch being served: its lines go out as requests, a few at a time, and their results are collected.

Nothing is lost with a process, and nothing done twice. Where a line's request goes out again, it has the id that it
had: a copy of what is settled is dropped by the stages, and one of what is under way joins it. Before lines are sent it
is written down how far they may reach, so that the next owner knows which lines may be under way; and results are
written down together with how far the results have been read, so that it need not read all of them again.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from streams.batches.batch_log import BatchState
from streams.batches.contents import ContentGoneError, Contents
from streams.batches.result_watch import ResultWatch
from streams.batches.slots import Slots
from streams.batches.tally import Tally
from streams.config.settings_batches import BatchSettings
from streams.kafka.clock import Clock
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import RawRecord
from streams.runtime.unless import unless
from topics.batches import (
    Batch,
    BatchAnswer,
    BatchAnswers,
    BatchEnded,
    BatchLines,
    BatchProgress,
    BatchStatus,
    Stretch,
)
from topics.codec import DecodeError, decode
from topics.feedback import Cancellation
from topics.registry import BATCHES, FEEDBACK, FILES, REQUESTS, RESULTS
from topics.requests import Request
from topics.results import ResultStatus

_AT_ONCE = 64
"""Lines that are sent together."""
_TOLD = 5_000
"""Answers in one record, at the most: some 300 KB."""
_GRACE = timedelta(hours=1)
"""Beyond its day a batch waits so long for what was called off, in case that a result never comes."""

Numbered = tuple[int, Request]


class BatchRun:
    """Serves a batch from wherever it stands.

    Args:
        state: What is known of the batch, kept up to date.
        settings: How often it is told how far the batch is.
        publisher: Of the process.
        contents: Has the lines.
        watch: Follows the results.
        slots: How much may be under way, of all batches of the process.
        clock: Current moment.
    """

    def __init__(
        self,
        state: BatchState,
        *,
        settings: BatchSettings,
        publisher: Publisher,
        contents: Contents,
        watch: ResultWatch,
        slots: Slots,
        clock: Clock,
    ) -> None:
        self._state = state
        self._batch: Batch = state.batch
        self._settings = settings
        self._publisher = publisher
        self._contents = contents
        self._watch = watch
        self._slots = slots
        self._clock = clock
        self._sent_before = self._sent = state.sent
        self._answered = Tally(self._batch.total)
        self._unwritten: list[BatchAnswer] = []
        self._under_way: set[int] = set()
        self._stopping = asyncio.Event()
        self._overdue = asyncio.Event()
        self._answer_came = asyncio.Event()
        self._writing = asyncio.Lock()
        self._is_recalled = False
        self._written_at = clock()

    async def run(self) -> None:
        """Serve the batch until it has ended.

        Raises:
            DeliveryError: The broker did not take a record.
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        with self._watch.handing(self._batch.request_prefix, self._take):
            try:
                await self._serve()
            except ContentGoneError:
                # Nobody has served it for as long as its lines were kept.
                self._stopping.set()
            finally:
                self._slots.give(len(self._under_way))
                self._under_way.clear()
            await self._end()

    async def look(self) -> None:
        """See whether no more lines are wanted, and write down how far the batch is where that is due."""
        self._see_whether_to_stop()
        if self._clock() >= self._batch.expires_at + _GRACE:
            self._overdue.set()
        due = self._written_at + timedelta(seconds=self._settings.progress_s)
        if self._is_recalled and self._unwritten and self._clock() >= due:
            await self._write_progress()

    def _see_whether_to_stop(self) -> None:
        if is_stopped(self._state, self._clock()):
            self._stopping.set()

    async def _serve(self) -> None:
        await self._recall()
        self._see_whether_to_stop()
        await self._send()
        await unless(self._stopping.wait(), self._until_answered())
        if not self._is_complete:
            await self._call_off()
            await unless(self._overdue.wait(), self._until_answered())

    async def _recall(self) -> None:
        """Learn what has been answered by now."""
        state = self._state
        for offset in tuple(state.answers_at):
            written = await self._contents.read(BatchAnswers, self._batch.batch_id, offset)
            for answer in written.answers:
                self._answered.add(answer)
        await self._watch.recall(state.created_ms, state.results_read)
        self._is_recalled = True

    async def _send(self) -> None:
        """Send all lines that have no result, unless no more are wanted."""
        for stretch in self._batch.stretches:
            left = await self._requests(stretch)
            while left:
                room = await unless(self._stopping.wait(), self._slots.take(min(len(left), _AT_ONCE))) or 0
                self._see_whether_to_stop()
                if self._stopping.is_set():
                    self._slots.give(room)
                    return
                # What has its result by now was sent by whoever owned the batch before.
                wanted = [line for line in left[:room] if line[0] not in self._answered]
                self._slots.give(room - len(wanted))
                left = left[room:]
                if wanted:
                    await self._send_together(wanted)

    async def _send_together(self, lines: Sequence[Numbered]) -> None:
        self._under_way.update(number for number, _ in lines)
        last = lines[-1][0]
        if last >= self._sent:
            await self._write_progress(sent=min(last + 1 + self._slots.size, self._batch.total))
        await self._publisher.publish([Output(REQUESTS, request) for _, request in lines])

    async def _requests(self, stretch: Stretch) -> list[Numbered]:
        """Return the lines of a stretch that are requests without a result."""
        read = await self._contents.read(BatchLines, self._batch.batch_id, stretch.offset)
        return [
            (number, line.request)
            for number, line in enumerate(read.lines, read.first)
            if line.request is not None and number not in self._answered
        ]

    async def _until_answered(self) -> None:
        """Return when every line that was sent has its result: within their deadlines all have."""
        while self._under_way:
            self._answer_came.clear()
            await self._answer_came.wait()

    async def _call_off(self) -> None:
        """Have no further call be made for what is under way.

        Whether lines that another process may have sent are under way nobody knows. They are sent once more behind
        their cancellation, and so have a result either way.
        """
        unsure: list[Numbered] = []
        for stretch in self._batch.stretches:
            if stretch.first < self._sent_before:
                unsure += [
                    line
                    for line in await self._requests(stretch)
                    if line[0] < self._sent_before and line[0] not in self._under_way
                ]
        numbers = [*self._under_way, *(number for number, _ in unsure)]
        self._slots.overdraw(len(unsure))
        self._under_way.update(number for number, _ in unsure)
        cancellations = [Cancellation(request_id=self._batch.request_id(number)) for number in numbers]
        await self._publisher.publish([Output(FEEDBACK, cancellation) for cancellation in cancellations])
        await self._publisher.publish([Output(REQUESTS, request) for _, request in unsure])

    def _take(self, line: int, raw: RawRecord) -> None:
        """Note the result of a line; it may come several times."""
        if line >= self._batch.total or line in self._answered:
            return
        try:
            result = decode(RESULTS, raw.value, raw.headers).record
        except DecodeError:
            return
        if result.revision:
            return
        has_answer = result.status in {ResultStatus.OK, ResultStatus.DEGRADED}
        answer = BatchAnswer(line=line, offset=raw.offset, size=len(raw.value), ok=has_answer)
        self._answered.add(answer)
        self._unwritten.append(answer)
        if line in self._under_way:
            self._under_way.discard(line)
            self._slots.give()
            self._answer_came.set()

    @property
    def _is_complete(self) -> bool:
        return self._answered.count == self._batch.total - self._batch.refused

    async def _write_progress(self, sent: int = 0) -> None:
        async with self._writing:
            # Taken together, before anything is awaited: all results before these places are in answers.
            unwritten, self._unwritten = self._unwritten, []
            self._sent = max(self._sent, sent)
            progress = BatchProgress(
                batch_id=self._batch.batch_id,
                sent=self._sent,
                completed=self._answered.completed,
                failed=self._batch.refused + self._answered.failed,
                results_read=self._watch.positions(),
            )
            self._written_at = self._clock()
            places = tuple([await self._write(unwritten[at : at + _TOLD]) for at in range(0, len(unwritten), _TOLD)])
            await self._publisher.publish([Output(BATCHES, progress.model_copy(update={"answers_at": places}))])

    async def _write(self, answers: Sequence[BatchAnswer]) -> int:
        """Write down where results are; returns at which offset."""
        record = BatchAnswers(batch_id=self._batch.batch_id, answers=tuple(answers))
        [delivered] = await self._publisher.publish([Output(FILES, record)])
        return delivered.offset

    async def _end(self) -> None:
        if self._is_recalled:
            await self._write_progress()
        is_late = BatchStatus.EXPIRED if self._state.cancelled_at is None else BatchStatus.CANCELLED
        answered = self._answered
        completed = max(answered.completed, self._state.completed)
        ended = BatchEnded(
            batch_id=self._batch.batch_id,
            status=BatchStatus.COMPLETED if self._is_complete else is_late,
            completed=completed,
            failed=self._batch.total - completed,
            completed_bytes=answered.completed_bytes,
            failed_bytes=answered.failed_bytes,
            at=self._clock(),
        )
        await self._publisher.publish([Output(BATCHES, ended)])
        # It is known here before it is read, or the batch would be served again.
        self._state.note(ended)


def is_stopped(state: BatchState, now: datetime) -> bool:
    """Whether no further line of a batch is wanted: it is cancelled, its day is over, or somebody else has ended it."""
    return state.ended is not None or state.cancelled_at is not None or now >= state.batch.expires_at
