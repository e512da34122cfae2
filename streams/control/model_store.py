"""Models in `llm.control`: fetching published files, taking records back, and saying what became of an activation."""

import asyncio
import logging
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.config.settings_sections import KafkaSettings
from streams.control.control_topic import ModelPlace
from streams.kafka.publisher import DeliveryError, Output, Publisher
from streams.kafka.topic_reader import LogReader
from topics.codec import DecodeError, decode
from topics.control import ModelFile, ModelStatus
from topics.partitioning import partition_for
from topics.registry import CONTROL

log = logging.getLogger(__name__)

_RETRY_S: Final = 5.0
_LAST_WORDS_S: Final = 5.0


class MissingModelError(Exception):
    """A place holds no intact model file; the message is one line that says what is wrong."""


class ModelStore:
    """Reads model files one by one, none of which is kept."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = CONTROL.full_name(kafka.prefix)
        self._reader = LogReader(kafka)

    async def fetch(self, place: ModelPlace) -> ModelFile:
        """Read the file at a place; the event loop goes on meanwhile.

        Raises:
            MissingModelError: It is damaged or was replaced.
            aiokafka.errors.KafkaError: The broker can't be reached.
        """
        record = await self._reader.record_at(TopicPartition(self._topic, place.partition), place.offset)
        if record is None or record.offset != place.offset:
            raise MissingModelError("its record was replaced or deleted")
        return await asyncio.to_thread(_file_of, record.value, list(record.headers))


def _file_of(value: bytes, headers: list[tuple[str, bytes | None]]) -> ModelFile:
    try:
        found = decode(CONTROL, value, headers).record
    except DecodeError as error:
        raise MissingModelError(f"its record can't be read: {error.message}") from None
    if not isinstance(found, ModelFile) or not found.is_intact:
        raise MissingModelError("its record is damaged: the file is not the one that was published")
    return found


async def withdraw(kafka: KafkaSettings, publisher: Publisher, *keys: str) -> None:
    """Write tombstones, after which compaction removes what was said under the keys.

    Raises:
        DeliveryError: The broker did not take one.
    """
    topic = CONTROL.full_name(kafka.prefix)
    try:
        for key in keys:
            await publisher.producer.send_and_wait(
                topic, None, key=key.encode(), partition=partition_for(key, kafka.partitions)
            )
    except KafkaError as error:
        raise DeliveryError(f"the broker did not acknowledge a tombstone: {error!r}") from error


class ModelStatusPublisher:
    """Publishes what this process made of the latest activation, for display, and takes it back when it ends.

    Args:
        kafka: Where the topic is.
        publisher: Open for as long as `run` runs.
    """

    def __init__(self, kafka: KafkaSettings, publisher: Publisher) -> None:
        self._kafka = kafka
        self._publisher = publisher
        self._latest: ModelStatus | None = None
        self._wake = asyncio.Event()

    def note(self, status: ModelStatus) -> None:
        """Take note of a change; returns at once."""
        self._latest = status
        self._wake.set()

    async def run(self) -> None:
        """Publish changes as they come until cancelled; a broker that takes none delays them and stops nothing."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._say()
        finally:
            await self._take_leave()

    async def _say(self) -> None:
        if self._latest is None:
            return
        try:
            await self._publisher.publish([Output(CONTROL, self._latest)])
        except DeliveryError as error:
            log.warning("the state of the model could not be published, trying again in %g s: %s", _RETRY_S, error)
            await asyncio.sleep(_RETRY_S)
            self._wake.set()

    async def _take_leave(self) -> None:
        if self._latest is None:
            return
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await withdraw(self._kafka, self._publisher, self._latest.partition_key)
        except (DeliveryError, TimeoutError):
            log.warning("the broker did not take back what this process said of the model; it is shown until the next")
