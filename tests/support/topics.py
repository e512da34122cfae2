"""The topics of a test, which go with it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from streams.config.settings import Settings
from streams.config.settings_sections import KafkaSettings
from streams.kafka.admin import BrokerAwayError, admin_client, create_topics

_DELETE_S = 10.0


@asynccontextmanager
async def created_topics(settings: Settings) -> AsyncIterator[None]:
    """Have the topics of a deployment for as long as the block lasts."""
    await create_topics(settings)
    try:
        yield
    finally:
        await delete_topics(settings.kafka)


async def delete_topics(kafka: KafkaSettings) -> None:
    """Delete what has the prefix: thousands of partitions would pile up, of which every client is told.

    The broker may be gone by then; nothing is left of its topics either way.
    """
    with contextlib.suppress(BrokerAwayError, KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(_DELETE_S), admin_client(kafka) as admin:
            await admin.delete_topics([name for name in await admin.list_topics() if name.startswith(kafka.prefix)])
