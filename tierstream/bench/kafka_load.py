"""Load on the pipeline, over Kafka as any service has it: a producer of requests and a consumer of results."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from streams.config.settings_sections import KafkaSettings
from streams.kafka.publisher import started_producer
from streams.kafka.topic_reader import partitions_of
from tierstream.bench.load import Load
from tierstream.bench.workload import Workload
from topics.registry import REQUESTS, RESULTS

_POLL_MS: Final = 1000


class KafkaLoad(Load):
    """Sends the requests of a workload and takes their results. Open it with `opened`."""

    def __init__(
        self, producer: AIOKafkaProducer, consumer: AIOKafkaConsumer, topic: str, workload: Workload, give_up_s: float
    ) -> None:
        super().__init__(give_up_s)
        self._producer = producer
        self._consumer = consumer
        self._topic = topic
        self._workload = workload

    @classmethod
    @asynccontextmanager
    async def opened(cls, kafka: KafkaSettings, workload: Workload, *, give_up_s: float) -> AsyncIterator["KafkaLoad"]:
        """Connect, and read the results that come from now on.

        Args:
            kafka: With the address of the broker.
            workload: What is sent.
            give_up_s: Seconds without any result after which those that are left count as missing.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=kafka.record_max_bytes,
        )
        producer = await started_producer(kafka)
        try:
            await consumer.start()
            tps = partitions_of(RESULTS, kafka)
            consumer.assign(tps)
            await consumer.seek_to_end(*tps)
            load = cls(producer, consumer, REQUESTS.full_name(kafka.prefix), workload, give_up_s)
            reading = asyncio.create_task(load.read())
            reading.add_done_callback(load.note_end)
            try:
                yield load
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        finally:
            await asyncio.gather(producer.stop(), consumer.stop())

    async def submit(self, number: int) -> None:
        """Have the producer send a request."""
        request = self._workload.outgoing(number)
        delivery = await self._producer.send(
            self._topic, request.value, key=request.key, partition=request.partition, headers=request.headers
        )
        delivery.add_done_callback(self.note_end)

    async def read(self) -> None:
        """Take results for ever; each is known by its key."""
        loop = asyncio.get_running_loop()
        while True:
            found = await self._consumer.getmany(timeout_ms=_POLL_MS)
            at = loop.time()
            for records in found.values():
                for record in records:
                    number = self._workload.number(record.key)
                    if number is not None:
                        self.take(number, record.value, at)
