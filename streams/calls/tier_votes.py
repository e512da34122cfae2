"""Votes of a language model on where requests go: asked in micro-batches, paid, journalled, the same in every process.

Two rules make every process come to the same decision on a request, whatever is killed, stopped or sent again. The
first start of an attempt in the journal is the only one whose call may leave. The first end of the attempt decides, and
nothing is published before it is known which one that is.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from streams.admission import UnavailableError
from streams.budgets.budgets import Budgets
from streams.budgets.plan import payer_of
from streams.calls.attempt_log import AttemptRef
from streams.calls.batcher import Batcher
from streams.calls.model_caller import CallResult, Part, call_error
from streams.calls.paid_calls import attempt_of
from streams.calls.single_flight import SingleFlight
from streams.calls.vote_journal import VoteJournal
from streams.calls.vote_model import VoteModel, VoteReply
from streams.config.settings import Settings
from streams.config.settings_sections import BatchingSettings
from streams.kafka.clock import Clock
from streams.kafka.lease import Lease, confirm_any
from streams.kafka.publisher import DeliveryError
from streams.providers.base import ErrorKind
from streams.routing.llm.prompt import PROMPT_VERSION, question_of
from streams.routing.router import TierVote
from topics.base import from_millis
from topics.journal import ABANDONED, UNAVAILABLE, CallEnded, CallError, CallStarted, Purpose, Usage, attempt_id
from topics.partitioning import partition_for
from topics.requests import Request
from topics.tasks import CLASSIFY, Attempt, Source

if TYPE_CHECKING:
    from streams.telemetry.tracing import Asker

_TIER: Final = 1
_UNAVAILABLE: Final = CallError(kind=UNAVAILABLE, message="the model could not be called")
_ABANDONED: Final = CallError(kind=ABANDONED, message="another process had the attempt")
_NOTHING: Final[Part] = (None, Decimal(0))
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
    place: AttemptRef
    lease: Lease
    asked_at: datetime
    ends_at: datetime
    """When a vote is too late."""
    askers: "tuple[Asker, ...]"
    """Its span; none where there is none."""
    first_end: CallEnded | None = None


class TierVotes:
    """Asks a language model which tier will do, for the stage that routes.

    Args:
        settings: When a batch leaves, and how long a vote may take.
        journal: Of all classifications.
        model: Gives the votes.
        clock: Current moment.
        budgets: Are told what votes have cost; None: there are none.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        journal: VoteJournal,
        model: VoteModel,
        clock: Clock,
        budgets: Budgets | None = None,
    ) -> None:
        llm = settings.routing.llm
        self._settings = settings
        self._journal = journal
        self._model = model
        self._clock = clock
        self._budgets = budgets
        self._budget = timedelta(milliseconds=llm.budget_ms)
        # A question waits for others only while the model is busy with earlier ones.
        batching = BatchingSettings(max_wait_ms=llm.batch_wait_ms, max_size=llm.batch_size, idle_below=1)
        self._batcher: Batcher[_Question] = Batcher(batching, self._ask_together)
        self._attempts: SingleFlight[CallEnded] = SingleFlight()

    async def ask(
        self, request: Request, revision: int, source: Source, deadline: datetime, lease: Lease
    ) -> VoteResult:
        """Return the vote on a request, or that there is none: the same in every process, however often it is asked.

        Copies of a request that come while it is being asked about wait for the same vote. After the deadline nothing
        is paid: only what was asked before counts.

        Args:
            request: What is to be routed.
            revision: Of the request.
            source: Where this copy of it came in.
            deadline: When it expires.
            lease: On the partition of this copy.

        Raises:
            PartitionLostError: The lease holds no more.
            DeliveryError: The journal could not be written or read.
        """
        place = self._place(request, revision, source)
        now = self._clock()
        if now >= deadline:
            earlier = await self._recall(place, request)
            return VoteResult() if earlier is None else _result_of(earlier)
        text = question_of(request)
        if text is None or not self._model.may_be_asked(request, text, from_millis(source.timestamp_ms)):
            return VoteResult()
        question = _Question(request, revision, text, place, lease, now, deadline, self._model.asker())
        ended = await self._attempts.run(place.attempt, lease, lambda: self._recall_or_ask(question))
        await lease.confirm()
        return _result_of(ended)

    def _place(self, request: Request, revision: int, source: Source) -> AttemptRef:
        partition = partition_for(request.request_id, self._settings.kafka.partitions)
        attempt = attempt_id(request.request_id, revision, CLASSIFY, 0)
        return AttemptRef(partition, attempt, source.timestamp_ms)

    async def _recall(self, place: AttemptRef, request: Request) -> CallEnded | None:
        """Return how a vote ended earlier, charged to the budgets: who journalled it may have died before that."""
        earlier = await self._journal.recall(place)
        if earlier is not None and self._budgets is not None:
            await self._budgets.recall(earlier, request)
        return earlier

    async def _recall_or_ask(self, question: _Question) -> CallEnded:
        earlier = await self._recall(question.place, question.request)
        if earlier is not None:
            return earlier
        await question.lease.confirm()
        question.asked_at = self._clock()
        question.ends_at = min(question.ends_at, question.asked_at + self._budget)
        async with self._batcher.join(question):
            if question.first_end is None:
                raise DeliveryError(f"an end is lost in partition {question.place.partition} of the journal")
            return question.first_end

    async def _ask_together(self, questions: Sequence[_Question]) -> None:
        """Ask about a batch in one call, journal an end for each question, and find out which end decides."""
        left_at = self._clock()
        ends_at = min(question.ends_at for question in questions)
        starts = unwritten = self._starts(questions, left_at)
        asked, reply = questions, None
        try:
            async with self._model.entered([question.text for question in questions], ends_at) as leave:
                asked, unwritten = await self._first_to_ask(questions, starts), []
                if asked:
                    reply = await self._model.call(
                        [question.text for question in asked],
                        call_id=starts[0].call_id,
                        ends_at=ends_at,
                        leave=leave,
                        confirm=partial(confirm_any, [question.lease for question in asked]),
                        askers=[asker for question in asked for asker in question.askers],
                    )
        except UnavailableError:
            pass
        if not asked:
            # Another process may have them on the wire. If it is dead, they have to end here.
            places = [question.place for question in questions]
            await self._journal.wait_ended(places, max((ends_at - self._clock()).total_seconds(), 0.0))
        ends = list(self._ends(questions, starts, asked, reply, left_at))
        await self._journal.write([*unwritten, *ends])
        if self._budgets is not None:
            payers = [payer_of(question.request) for question in questions]
            await self._budgets.spend(list(zip(ends, payers, strict=True)))
        self._model.note_ended(ends, reply)
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
        reply: VoteReply | None,
        left_at: datetime,
    ) -> Iterator[CallEnded]:
        """Make the end of each question: its own part of the reply, or that it was left to somebody else."""
        result = None if reply is None else reply.result
        votes = dict(zip(asked, () if reply is None else reply.votes, strict=False))
        parts = dict(zip(asked, [_NOTHING] * len(asked) if reply is None else reply.parts, strict=True))
        # One who takes no part in a call with usage has a part of no tokens, so that all parts have one.
        usage = None if result is None or result.usage is None else result.usage
        no_part = (None if usage is None else Usage(input=0, output=0, source=usage.source), Decimal(0))
        for question, start in zip(questions, starts, strict=True):
            vote = votes.get(question)
            tokens, cost = parts.get(question, no_part)
            failed = _failure(result) if question in parts else _ABANDONED
            yield start.end(
                started_at=left_at if result is None else result.sent_at,
                ended_at=left_at if result is None else result.ended_at,
                content=None if vote is None else json.dumps(vote),
                finish_reason=None if result is None or result.reply is None else result.reply.finish_reason,
                error=failed if vote is None else None,
                usage=tokens,
                rates=None if reply is None else reply.rates,
                cost_usd=cost,
                shares=len(questions),
                batch_size=len(questions),
                batch_wait_ms=round((left_at - question.asked_at).total_seconds() * 1000, 3),
            )


def _failure(result: CallResult | None) -> CallError:
    """Say why a question that was asked has no vote."""
    if result is None:
        return _UNAVAILABLE
    return _UNREADABLE if result.error is None else call_error(result.error)


def _result_of(ended: CallEnded) -> VoteResult:
    return VoteResult(vote_of(ended), (attempt_of(ended, CLASSIFY, ended.error.kind if ended.error else "ok"),))


def vote_of(ended: CallEnded) -> TierVote | None:
    """Return the vote that a call brought; None where it brought none."""
    if ended.content is None:
        return None
    version = f"{ended.provider}/{ended.model} {PROMPT_VERSION}"
    return TierVote(tuple(json.loads(ended.content)), version)
