"""Making a cluster and a ledger ready for the workers: topics and tables."""

import asyncio
from functools import partial

from analytics.clickhouse import is_away, open_client
from analytics.migrate import migrate
from streams.config.settings import Settings
from streams.config.settings_sections import ClickHouseSettings
from streams.kafka.admin import create_topics
from streams.runtime.unless import unless
from tierstream.stack.dependencies import Dependency, Need, kafka_is_away
from tierstream.stack.state import Addresses
from tierstream.stack.together import all_of


def with_addresses(settings: Settings, addresses: Addresses) -> Settings:
    """Fill in where the parts of a stack answer."""
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": addresses.kafka})
    clickhouse = settings.clickhouse.model_copy(update={"url": addresses.clickhouse})
    return settings.model_copy(update={"kafka": kafka, "clickhouse": clickhouse})


async def prepare(settings: Settings) -> None:
    """Create the topics and tables that are missing; while Kafka or ClickHouse do not answer, wait for them.

    Raises:
        TopicError: The topics can't be created or do not fit the settings.
        ClickHouseUnavailable: ClickHouse refuses the user.
    """
    for_ever = asyncio.Event()
    kafka = Dependency.kafka(settings.kafka)
    topics = kafka.attempt(partial(create_topics, settings), is_away=kafka_is_away, stop=for_ever)
    await all_of(topics, prepare_ledger(settings, for_ever))


async def prepare_ledger(settings: Settings, stop: asyncio.Event) -> None:
    """Create the tables that are missing; while ClickHouse does not answer, wait for it, until `stop` is set.

    Raises:
        ClickHouseUnavailable: ClickHouse refuses the user.
    """
    clickhouse = settings.clickhouse
    if clickhouse.url is None:
        raise ValueError("the ledger needs a URL")
    dependency = Dependency(Need.clickhouse(clickhouse.url))
    migration = partial(_migrate, clickhouse.url, clickhouse)
    await dependency.attempt(lambda: unless(stop.wait(), migration()), is_away=is_away, stop=stop)


async def _migrate(url: str, clickhouse: ClickHouseSettings) -> None:
    async with open_client(url) as client:
        await migrate(
            client,
            clickhouse.database,
            retention_days=clickhouse.retention_days,
            body_retention_days=clickhouse.body_retention_days,
            cluster=clickhouse.cluster,
        )
