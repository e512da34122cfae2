"""Making a cluster and a ledger ready for the workers: topics and tables."""

from analytics.clickhouse import open_client, wait_until_up
from analytics.migrate import migrate
from streams.settings import Settings
from streams.topic_admin import create_topics
from tierstream.stack.state import Addresses

_CLICKHOUSE_WAIT_S = 30.0


def with_addresses(settings: Settings, addresses: Addresses) -> Settings:
    """Fill in where the parts of a stack answer."""
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": addresses.kafka})
    clickhouse = settings.clickhouse.model_copy(update={"url": addresses.clickhouse})
    return settings.model_copy(update={"kafka": kafka, "clickhouse": clickhouse})


async def prepare(settings: Settings) -> None:
    """Create the topics and tables that are missing.

    Raises:
        TopicError: The topics can't be created or do not fit the settings.
        ClickHouseUnavailable: ClickHouse does not answer.
    """
    await create_topics(settings)
    await prepare_ledger(settings)


async def prepare_ledger(settings: Settings) -> None:
    """Create the tables that are missing.

    Raises:
        ClickHouseUnavailable: ClickHouse does not answer.
    """
    clickhouse = settings.clickhouse
    if clickhouse.url is None:
        raise ValueError("the ledger needs a URL")
    await wait_until_up(clickhouse.url, timeout_s=_CLICKHOUSE_WAIT_S)
    async with open_client(clickhouse.url) as client:
        await migrate(
            client,
            clickhouse.database,
            retention_days=clickhouse.retention_days,
            body_retention_days=clickhouse.body_retention_days,
        )
