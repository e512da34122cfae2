"""What the ledger knows of the requests of a window: decisions, routes, paid calls; some kilobytes a request."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from analytics.bound_times import microsecond_of
from analytics.clickhouse import AsyncClient, open_client
from analytics.named_query import named_query_blocks
from streams.config.settings import Settings
from streams.kafka.admin import cluster_id
from topics.registry import REQUESTS

Progress = Callable[[float], None]

_UNLIMITED: Final = 2**62
_QUERIES: Final = 4
_TIMEOUT_S: Final = 600.0
_VERDICTS: Final = {"judge_pass": True, "judge_fail": False}
EXPIRED: Final = "expired"
"""Outcome of a decision that came too late."""


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """Where a request was sent; see `topics.tasks.Decision`."""

    tier: int
    rule: str
    classifier: str
    scores: tuple[float, ...]
    detail: str
    was_late: bool


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """A paid call; `ref` is `provider/model`, `in_batch` whether a batch of the provider answered it."""

    attempt: UUID
    purpose: str
    tier: int
    ref: str
    error: str
    input: int
    output: int
    cached: int
    cache_written: int
    reasoning: int
    cost_usd: Decimal
    provider_ms: float
    in_batch: bool

    @property
    def text(self) -> int:
        """Tokens of the answer that one can read."""
        return self.output - self.reasoning


@dataclass(frozen=True, slots=True)
class RouteLine:
    """An attempt, as the result names it."""

    attempt: UUID
    stage: str
    tier: int
    ref: str
    why: str
    outcome: str


@dataclass(slots=True)
class Visit:
    """What became of a request on a tier.

    Attributes:
        tier: Its number.
        answer: The call that gave the answer; None: nobody answered.
        failed_check: Whether a free check found something wrong with the answer.
        verdict: What a judge said: True for good; None: none was asked, or none said anything.
        spent: All calls on it, judges among them.
    """

    tier: int
    answer: RecordedCall | None = None
    failed_check: bool = False
    verdict: bool | None = None
    spent: list[RecordedCall] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the answer was found bad."""
        return self.failed_check or self.verdict is False


@dataclass(slots=True)
class RecordedRequest:
    """A request that has its result.

    Attributes:
        decision: None: the ledger has none.
        route: The attempts of its result.
        calls: All paid calls for it, those that its result does not name among them.
        said: By tier, what users said of the answer: 1 good, 0 bad.
    """

    request_id: str
    partition: int
    offset: int
    asked_ms: int
    settled_ms: int
    status: str
    latency_ms: float
    own_ms: float
    feature: str
    query_type: str
    route: tuple[RouteLine, ...]
    decision: RecordedDecision | None = None
    calls: list[RecordedCall] = field(default_factory=list)
    said: dict[int, float] = field(default_factory=dict)

    @property
    def cost_usd(self) -> Decimal:
        """What all its calls cost."""
        return sum((call.cost_usd for call in self.calls), start=Decimal(0))

    @property
    def ended_well(self) -> bool:
        """Whether it has an answer that nobody found anything wrong with."""
        return self.status == "ok"

    def visits(self) -> list[Visit]:
        """Return what became of it on each tier, in order."""
        calls = {call.attempt: call for call in self.calls}
        found: list[Visit] = []
        for line in self.route:
            is_judge = line.stage == "validate"
            if not is_judge and not line.stage.startswith("infer"):
                continue
            if not found or (not is_judge and found[-1].tier != line.tier):
                found.append(Visit(line.tier))
            visit, call = found[-1], calls.get(line.attempt)
            if call is not None:
                visit.spent.append(call)
            if is_judge:
                visit.verdict = _VERDICTS.get(line.outcome, visit.verdict)
            elif call is not None and not call.error:
                visit.answer, visit.failed_check = call, line.outcome != "ok"
        return found


class Record:
    """The requests of a window.

    Attributes:
        requests: All of them.
    """

    def __init__(self, requests: Iterable[RecordedRequest]) -> None:
        self.requests = list(requests)
        by_id: dict[str, list[RecordedRequest]] = defaultdict(list)
        for one in self.requests:
            by_id[one.request_id].append(one)
        for found in by_id.values():
            found.sort(key=lambda one: one.asked_ms)
        self._by_id = by_id

    def at(self, request_id: str, at_ms: int) -> RecordedRequest | None:
        """Return the request that something of a moment is about: an id may be used anew after the window."""
        found = self._by_id.get(request_id, ())
        place = bisect_right(found, at_ms, key=lambda one: one.asked_ms)
        return found[place - 1] if place else None


async def read_record(
    settings: Settings,
    since: datetime,
    until: datetime,
    most: int | None = None,
    on_progress: Progress = lambda _: None,
) -> Record:
    """Read what the ledger knows of requests that the broker appended in [since, until).

    Args:
        settings: Of the deployment.
        since: First moment.
        until: First moment after the window.
        most: Requests at most: a sample by the hash of their ids, the same every time; None: all.
        on_progress: Called with the share that is done.

    Raises:
        ClickHouseUnavailable: ClickHouse can't be used.
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    cluster = await cluster_id(settings.kafka)
    window = {
        "cluster": cluster,
        "since": microsecond_of(since),
        "until": microsecond_of(until),
        "horizon": microsecond_of(until + timedelta(seconds=settings.delivery.dedup_window_s)),
    }
    topic = REQUESTS.full_name(settings.kafka.prefix)
    async with open_client(settings.clickhouse.url or "", timeout_s=_TIMEOUT_S) as client:
        query = _Ledger(client, settings.clickhouse.database, window)
        found = [row async for row in query.rows("replay_requests", requests_topic=topic, most=most or _UNLIMITED)]
        record = Record(map(_request, found))
        on_progress(1 / _QUERIES)
        async for request_id, at_ms, *row in query.rows("replay_decisions"):
            if (one := record.at(request_id, at_ms)) is not None:
                one.decision = _decision(*row)
        on_progress(2 / _QUERIES)
        async for request_id, at_ms, *row in query.rows("replay_calls"):
            if (one := record.at(request_id, at_ms)) is not None:
                one.calls.append(RecordedCall(*row))
        on_progress(3 / _QUERIES)
        async for request_id, tier, value, at_ms in query.rows("replay_labels"):
            if (one := record.at(request_id, at_ms)) is not None:
                one.said[tier] = value
    on_progress(1.0)
    return record


@dataclass(frozen=True, slots=True)
class _Ledger:
    client: AsyncClient
    database: str
    window: dict[str, str]

    async def rows(self, query: str, **more: Any) -> AsyncIterator[tuple[Any, ...]]:  # noqa: ANN401 - bound values
        async for block in named_query_blocks(self.client, self.database, query, {**self.window, **more}):
            for row in zip(*block, strict=True):
                yield row


def _request(row: Sequence[Any]) -> RecordedRequest:
    *facts, attempts, stages, tiers, providers, models, whys, outcomes = row
    refs = [f"{provider}/{model}" for provider, model in zip(providers, models, strict=True)]
    lines = zip(attempts, stages, tiers, refs, whys, outcomes, strict=True)
    columns = (*facts, tuple(RouteLine(*line) for line in lines))
    return RecordedRequest(*columns)


def _decision(
    outcome: str, tier: int, rule: str, classifier: str, scores: Sequence[float], detail: str
) -> RecordedDecision:
    return RecordedDecision(tier, rule, classifier, tuple(scores), detail, outcome == EXPIRED)
