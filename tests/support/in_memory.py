"""The I/O edges of the stages, held in memory: a log to publish to and read back, and providers that answer at once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from support.fixed_classifiers import Fixed

from streams.admission import Gate
from streams.budgets.budgets import Budgets
from streams.calls.attempt_log import AttemptLog
from streams.calls.journal import Journal
from streams.calls.model_caller import ModelCaller
from streams.calls.paid_calls import PaidCalls
from streams.calls.pricing import PriceBook
from streams.calls.tier_votes import TierVotes
from streams.calls.vote_journal import VoteJournal
from streams.calls.vote_model import VoteModel
from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.control.learned_state import LearnedState
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.lease import Lease
from streams.kafka.publisher import Delivered, Output
from streams.providers.base import ChatCall, ChatReply, ProviderError
from streams.providers.batches import ProviderBatches
from streams.routing.affinity import Affinity
from streams.routing.online.versions import OnlinePolicies
from streams.routing.policy import Policy
from streams.routing.router import ASK_ALWAYS, Router
from streams.routing.versions import ClassifierVersions
from streams.runtime.conversations import Conversations
from streams.runtime.engine import Engine
from streams.runtime.result_index import ResultIndex
from streams.runtime.settled_requests import SettledRequests
from streams.runtime.stage import Context, Received
from topics.answer_assembly import AnswerAssembly, Piece
from topics.base import Record
from topics.codec import encode
from topics.journal import Usage
from topics.messages import Message
from topics.partitioning import partition_for
from topics.requests import Request, RequestContext
from topics.tasks import Decision, Source, TierTask

BASE = datetime(2026, 3, 1, 12, tzinfo=UTC)
BASE_MS = int(BASE.timestamp() * 1000)
JOURNAL = "llm.calls"
USAGE = Usage(input=1000, output=100)

CLASSES = ["public", "internal"]
SETTINGS: dict[str, Any] = {
    "providers": {
        "fast": {"protocol": "groq", "api_key_env": "FAST", "data_classes": CLASSES},
        "spare": {"protocol": "groq", "api_key_env": "SPARE", "data_classes": CLASSES},
        "trusted": {"protocol": "openai", "api_key_env": "TRUSTED", "data_classes": [*CLASSES, "restricted"]},
    },
    "tiers": [
        {"name": "one", "models": [{"provider": "fast", "model": "a"}, {"provider": "spare", "model": "b"}]},
        {"name": "two", "models": [{"provider": "trusted", "model": "c"}]},
        {"name": "three", "models": [{"provider": "trusted", "model": "d"}]},
    ],
    "prices": {f"{ref}": {"input": 1, "output": 10} for ref in ("fast/a", "spare/b", "trusted/c", "trusted/d")},
    "routing": {"frontier": "trusted/d", "classifier": "learned"},
    "validation": {
        "judge": {"provider": "trusted", "model": "c"},
        "fallback": {"provider": "spare", "model": "b"},
    },
}
CALL_COST = Decimal("0.002")
"""Of one call at these prices, with `USAGE`."""


class Clock:
    """Time that only a test moves, and who sleeps by it."""

    def __init__(self) -> None:
        self.now = BASE

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Stored:
    """A record as a partition keeps it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    partition: int = 0


@dataclass
class Log:
    """Stands for the publisher and for the reader of one cluster."""

    clock: Clock
    partitions: int = 6
    stored: dict[tuple[str, int], list[Stored]] = field(default_factory=dict)
    published: list[Record] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    """Of each stretch that was read: how many records, and the offset of its first."""
    fetches: int = 0
    followers: list[asyncio.Event] = field(default_factory=list)
    """Set when something was appended."""
    lag: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever holds it keeps followers from reading on."""

    async def publish(self, outputs: Sequence[Output], *, trace: bytes | None = None) -> list[Delivered]:
        return [self.append(output) for output in outputs]

    def append(self, output: Output) -> Delivered:
        encoded = encode(output.record)
        partition = partition_for(output.record.partition_key, self.partitions)
        place = self.stored.setdefault((output.topic.full_name("llm."), partition), [])
        at = int(self.clock().timestamp() * 1000)
        place.append(Stored(len(place), at, encoded.key, encoded.value, tuple(encoded.headers), partition))
        self.published.append(output.record)
        for follower in self.followers:
            follower.set()
        return Delivered(partition, len(place) - 1, at)

    async def end_offsets(self, tps: Sequence[Any]) -> dict[Any, int]:
        return {tp: len(self.stored.get((tp.topic, tp.partition), [])) for tp in tps}

    async def follow(
        self, tps: Sequence[Any], *, since_ms: int, lag_ms: int, hurry: asyncio.Event | None = None
    ) -> AsyncIterator[tuple[Any, Sequence[Stored], int]]:
        appended = asyncio.Event()
        appended.set()
        self.followers.append(appended)
        position = {tp: len(list(self._before(tp, since_ms))) for tp in tps}
        for tp, start in position.items():
            yield tp, (), start
        while True:
            await appended.wait()
            appended.clear()
            async with self.lag:
                pass
            for tp, start in position.items():
                if new := self.stored.get((tp.topic, tp.partition), [])[start:]:
                    position[tp] = start + len(new)
                    yield tp, new, position[tp]

    def _before(self, tp: Any, since_ms: int) -> Iterator[Stored]:
        return (record for record in self.stored.get((tp.topic, tp.partition), []) if record.timestamp < since_ms)

    async def last_record(self, tp: Any) -> Stored | None:
        return next(reversed(self.stored.get((tp.topic, tp.partition), [])), None)

    async def next_record(self, tp: Any, offset: int) -> Stored | None:
        return next(
            (record for record in self.stored.get((tp.topic, tp.partition), []) if record.offset >= offset), None
        )

    async def record_at(self, tp: Any, offset: int) -> Stored | None:
        self.fetches += 1
        held = self.stored.get((tp.topic, tp.partition), [])
        return next((record for record in held if record.offset == offset), None)

    async def read(
        self,
        tp: Any,
        *,
        since_ms: int | None = None,
        since_offset: int | None = None,
        until_offset: int | None = None,
    ) -> AsyncIterator[Stored]:
        found = [r for r in self.stored.get((tp.topic, tp.partition), []) if r.timestamp >= (since_ms or 0)]
        found = [r for r in found if since_offset is None or r.offset >= since_offset]
        found = [r for r in found if until_offset is None or r.offset < until_offset]
        self.reads.append((len(found), found[0].offset if found else -1))
        for record in found:
            await asyncio.sleep(0)
            yield record


Step = str | tuple[Piece, ...] | ChatReply | Exception


class FakeProvider:
    """Answers from a script: texts, pieces, replies and errors in turn; the last one again when it is used up."""

    def __init__(self, *script: Step) -> None:
        self.name = "fake"
        self.batches: ProviderBatches | None = None
        self.script = list(script) or ["an answer"]
        self.calls: list[ChatCall] = []
        self.called = asyncio.Event()
        self.gate: asyncio.Event | None = None
        self.on_call: Callable[[], Awaitable[None]] | None = None
        self.cut_after_text = False
        """Whether a streamed text is followed by the next step of the script, which is then an error."""

    async def prepare(self) -> None:
        pass

    async def complete(self, call: ChatCall) -> ChatReply:
        await call.may_leave()
        self.calls.append(call)
        self.called.set()
        if self.on_call is not None:
            await self.on_call()
        if self.gate is not None:
            await self.gate.wait()
        step = self._step()
        if isinstance(step, str | tuple) and call.on_piece is not None:
            for piece in (step,) if isinstance(step, str) else step:
                await call.on_piece(piece)
            if self.cut_after_text:
                step = self._step()
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, ChatReply) else reply_of((step,) if isinstance(step, str) else step)

    def _step(self) -> Step:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def close(self) -> None:
        pass


def reply_of(pieces: Sequence[Piece]) -> ChatReply:
    """Return the answer that pieces add up to."""
    answer = AnswerAssembly()
    for piece in pieces:
        answer.add(piece)
    finish = "tool_calls" if answer.tool_calls else "stop"
    return ChatReply(answer.text, finish, USAGE, tool_calls=answer.tool_calls, parts=answer.parts)


@dataclass
class Bench:
    """One process: its engine, and what it is made of."""

    settings: Settings
    clock: Clock
    log: Log
    providers: Mapping[str, FakeProvider]
    settled: SettledRequests
    engine: Engine
    heartbeat: GroupHeartbeat
    following: set[asyncio.Task[None]] = field(default_factory=set)

    def attempts(self, *stages: str, **delivery: Any) -> AttemptLog:
        """The journal's memory of another process."""
        changed = self.settings.delivery.model_copy(update=delivery)
        settings = self.settings.model_copy(update={"delivery": changed})
        made = AttemptLog(settings, stages or ("infer:1",), self.clock, self.log)  # type: ignore[arg-type]
        self.feed(made)
        return made

    def feed(self, *memories: AttemptLog | SettledRequests | Budgets | Conversations) -> None:
        """Have memories follow the log until the event loop ends."""
        self.following.update(asyncio.create_task(memory.run(asyncio.Event())) for memory in memories)

    def journal(self, attempts: AttemptLog | None = None) -> Journal:
        return Journal(self.log, attempts or self.engine.attempts, self.log.partitions)  # type: ignore[arg-type]

    def calls(self, stage: str, attempts: AttemptLog | None = None) -> PaidCalls:
        return PaidCalls(
            journal=self.journal(attempts),
            caller=self.engine.caller,
            publisher=self.log,  # type: ignore[arg-type]
            batching=self.settings.batching(stage),
            patience_s=self.settings.attempts.patience_s,
            clock=self.clock,
            budgets=self.engine.budgets,
        )

    def vote_journal(self, attempts: AttemptLog | None = None) -> VoteJournal:
        return VoteJournal(self.log, attempts or self.engine.attempts)  # type: ignore[arg-type]

    def votes(self, journal: VoteJournal) -> TierVotes:
        engine = self.engine
        model = VoteModel(self.settings, engine.caller, engine.gate, self.clock)
        return TierVotes(settings=self.settings, journal=journal, model=model, clock=self.clock, budgets=engine.budgets)

    def lease(self, request_id: str = "r1", holds: Callable[[], bool] = lambda: True) -> Lease:
        return Lease(self.heartbeat, partition_for(request_id, self.log.partitions), "a stage", holds)

    def context(self, stage: str, request_id: str = "r1", **fields: Any) -> Context:
        tier = int(stage.partition(":")[2] or 0)
        received = Received(
            "llm.source", partition_for(request_id, self.log.partitions), 7, BASE_MS, b"k", b"v", (), generation=1
        )
        defaults = {
            "unknown_fields": (),
            "lease": self.lease(request_id, fields.pop("holds", lambda: True)),
            "calls": self.calls(stage),
            "votes": None,
            "received": received,
        }
        return Context(stage=stage, tier=tier, engine=self.engine, started_at=self.clock(), **defaults | fields)

    def published(self, *kinds: type[Record]) -> Iterator[Record]:
        return (record for record in self.log.published if isinstance(record, kinds))


def new_bench(settings: Settings, **scripts: FakeProvider) -> Bench:
    """Make a process whose memories follow the log; within a running event loop."""
    clock = Clock()
    log = Log(clock)
    providers = {name: scripts.get(name, FakeProvider()) for name in settings.providers}
    settled = SettledRequests(settings, clock, log)  # type: ignore[arg-type]
    stages = ("classify", "infer:1", "infer:2", "infer:3", "validate", "shadow")
    attempts = AttemptLog(settings, stages, clock, log)  # type: ignore[arg-type]
    models = EligibleModels(settings)
    conversations = Conversations(settings, clock, log)  # type: ignore[arg-type]
    prices = PriceBook(settings.prices, settings.providers)
    router = Router(
        policy=Policy(settings.routing.rules, settings.top_tier, settings.routing.limits),
        classifiers=ClassifierVersions(Fixed(0.1)),
        tiers=settings.top_tier,
        boundary=settings.routing.boundary,
        models=models,
        ask_band=ASK_ALWAYS if settings.routing.asks_llm else None,
        affinity=Affinity(settings, models, prices.rates),
    )
    gate = Gate(settings, clock=clock, on_change=lambda change: None)
    engine = Engine(
        settings,
        clock,
        log,  # type: ignore[arg-type]
        ModelCaller(providers, prices, gate, clock),
        gate,
        router,
        models,
        settled,
        attempts,
        LearnedState(),
        OnlinePolicies(),
        results=ResultIndex(settings, settled, clock, log, log),  # type: ignore[arg-type]
        conversations=conversations,
        budgets=Budgets(settings, log, clock, "w1", log) if settings.budgets else None,  # type: ignore[arg-type]
        sleep=clock.sleep,
    )
    # Its time stands still, or on a slow machine the one beat would be too old before a long test has ended.
    heartbeat = GroupHeartbeat(10, monotonic=lambda: 0.0)
    heartbeat.beat()
    bench = Bench(settings, clock, log, providers, settled, engine, heartbeat)
    bench.feed(settled, attempts, conversations, *([engine.budgets] if engine.budgets else []))
    return bench


def new_request(text: str = "What is 2 + 2?", request_id: str = "r1", **fields: Any) -> Request:
    context = RequestContext(**fields.pop("context", {}))
    return Request(request_id=request_id, messages=(Message(role="user", content=text),), context=context, **fields)


def new_task(request: Request | None = None, *, tier: int = 1, **fields: Any) -> TierTask:
    request = request or new_request()
    decision = Decision(
        tier=tier,
        rule=None,
        scores=(1.0, 0.0, 0.0),
        boundary=(0.45, 0.55),
        classifier="requests/1:745284b7",
        query_type="faq",
        validate_answer=fields.pop("validate_answer", False),
        floor=1,
        ceiling=fields.pop("ceiling", 3),
    )
    defaults = {
        "digest": request.digest(),
        "source": Source(topic="llm.requests", partition=0, offset=1, timestamp_ms=BASE_MS),
        "deadline": BASE + timedelta(seconds=60),
        "decision": decision,
        "tier": tier,
        "why": "classifier requests/1:745284b7",
    }
    return TierTask(request=request, **defaults | fields)


def provider_error(kind: Any, **fields: Any) -> ProviderError:
    return ProviderError(kind, f"it is {kind}", **fields)


def home_of(request_id: str) -> int:
    """The partition of everything that is written about a request."""
    return partition_for(request_id, 6)
