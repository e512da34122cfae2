"""Reading topics outside a group, on a live broker: what is returned, and that nothing is left open behind it."""

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaConnectionError

from streams.kafka.publisher import Output, Publisher
from streams.kafka.record_fetcher import RecordFetcher
from streams.kafka.topic_reader import TopicReader, partitions_of
from topics.registry import RESULTS, SETTLED
from topics.results import Settled


@pytest.fixture
def consumers(monkeypatch):
    """The consumers that were opened, and of each whether it was stopped."""
    opened = []

    class Counted(AIOKafkaConsumer):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            self.is_stopped = False
            opened.append(self)

        async def stop(self):
            await super().stop()
            self.is_stopped = True

    monkeypatch.setattr("streams.kafka.topic_reader.AIOKafkaConsumer", Counted)
    return opened


async def write(kafka, *numbers, abort=False):
    """Write markers in a transaction; return where they lie."""
    async with Publisher(kafka, transactional_id=f"{kafka.prefix}w") as publisher:
        await publisher.producer.begin_transaction()
        places = await publisher.publish(
            [Output(SETTLED, Settled(request_id="r", revision=number, digest="d")) for number in numbers]
        )
        if abort:
            await publisher.producer.abort_transaction()
        else:
            await publisher.producer.commit_transaction()
    # A broker says that a transaction is committed before it shows its records; the next producer waits for that.
    async with Publisher(kafka, transactional_id=f"{kafka.prefix}w"):
        pass
    return [place.offset for place in places], TopicPartition(SETTLED.full_name(kafka.prefix), places[0].partition)


async def test_a_record_that_was_found_leaves_no_consumer_open(deployment, consumers):
    [first, second], tp = await write(deployment.kafka, 0, 1)
    [aborted], _ = await write(deployment.kafka, 2, abort=True)
    [after], _ = await write(deployment.kafka, 3)
    reader = TopicReader(deployment.kafka)
    for offset, exact, following in (
        (first, first, first),
        (second, second, second),
        (aborted, None, after),
        (after, after, after),
        (after + 1, None, None),
        (after + 1000, None, None),
    ):
        found = await reader.record_at(tp, offset), await reader.next_record(tp, offset)
        assert [record and record.offset for record in found] == [exact, following]
    assert len(consumers) == 12
    assert all(consumer.is_stopped for consumer in consumers)


async def test_a_broker_that_is_away_leaves_no_consumer_open(deployment, consumers):
    nobody = deployment.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    with pytest.raises(KafkaConnectionError):
        await TopicReader(nobody).end_offsets(partitions_of(RESULTS, nobody))
    assert [consumer.is_stopped for consumer in consumers] == [True]


async def test_a_cursor_reads_from_where_it_was_sought_to(deployment):
    kafka = deployment.kafka
    offsets, tp = await write(kafka, *range(5))
    reader = TopicReader(kafka)
    async with reader.opened(partitions_of(SETTLED, kafka)) as cursor:
        ends = await cursor.ends()
        assert (ends[tp], sum(ends.values())) == (offsets[-1] + 2, offsets[-1] + 2)
        assert await cursor.offsets_at(0, ends) == {**ends, tp: 0}
        cursor.seek({**ends, tp: offsets[3]})
        assert not await cursor.has_reached(ends)
        assert [record.offset async for record in cursor.until(ends)] == offsets[3:]
        assert await cursor.has_reached(ends)
    assert [record.offset async for record in reader.read(tp, since_offset=1, until_offset=offsets[3])] == offsets[1:3]


async def test_a_fetcher_reads_places_in_any_order_and_stays_open(deployment):
    kafka = deployment.kafka
    offsets, tp = await write(kafka, *range(5))
    [aborted], _ = await write(kafka, 5, abort=True)
    async with Publisher(kafka) as publisher:
        large = Settled(request_id="large", revision=0, digest="d" * 100_000)
        [place] = await publisher.publish([Output(RESULTS, large)])
    elsewhere = TopicPartition(RESULTS.full_name(kafka.prefix), place.partition)
    fetcher = RecordFetcher(kafka, SETTLED, RESULTS)
    try:
        for where, offset, is_there in (
            (tp, offsets[3], True),
            (tp, offsets[0], True),
            (elsewhere, place.offset, True),
            (tp, offsets[3], True),
            (tp, aborted, False),
            (tp, aborted + 1_000, False),
            (elsewhere, place.offset + 1, False),
            (tp, offsets[4], True),
        ):
            found = await fetcher.record_at(where, offset)
            assert (found and found.offset) == (offset if is_there else None)
    finally:
        await fetcher.close()
