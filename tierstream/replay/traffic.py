"""The requests themselves, from Kafka, beside what the ledger knows of them."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import aclosing

from aiokafka import TopicPartition

from streams.config.settings import Settings
from streams.kafka.topic_reader import RawRecord, TopicReader
from tierstream.replay.record import Record, RecordedRequest
from topics.codec import DecodeError, decode
from topics.registry import REQUESTS
from topics.requests import Request


async def recorded_requests(settings: Settings, record: Record) -> AsyncIterator[tuple[RecordedRequest, Request]]:
    """Yield the requests of a record that Kafka still keeps, a partition after the other.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    reader, topic = TopicReader(settings.kafka), REQUESTS.full_name(settings.kafka.prefix)
    places: dict[int, dict[int, RecordedRequest]] = defaultdict(dict)
    for one in record.requests:
        places[one.partition][one.offset] = one
    for partition, wanted in sorted(places.items()):
        tp = TopicPartition(topic, partition)
        first, end = min(wanted), max(wanted) + 1
        async with aclosing(reader.read(tp, since_offset=first, until_offset=end)) as found:
            async for raw in found:
                known = wanted.get(raw.offset)
                # The id too: a topic that was made anew begins at 0 again.
                if known is not None and raw.timestamp == known.asked_ms and (request := _request(raw)) is not None:
                    yield known, request


def _request(raw: RawRecord) -> Request | None:
    try:
        return decode(REQUESTS, raw.value, raw.headers).record
    except DecodeError:
        return None
