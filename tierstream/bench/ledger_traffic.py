"""Made traffic of a deployment: the records that stages would have written of its requests over some days.

    traffic = Traffic(seed=1, requests=20_000, days=30, start=datetime(2026, 10, 1, tzinfo=UTC), users=5_000)
    for records in traffic:
        for position, record in records: ...

Nothing is asked of a model and no text is made. Users, features, questions and tags follow power laws, hours and days a
rhythm. The first tier has about 76 % of the answers, the third 5 %. Calls fail, fall back, are escalated, judged,
batched, shared and repeated after crashes. All money is consistent: routes cost what their calls do. The same arguments
give the same records, ids included.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final

from analytics.rows import Position
from streams.calls.pricing import split
from streams.config.settings import Settings, load
from tierstream.bench.ledger_models import Models, random_id
from tierstream.bench.ledger_plants import Plants
from tierstream.bench.ledger_population import Asked, Population
from tierstream.bench.ledger_way import Part, Way
from topics.base import Record
from topics.control import BreakerStatus
from topics.events import Hops
from topics.journal import Usage
from topics.partitioning import partition_for
from topics.registry import CALLS, CONTROL, HOPS, REQUESTS, RESULTS
from topics.requests import ServiceClass
from topics.results import Result, ResultStatus
from topics.tasks import Source

CLUSTER: Final = "made-traffic"
_PARTITIONS: Final = 6
_HOURS: Final = 24
_HOUR_MS: Final = 3_600_000
_WEEKEND: Final = 5
_AT_WEEKENDS: Final = 0.35
_BY_NIGHT: Final = 0.2
_NOON: Final = 13
_REJECTED: Final = 0.004
_SHARING: Final = 0.01
"""Requests with whom others ask the same at the same moment."""
_COMPARED: Final = 0.004
_SAID: Final = 0.03
_RIGHTLY: Final = 0.85
"""Of those who say something of an answer, who are right."""
_SAID_LATER_MS: Final = 5 * 60_000
_GOOD_KINDS, _BAD_KINDS = ("thumbs_up",), ("thumbs_down", "wrong", "rephrase")
_TOP: Final = 3


class Traffic:
    """The records of a deployment's requests, in the order in which brokers append them; to be gone through repeatedly.

    Args:
        seed: Decides everything that is left to chance.
        requests: How many there are in all.
        days: That they are spread over.
        start: Midnight in UTC of the first day.
        users: Who ask.
        plants: What is planted for reports to find.
        settings: With three tiers of two models each and a judge; None: what a deployment starts from.
    """

    def __init__(
        self,
        seed: int,
        requests: int,
        days: int,
        start: datetime,
        users: int,
        plants: Plants = Plants(),  # noqa: B008 - frozen
        settings: Settings | None = None,
    ) -> None:
        self.requests = requests
        self.days = days
        self.start = start
        self.until = start + timedelta(days=days)
        self._seed, self._users, self._plants = seed, users, plants
        self._settings = settings or load()

    def __iter__(self) -> Iterator[Sequence[tuple[Position, Record]]]:
        """Yield the records of each hour, with their places: all that were appended before the hour's end."""
        run = _Run(self._seed, _millis(self.start), Population(self._seed, self._users, self._plants), self._models())
        for hour, requests in enumerate(self._by_hour()):
            yield run.hour(hour, requests)
        yield run.rest()

    def share_at(self, at_ms: int) -> float:
        """Return which share of the days has passed at a moment, ms since the epoch."""
        return min(1.0, (at_ms - _millis(self.start)) / (self.days * _HOURS * _HOUR_MS))

    def _models(self) -> Models:
        return Models(self._settings, self._seed, _millis(self.start), self._plants)

    def _by_hour(self) -> Iterator[int]:
        weights = [_weight(self.start + timedelta(hours=hour)) for hour in range(self.days * _HOURS)]
        total, done, passed = sum(weights), 0, 0.0
        for weight in weights:
            passed += weight
            until = round(self.requests * passed / total)
            yield until - done
            done = until


class _Run:
    """One way through the traffic: what is under way, and the next offset of each partition."""

    def __init__(self, seed: int, first_ms: int, population: Population, models: Models) -> None:
        self._seed, self._first_ms = seed, first_ms
        self._population, self._models = population, models
        self._pending: list[tuple[float, Record]] = []
        self._offsets: Counter[tuple[str, int]] = Counter()

    def hour(self, hour: int, requests: int) -> Sequence[tuple[Position, Record]]:
        """Return what is appended in an hour in which so many requests come in."""
        draw = Random(f"{self._seed}/{hour}")  # noqa: S311 - traffic has to be reproducible, not unpredictable
        begin = self._first_ms + hour * _HOUR_MS
        if hour % _HOURS == 0:
            self._pending += self._models.breakers(hour // _HOURS)
        left = requests
        while left:
            asked = self._ask(draw, begin)
            group = [asked]
            if left > 1 and not asked.is_planted and asked.rule is None and draw.random() < _SHARING:
                others = [self._ask(draw, begin) for _ in range(min(draw.randint(1, 3), left - 1))]
                group += [asked.again(other.request_id, other.user_id) for other in others if not other.is_planted]
            left -= len(group)
            self._go(draw, group)
        return self._until(begin + _HOUR_MS)

    def rest(self) -> Sequence[tuple[Position, Record]]:
        """Return what is appended after the last hour."""
        return self._until(math.inf)

    def _ask(self, draw: Random, begin: int) -> Asked:
        # Ids as most producers make them: how much room they take is a good part of a row's.
        return self._population.ask(draw, str(random_id(draw)), begin + draw.randrange(_HOUR_MS))

    def _go(self, draw: Random, group: Sequence[Asked]) -> None:
        """Take requests that ask the same at the same moment through the stages."""
        parts = _parts(draw, self._models, group) if len(group) > 1 else [None]
        for asked, part in zip(group, parts, strict=True):
            source = self._source(asked.request_id, asked.at_ms)
            way = Way(asked, draw, self._models, source, part=part)
            result = way.reject() if part is None and draw.random() < _REJECTED else way.run()
            self._pending += way.records
            self._population.note_cost(asked.user_id, _top_cost(result))
            if result.status is ResultStatus.OK:
                self._after(draw, asked, result)

    def _after(self, draw: Random, asked: Asked, result: Result) -> None:
        """Compare an answer, or have somebody say something of it and perhaps get another one."""
        settled_ms = _millis(result.settled_at)
        if result.tier == 1 and draw.random() < _COMPARED:
            way = Way(asked, draw, self._models, self._source(asked.request_id, settled_ms))
            way.compare(result)
            self._pending += way.records
        if result.tier is None or draw.random() >= _SAID:
            return
        is_good = result.tier >= asked.needs
        kind = draw.choice(_GOOD_KINDS if is_good == (draw.random() < _RIGHTLY) else _BAD_KINDS)
        retries = kind == "wrong" and result.tier < _TOP
        said_ms = settled_ms + int(draw.expovariate(1 / _SAID_LATER_MS))
        source = self._source(asked.request_id, said_ms)
        told = Way(asked, draw, self._models, source)
        told.say(result, kind, "retried as revision 1" if retries else "noted")
        self._pending += told.records
        if retries:
            way = Way(asked, draw, self._models, source, revision=1)
            way.retry(result.tier)
            self._pending += way.records

    def _source(self, request_id: str, at_ms: int) -> Source:
        topic, partition = REQUESTS.full_name("llm."), partition_for(request_id, _PARTITIONS)
        self._offsets[topic, partition] += 1
        return Source(topic=topic, partition=partition, offset=self._offsets[topic, partition] - 1, timestamp_ms=at_ms)

    def _until(self, end_ms: float) -> Sequence[tuple[Position, Record]]:
        self._pending.sort(key=lambda pair: pair[0])
        count = next((place for place, (ms, _) in enumerate(self._pending) if ms >= end_ms), len(self._pending))
        due, self._pending = self._pending[:count], self._pending[count:]
        return [(self._place(record, int(ms)), record) for ms, record in due]

    def _place(self, record: Record, at_ms: int) -> Position:
        topic, partition = _TOPICS.get(type(record), _CALLS), partition_for(record.partition_key, _PARTITIONS)
        offset = self._offsets[topic, partition]
        self._offsets[topic, partition] += 1
        return Position(CLUSTER, topic, partition, offset, at_ms)


_CALLS: Final = CALLS.full_name("llm.")
_TOPICS: Final = {
    Result: RESULTS.full_name("llm."),
    Hops: HOPS.full_name("llm."),
    BreakerStatus: CONTROL.full_name("llm."),
}


def _parts(draw: Random, models: Models, group: Sequence[Asked]) -> Sequence[Part | None]:
    """Make the one call of a group, and return each member's part of it; no parts where the call fails."""
    leader = group[0]
    given = Usage(input=leader.input_tokens, output=leader.output_tokens, cached=leader.prefix_tokens)
    streams = leader.service_class is ServiceClass.INTERACTIVE
    trip = models.answer(models.chain(leader.sent_to, draw)[0], given, leader.at_ms, draw, streams=streams)
    if trip.usage is None or trip.rates is None or trip.error is not None:
        return [None] * len(group)
    name = random_id(draw)
    return [Part(trip, name, usage, cost, len(group)) for usage, cost in split(trip.usage, trip.rates, len(group))]


def _top_cost(result: Result) -> Decimal:
    answers = (line for line in result.route if line.tier == _TOP and line.stage.startswith("infer"))
    return sum((line.cost_usd for line in answers), start=Decimal(0))


def _weight(hour: datetime) -> float:
    """Return how busy an hour is, of one that would be the busiest."""
    by_day = _BY_NIGHT + (1 - _BY_NIGHT) * max(0.0, math.cos((hour.hour - _NOON) * math.pi / 16))
    return by_day * (_AT_WEEKENDS if hour.weekday() >= _WEEKEND else 1.0)


def _millis(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
