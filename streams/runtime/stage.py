"""What a stage is: one source topic, the topics it writes, its limits, and a handler for one record."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from aiokafka import TopicPartition

from streams.calls.attempt_log import AttemptRef
from streams.calls.paid_calls import PaidCall, PaidCalls, attempt_ref
from streams.calls.tier_votes import TierVotes, VoteResult
from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from streams.kafka.lease import Lease
from streams.kafka.publisher import Output
from streams.kafka.topic_reader import RawRecord
from streams.providers.base import Prompt
from streams.runtime.engine import Engine
from topics.base import Record, from_millis
from topics.events import Hop, Status, StatusEvent
from topics.journal import CallEnded, Purpose
from topics.registry import DEAD_LETTERS, HOPS, OUTCOMES, STATUS, TopicSpec
from topics.requests import Request
from topics.tasks import Source, TierTask, awaits_result

M = TypeVar("M", bound=Record)


class RefusedError(Exception):
    """A handler's word that a request asks for what can't be given; the message says which field and why.

    The request becomes a dead letter and a rejection.
    """

    def __init__(self, message: str, *, digest: str) -> None:
        super().__init__(message)
        self.digest = digest


Outputs = Sequence[Output]
"""What a handler returns: records that leave together; the source is acknowledged when all are delivered."""

Emits = TopicSpec[Any] | Callable[[int], TopicSpec[Any]]
_EVERY_STAGE = (STATUS, HOPS, OUTCOMES, DEAD_LETTERS)


@dataclass(frozen=True, slots=True)
class Received:
    """A source record: its place, its bytes, and the generation of the group in which it came."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Broker append time, ms since the epoch."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    generation: int = 0
    """Of a consumer that is fenced by it; 0 for others."""

    @classmethod
    def of(cls, record: RawRecord, tp: TopicPartition) -> Self:
        """Take a record of a partition as a plain consumer got it."""
        at = (record.offset, record.timestamp)
        return cls(tp.topic, tp.partition, *at, record.key, record.value, tuple(record.headers))

    @property
    def source(self) -> Source:
        """Where the record stands."""
        return Source(topic=self.topic, partition=self.partition, offset=self.offset, timestamp_ms=self.timestamp)


@dataclass(frozen=True, slots=True)
class Context:
    """All that a handler may use besides its record."""

    stage: str
    tier: int
    """The tier of a stage that exists once for each tier; 0 for the others."""
    engine: Engine
    calls: PaidCalls
    votes: TierVotes | None
    """None where the settings have no language model asked."""
    received: Received
    unknown_fields: tuple[str, ...]
    started_at: datetime
    lease: Lease
    """The right to act on the record's partition."""

    def now(self) -> datetime:
        """Read the clock."""
        return self.engine.clock()

    def hop(self, outcome: str, **details: Any) -> Hop:  # noqa: ANN401 - Hop's fields
        """Describe this step for the ledger; it travels with the task. `details` are further fields of `Hop`."""
        waited = (self.started_at - from_millis(self.received.timestamp)).total_seconds() * 1000
        return Hop(
            stage=self.stage,
            started_at=self.started_at,
            ended_at=max(self.now(), self.started_at),
            queue_ms=max(round(waited, 3), 0.0),
            outcome=outcome,
            **details,
        )

    def status(self, request_id: str, revision: int, *events: StatusEvent) -> Output:
        """Tell the requester what happened."""
        return Output(STATUS, Status(request_id=request_id, revision=revision, events=events))

    async def vote(self, request: Request, revision: int, deadline: datetime) -> VoteResult:
        """Ask a language model where the request goes, or return what came of it before a restart.

        After the deadline nothing is paid; what was paid before then counts all the same.
        """
        if self.votes is None:
            return VoteResult()
        return await self.votes.ask(request, revision, self.received.source, deadline, self.lease)

    async def recall(self, task: TierTask, *, behind: int | None = None) -> CallEnded | None:
        """Return how this stage's next call for a task ended, if it was made before a restart; pays nothing.

        Args:
            task: Whose calls so far are its `attempts`.
            behind: An offset of the journal that has to be known first.
        """
        return await self.calls.recall(self._next_call(task), task.request, behind=behind)

    def has_begun(self, task: TierTask) -> bool:
        """Whether this stage's next call for a task, which was recalled, is under way or was when a process died."""
        return self.calls.is_open(self._next_call(task))

    def _next_call(self, task: TierTask) -> AttemptRef:
        return attempt_ref(task, self.stage, task.tries(self.stage), self.lease.partition)

    async def pay(
        self,
        task: TierTask,
        model: ModelSettings,
        prompt: Prompt,
        purpose: Purpose,
        *,
        stream: bool = False,
        announce: tuple[Output, ...] = (),
        target: str | None = None,
    ) -> CallEnded:
        """Make this stage's next paid call for a task, or return how it ended before a restart.

        Args:
            task: Whose calls so far are its `attempts`; those of this stage are counted.
            model: That is asked.
            prompt: What it is asked.
            purpose: What for.
            stream: Whether the text is published as it arrives.
            announce: Published with the start of the call, and only if it is made.
            target: Whose breaker and limits it has to pass; None: those of `provider/model`.

        Raises:
            UnavailableError: The model can't be called now; nothing was paid.
            BudgetRefusedError: A budget has no room for the call; nothing was paid.
        """
        n = task.tries(self.stage)
        return await self.calls.make(
            PaidCall(task, self.stage, n, purpose, model, prompt, self.lease, stream, announce, target)
        )


Handler = Callable[[M, Context], Awaitable[Outputs]]


@dataclass(frozen=True)
class Stage(Generic[M]):
    """A handler with its declaration: one edge of the topology."""

    name: str
    source: TopicSpec[M] | Callable[[int], TopicSpec[M]]
    """A function of the tier where the stage exists once for each tier."""
    emits: tuple[Emits, ...]
    in_flight: int | Callable[[Settings, int], int]
    pays: bool
    votes: bool
    ends_requests: bool
    handler: Handler[M]
    is_wanted: Callable[[Settings], bool]
    """Whether there is anything to do for it by the settings."""

    def __post_init__(self) -> None:
        """Hold the declaration against the records that come.

        Raises:
            TypeError: A crash over one of them would end no request although one waits, or the other way round.
        """
        source = self.source if isinstance(self.source, TopicSpec) else self.source(1)
        for record in source.records:
            where = f"stage {self.name}: {record.__name__}"
            if self.ends_requests and not awaits_result(record):
                raise TypeError(
                    f"{where} belongs to no request that waits for its result, so nobody would hear of a crash over "
                    "one: derive it from TaskRecord, or declare the stage with ends_requests=False"
                )
            if not self.ends_requests and awaits_result(record):
                raise TypeError(
                    f"{where} belongs to a request that waits for its result, which a crash over one has to end: "
                    "derive it from Record, or leave out ends_requests=False"
                )

    def instances(self, settings: Settings) -> list["StageInstance[M]"]:
        """Make the stage's instances: one, one for each tier, or none where the settings have nothing for it to do."""
        if not self.is_wanted(settings):
            return []
        if isinstance(self.source, TopicSpec):
            return [self._instance(self.name, 0, self.source, settings)]
        tiers = range(1, settings.top_tier + 1)
        return [self._instance(f"{self.name}:{tier}", tier, self.source(tier), settings) for tier in tiers]

    def _instance(self, name: str, tier: int, source: TopicSpec[M], settings: Settings) -> "StageInstance[M]":
        emits: set[str] = {spec.name for spec in _EVERY_STAGE}
        for spec in self.emits:
            if isinstance(spec, TopicSpec):
                emits.add(spec.name)
            else:
                emits.update(spec(t).name for t in range(1, settings.top_tier + 1))
        limit = self.in_flight if isinstance(self.in_flight, int) else self.in_flight(settings, tier)
        return StageInstance(
            name, tier, source, frozenset(emits), limit, self.pays, self.votes, self.ends_requests, self.handler
        )


@dataclass(frozen=True)
class StageInstance(Generic[M]):
    """A stage as it runs: one consumer group of its own."""

    name: str
    tier: int
    source: TopicSpec[M]
    emits: frozenset[str]
    in_flight: int
    pays: bool
    votes: bool
    ends_requests: bool
    handler: Handler[M]

    def check_declared(self, outputs: Outputs) -> None:
        """Hold the handler to its declaration, which the documentation of the topology is made of.

        Raises:
            TypeError: If it writes to a topic that it did not declare.
        """
        undeclared = {output.topic.name for output in outputs} - self.emits
        if undeclared:
            raise TypeError(f"stage {self.name} does not declare that it emits {sorted(undeclared)}")


def stage(
    *,
    source: TopicSpec[M] | Callable[[int], TopicSpec[M]],
    emits: tuple[Emits, ...],
    in_flight: int | Callable[[Settings, int], int],
    pays: bool = True,
    votes: bool = False,
    ends_requests: bool = True,
    is_wanted: Callable[[Settings], bool] = lambda settings: True,  # noqa: ARG005 - nearly all are
) -> Callable[[Handler[M]], Stage[M]]:
    """Declare a handler as a stage that bears the handler's name.

    Args:
        source: The topic it consumes, or a function of the tier for a stage that exists once for each tier.
        emits: The topics it writes, besides status, hops, outcomes and dead letters, which every stage may.
        in_flight: Most records in work at once; may depend on the settings and the tier.
        pays: Whether it makes paid calls; a process without such a stage does not follow the journal.
        votes: Whether it asks a language model for the tier, where the settings have one asked.
        ends_requests: Whether requests wait for their result behind its records, so that a crash has to end them: such
            a record is a `Request`, a `TierTask` or a `TaskRecord`. False: a crash leaves a dead letter alone.
        is_wanted: Whether a worker with these settings runs it: a consumer that has nothing to do costs something too.

    Raises:
        TypeError: The records of the source are not what `ends_requests` says.
    """

    def declare(handler: Handler[M]) -> Stage[M]:
        return Stage(handler.__name__, source, emits, in_flight, pays, votes, ends_requests, handler, is_wanted)

    return declare
