"""Votes of a language model on where requests go: asked in micro-batches, paid, journalled, and the same for ever.

Two rules make every process come to the same decision on a request, whatever is killed, stopped or sent again. The
first start of an attempt in the journal is the only one whose call may leave. The first end of the attempt decides, and
nothing is published before it is known which one that is.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid4

from streams.admission import UnavailableError
from streams.calls.batcher import Batcher
from streams.calls.coalescing import split
from streams.calls.paid_calls import PartitionLostError, attempt_of
from streams.calls.vote_journal import Classification, VoteJournal
from streams.calls.vote_model import Outcome, VoteModel
from streams.config.settings import Settings
from streams.config.settings_sections import BatchingSettings
from streams.kafka.clock import Clock
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.publisher import DeliveryError
from streams.providers.base import ErrorKind
from streams.routing.llm.prompt import PROMPT_VERSION, question_of
from streams.routing.router import TierVote
from topics.base import from_millis
from topics.journal import ABANDONED, UNAVAILABLE, CallEnded, CallError, CallStarted, Purpose, Usage, attempt_id
from topics.partitioning import partition_for
from topics.requests import Request
from topics.tasks import CLASSIFY, Attempt, Source

_TIER: Final = 1
_UNAVAILABLE: Final = CallError(kind=UNAVAILABLE, message="the model could not be called")
_ABANDONED: Final = CallError(kind=ABANDONED, message="another process had the attempt")
_UNREADABLE: Final = CallError(kind=ErrorKind.MALFORMED, message="the answer holds no vote on the request")


@dataclass(frozen=True, slots=True)
class VoteResult:
    """What came of asking for a vote."""

    vote: TierVote | None = None
    """None: there is none, and the local classifier decides."""
    attempts: tuple[Attempt, ...] = ()
    """A line of the route, whatever came of it; none where the model was not to be asked."""

    @property
    def missing(self) -> str | None:
        """Why there is no vote though one was asked for."""
        return self.attempts[0].outcome if self.attempts and self.vote is None else None


@dataclass(slots=True, eq=False)
class _Question:
    """A request on its way to a vote."""

    request: Request
    revision: int
    text: str
    place: Classification
    is_current: Callable[[], bool]
    asked_at: datetime
    ends_at: datetime
    """When a vote is too late."""
    first_end: CallEnded | None = None


class TierVotes:
    """Asks a language model which tier will do, for the stage that routes.

    Args:
        settings: When a batch leaves, and how long a vote may take.
        journal: Of all classifications.
        model: Gives the votes.
        heartbeat: Of the stage's consumer group.
        clock: Current moment.
    """

    def __init__(
        self, *, settings: Settings, journal: VoteJournal, model: VoteModel, heartbeat: GroupHeartbeat, clock: Clock
    ) -> None:
        llm = settings.routing.llm
        self._settings = settings
        self._journal = journal
        self._model = model
        self._heartbeat = heartbeat
        self._clock = clock
        self._budget = timedelta(milliseconds=llm.budget_ms)
        # A question waits for others only while the model is busy with earlier ones.
        batching = BatchingSettings(max_wait_ms=llm.batch_wait_ms, max_size=llm.batch_size, idle_below=1)
        self._batcher: Batcher[_Question] = Batcher(batching, self._ask_together)
        self._running: dict[UUID, asyncio.Task[CallEnded]] = {}

    async def ask(
        self, request: Request, revision: int, source: Source, deadline: datetime, is_current: Callable[[], bool]
    ) -> VoteResult:
        """Return the vote on a request, or that there is none: the same in every process, however often it is asked.

        Copies of a request that come while it is being asked about wait for the same vote.

        Args:
            request: What is to be routed.
            revision: Of the request.
            source: Where this copy of it came in.
            deadline: When it expires.
            is_current: Whether this process still owns the copy.

        Raises:
            PartitionLostError: It does not.
            DeliveryError: The journal could not be written or read.
        """
        text = question_of(request)
        if text is None or not self._model.may_be_asked(request, text, from_millis(source.timestamp_ms)):
            return VoteResult()
        place = self._place(request, revision, source)
        question = _Question(request, revision, text, place, is_current, self._clock(), deadline)
        ended = await self._join(question)
        await self._still_ours(question)
        return _asked(ended)

    async def recall(self, request: Request, revision: int, source: Source) -> VoteResult:
        """Return what came of asking about a request earlier; pays nothing."""
        ended = await self._journal.recall(self._place(request, revision, source))
        return VoteResult() if ended is None else _asked(ended)

    def _place(self, request: Request, revision: int, source: Source) -> Classification:
        partition = partition_for(request.request_id, self._settings.kafka.partitions)
        attempt = attempt_id(request.request_id, revision, CLASSIFY, 0)
        return Classification(partition, attempt, source.timestamp_ms)

    async def _join(self, question: _Question) -> CallEnded:
        """Wait for the end that decides, together with the copies that wait for it already."""
        attempt = question.place.attempt
        while True:
            running = self._running.get(attempt)
            if running is None:
                running = asyncio.create_task(self._recall_or_ask(question))
                self._running[attempt] = running
                running.add_done_callback(lambda _: self._running.pop(attempt, None))
            try:
                return await asyncio.shield(running)
            except PartitionLostError:
                # The copy that led may have come in an earlier generation, in which this one did not.
                if not question.is_current():
                    raise

    async def _recall_or_ask(self, question: _Question) -> CallEnded:
        earlier = await self._journal.recall(question.place)
        if earlier is not None:
            return earlier
        await self._still_ours(question)
        question.asked_at = self._clock()
        question.ends_at = min(question.ends_at, question.asked_at + self._budget)
        async with self._batcher.join(question):
            if question.first_end is None:
                raise DeliveryError(f"an end is lost in partition {question.place.partition} of the journal")
            return question.first_end

    async def _still_ours(self, question: _Question) -> None:
        """Wait until the group has been heard from, and raise PartitionLostError if the work is no longer ours."""
        await self._heartbeat.wait_fresh()
        if not question.is_current():
            raise PartitionLostError(f"a request of {CLASSIFY}")

    async def _ask_together(self, questions: Sequence[_Question]) -> None:
        """Ask about a batch in one call, journal an end for each question, and find out which end decides."""
        left_at = self._clock()
        ends_at = min(question.ends_at for question in questions)
        starts = unwritten = self._starts(questions, left_at)
        asked, outcome = questions, Outcome(left_at, left_at, _UNAVAILABLE)
        try:
            async with self._model.entered([question.text for question in questions], ends_at) as leave:
                asked, unwritten = await self._first_to_ask(questions, starts), []
                if asked:
                    outcome = await self._model.call(
                        [question.text for question in asked],
                        call_id=starts[0].call_id,
                        ends_at=ends_at,
                        leave=leave,
                        may_leave=lambda: self._one_still_ours(asked),
                    )
        except UnavailableError:
            pass
        if not asked:
            # Another process may have them on the wire. If it is dead, they have to end here.
            places = [question.place for question in questions]
            await self._journal.wait_ended(places, max((ends_at - self._clock()).total_seconds(), 0.0))
        ends = self._ends(questions, starts, asked, outcome, left_at)
        await self._journal.write([*unwritten, *ends])
        for question in questions:
            question.first_end = await self._journal.first_end(question.place)

    async def _first_to_ask(self, questions: Sequence[_Question], starts: Sequence[CallStarted]) -> list[_Question]:
        """Journal the starts; return the questions that no process has asked before."""
        places = await self._journal.write(starts)
        return [
            question
            for question, place in zip(questions, places, strict=True)
            if self._journal.may_call(question.place, place)
        ]

    async def _one_still_ours(self, questions: Sequence[_Question]) -> None:
        """Raise PartitionLostError if a call about these questions would be for nobody."""
        await self._heartbeat.wait_fresh()
        if not any(question.is_current() for question in questions):
            raise PartitionLostError(f"a batch of {CLASSIFY}")

    def _starts(self, questions: Sequence[_Question], at: datetime) -> list[CallStarted]:
        call_id, model = uuid4(), self._model.settings
        return [
            CallStarted(
                call_id=call_id,
                attempt_id=question.place.attempt,
                request_id=question.request.request_id,
                revision=question.revision,
                stage=CLASSIFY,
                n=0,
                purpose=Purpose.CLASSIFY,
                tier=_TIER,
                provider=model.provider,
                model=model.model,
                started_at=at,
                asked_ms=question.place.asked_ms,
                deadline=question.ends_at,
            )
            for question in questions
        ]

    def _ends(
        self,
        questions: Sequence[_Question],
        starts: Sequence[CallStarted],
        asked: Sequence[_Question],
        outcome: Outcome,
        left_at: datetime,
    ) -> Iterator[CallEnded]:
        """Make the end of each question: its own part of the outcome, or that it was left to somebody else."""
        costs = dict(zip(asked, _costs(outcome, len(asked)), strict=True))
        votes = dict(zip(asked, outcome.votes, strict=False))
        # One who takes no part in a call with usage has a part of no tokens, so that all parts have one.
        nothing = (Usage(input=0, output=0, source=outcome.usage.source) if outcome.usage else None, Decimal(0))
        for question, start in zip(questions, starts, strict=True):
            vote = votes.get(question)
            usage, cost = costs.get(question, nothing)
            failed = (outcome.error or _UNREADABLE) if question in costs else _ABANDONED
            yield start.end(
                started_at=outcome.sent_at,
                ended_at=outcome.ended_at,
                content=None if vote is None else json.dumps(vote),
                finish_reason=outcome.finish_reason,
                error=failed if vote is None else None,
                usage=usage,
                rates=outcome.rates,
                cost_usd=cost,
                shares=len(questions),
                batch_size=len(questions),
                batch_wait_ms=round((left_at - question.asked_at).total_seconds() * 1000, 3),
            )


def _costs(outcome: Outcome, n: int) -> list[tuple[Usage | None, Decimal]]:
    """Split tokens and cost of the call among those that it asked about."""
    if outcome.usage is None or outcome.rates is None:
        return [(None, Decimal(0))] * n
    return list(split(outcome.usage, outcome.rates, n))


def _asked(ended: CallEnded) -> VoteResult:
    return VoteResult(_vote_of(ended), (attempt_of(ended, CLASSIFY, ended.error.kind if ended.error else "ok"),))


def _vote_of(ended: CallEnded) -> TierVote | None:
    if ended.content is None:
        return None
    version = f"{ended.provider}/{ended.model} {PROMPT_VERSION}"
    return TierVote(tuple(json.loads(ended.content)), version)
