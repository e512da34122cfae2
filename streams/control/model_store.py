"""Models in `llm.control`: fetching published files."""

import asyncio

from aiokafka import TopicPartition

from streams.config.settings_sections import KafkaSettings
from streams.control.control_state import ModelPlace
from streams.kafka.topic_reader import TopicReader
from topics.codec import DecodeError, decode
from topics.control import ModelFile
from topics.registry import CONTROL


class MissingModelError(Exception):
    """A place holds no intact model file; the message is one line that says what is wrong."""


class ModelStore:
    """Reads model files one by one, none of which is kept."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._topic = CONTROL.full_name(kafka.prefix)
        self._reader = TopicReader(kafka)

    async def fetch(self, place: ModelPlace) -> ModelFile:
        """Read the file at a place; the event loop goes on meanwhile.

        Raises:
            MissingModelError: It is damaged or was replaced.
            aiokafka.errors.KafkaError: The broker can't be reached.
        """
        record = await self._reader.record_at(TopicPartition(self._topic, place.partition), place.offset)
        if record is None:
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
