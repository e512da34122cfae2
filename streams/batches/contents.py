"""What is in files and batches: records of `llm.files`, read by their place."""

from typing import TypeVar

from aiokafka import TopicPartition

from streams.config.settings_sections import KafkaSettings
from streams.kafka.record_fetcher import RecordFetcher
from topics.base import Record
from topics.batches import BatchAnswers, BatchLines, FileData
from topics.codec import DecodeError, decode
from topics.partitioning import partition_for
from topics.registry import FILES

M = TypeVar("M", FileData, BatchLines, BatchAnswers)


class ContentGoneError(Exception):
    """What was written at a place is no longer kept."""


class Contents:
    """Reads content through a connection that stays open.

    Args:
        kafka: Where the cluster is.
        fetcher: Of the topic; None: one of that cluster, which `close` closes.
    """

    def __init__(self, kafka: KafkaSettings, fetcher: RecordFetcher | None = None) -> None:
        self._kafka = kafka
        self._topic = FILES.full_name(kafka.prefix)
        self._fetcher = fetcher or RecordFetcher(kafka, FILES)

    async def read(self, kind: type[M], key: str, offset: int) -> M:
        """Return the record of a file or a batch at an offset.

        Raises:
            ContentGoneError: It is no longer kept.
            aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        """
        raw = await self._fetcher.record_at(TopicPartition(self._topic, self._partition(key)), offset)
        try:
            record: Record | None = None if raw is None else decode(FILES, raw.value, raw.headers).record
        except DecodeError:
            record = None
        if not isinstance(record, kind) or record.partition_key != key:
            raise ContentGoneError(f"there is no content at offset {offset} any more")
        return record

    async def close(self) -> None:
        """Leave the broker."""
        await self._fetcher.close()

    def _partition(self, key: str) -> int:
        return partition_for(key, self._kafka.partitions)
