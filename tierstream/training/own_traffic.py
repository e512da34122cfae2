"""Labels of a deployment's own traffic from ClickHouse, with the requests that they are about, from Kafka."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from aiokafka import TopicPartition

from analytics.bound_times import microsecond_of
from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from streams.config.settings import Settings
from streams.kafka.admin import cluster_id
from streams.kafka.topic_reader import TopicReader
from streams.learning.tier_targets import AnswerLabel, BoundaryTarget, boundary_targets
from topics.codec import DecodeError, decode
from topics.learned import LabelCount
from topics.registry import REQUESTS
from topics.requests import Request

Progress = Callable[[float], None]

_MOST_REPRESENTED: Final = 20.0
"""Most answers that a judge's look stands for: a few looks must not decide alone."""
_ASKED_BEFORE: Final = timedelta(days=30)
"""How long before its label a request may have been settled, at most."""
_GAP: Final = 2_000
"""Offsets between two wanted records that are read over, rather than looked up anew."""


@dataclass(frozen=True, slots=True)
class LabelledTraffic:
    """A request, and what is known of it.

    Attributes:
        request: As it came in.
        user: Who asked; empty: not said.
        targets: For each tier but the last; what a judge's look stands for is counted in.
    """

    request: Request
    user: str
    targets: tuple[BoundaryTarget, ...]

    @property
    def weight(self) -> float:
        """How much its labels count together."""
        return sum(target.enough + target.more for target in self.targets)


@dataclass(frozen=True, slots=True)
class OwnTraffic:
    """What there is to learn from.

    Attributes:
        since: From when on labels count.
        until: Until when.
        requests: In the order of their ids.
        labels: By source, those of whom nothing is known of a boundary or no text is found among them.
        missing: Requests with labels that Kafka no longer keeps, or that can't be read.
        of_other_models: Labels about models that their tier no longer has.
    """

    since: datetime
    until: datetime
    requests: tuple[LabelledTraffic, ...]
    labels: tuple[LabelCount, ...]
    missing: int
    of_other_models: int

    def split(self, held_share: float) -> tuple[list[LabelledTraffic], list[LabelledTraffic]]:
        """Return those to train on, and those that are held back: the same ones in every training."""
        held = [one for one in self.requests if is_held_back(one.request, held_share)]
        return [one for one in self.requests if not is_held_back(one.request, held_share)], held


def is_held_back(request: Request, share: float) -> bool:
    """Whether a request is never trained on; its question decides, so that what is asked twice is on one side."""
    digest = hashlib.sha256(request.question.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) < share * 2**64


async def read_own_traffic(
    settings: Settings, since: datetime, until: datetime, on_progress: Progress = lambda _: None
) -> OwnTraffic:
    """Read labels, and the requests that they are about.

    Raises:
        ClickHouseUnavailable: ClickHouse can't be used.
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    rows = await _labels(settings, since, until)
    known = [row for row in rows if _is_of_the_tier(settings, row)]
    texts = await _texts(settings, known, on_progress)
    of_request: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in known:
        of_request[row["request_id"]].append(row)
    found = [
        LabelledTraffic(texts[request_id], labels[0]["user_id"], _targets(labels, settings.top_tier))
        for request_id, labels in sorted(of_request.items())
        if request_id in texts
    ]
    return OwnTraffic(
        since=since,
        until=until,
        requests=tuple(one for one in found if one.weight > 0),
        labels=_counts(rows),
        missing=len(of_request) - len(found),
        of_other_models=len(rows) - len(known),
    )


async def _labels(settings: Settings, since: datetime, until: datetime) -> Sequence[dict[str, Any]]:
    sources = settings.learning.sources
    async with open_client(settings.clickhouse.url or "") as client:
        return await LedgerWindow(client, settings.clickhouse.database, since, until).rows(
            "learning_labels",
            cluster=await cluster_id(settings.kafka),
            sources=list(sources),
            weights=[source.weight for source in sources.values()],
            bounds=[source.per_user_day for source in sources.values()],
            requests_topic=REQUESTS.full_name(settings.kafka.prefix),
            asked_since=microsecond_of(since - _ASKED_BEFORE),
            most_represented=_MOST_REPRESENTED,
            most=settings.learning.max_labels,
        )


def _is_of_the_tier(settings: Settings, row: Mapping[str, Any]) -> bool:
    """Whether a label is about a model that its tier has: others say nothing of what the tier does now."""
    if not 1 <= row["tier"] <= settings.top_tier:
        return False
    return not row["model"] or row["model"] in {model.ref for model in settings.tiers[row["tier"] - 1].models}


def _targets(rows: Sequence[Mapping[str, Any]], tiers: int) -> tuple[BoundaryTarget, ...]:
    return boundary_targets(
        (AnswerLabel(row["tier"], row["value"], row["weight"] * row["represents"]) for row in rows), tiers
    )


def _counts(rows: Sequence[Mapping[str, Any]]) -> tuple[LabelCount, ...]:
    found = Counter(row["source"] for row in rows)
    left_out = {row["source"]: row["beyond_bound"] for row in rows}
    return tuple(LabelCount(source=name, labels=found[name], left_out=left_out[name]) for name in sorted(found))


async def _texts(settings: Settings, rows: Sequence[Mapping[str, Any]], on_progress: Progress) -> dict[str, Request]:
    """Read the requests at the places of the rows, a partition after the other; those that are gone are missing."""
    wanted: dict[int, dict[int, str]] = defaultdict(dict)
    for row in rows:
        wanted[row["partition"]][row["offset"]] = row["request_id"]
    found: dict[str, Request] = {}
    total = sum(map(len, wanted.values()))
    reader, topic = TopicReader(settings.kafka), REQUESTS.full_name(settings.kafka.prefix)
    done = 0
    for partition, places in sorted(wanted.items()):
        async for offset, request in _requests_at(reader, TopicPartition(topic, partition), sorted(places)):
            done += 1
            on_progress(done / total)
            if request is not None and request.request_id == places[offset]:
                found[request.request_id] = request
    return found


async def _requests_at(
    reader: TopicReader, tp: TopicPartition, offsets: Sequence[int]
) -> AsyncIterator[tuple[int, Request | None]]:
    """Yield the requests at offsets that rise; None for one that can't be read."""
    async with reader.opened([tp]) as cursor:
        first, end = (await cursor.beginnings())[tp], (await cursor.ends())[tp]
        for stretch in _stretches([offset for offset in offsets if first <= offset < end]):
            wanted = set(stretch)
            cursor.seek({tp: stretch[0]})
            async for record in cursor.until({tp: stretch[-1] + 1}):
                if record.offset in wanted:
                    yield record.offset, _request(record)


def _stretches(offsets: Sequence[int]) -> list[list[int]]:
    """Cut offsets where so many lie between two that it is quicker to look up the next."""
    found: list[list[int]] = []
    for offset in offsets:
        if not found or offset - found[-1][-1] > _GAP:
            found.append([])
        found[-1].append(offset)
    return found


def _request(record: Any) -> Request | None:  # noqa: ANN401 - aiokafka is untyped
    try:
        return decode(REQUESTS, record.value, record.headers).record
    except DecodeError:
        return None
