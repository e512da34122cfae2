"""Topics on the cluster: creating them, and checking that they are as the deployment needs them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code

import streams.kafka.closing_connections  # noqa: F401 - changes what aiokafka does
from streams.config.settings import Settings
from streams.config.settings_sections import KafkaSettings
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import TopicReader
from topics.base import Record
from topics.codec import DecodeError, decode
from topics.control import PartitionCount
from topics.partitioning import partition_for
from topics.registry import BUDGETS, CONTROL, REQUESTS, RESULTS, TopicSpec, all_topics

_RETENTION_MS = 7 * 24 * 3600 * 1000
_MONTH_MS = 32 * 24 * 3600 * 1000
_BUDGET_SLACK_MS = 24 * 3600 * 1000
_COMPACTION_LAG_MS = 3600 * 1000
"""How long the sink has to see each state of a breaker before compaction may leave only the latest."""


_ANSWER_S = 10.0
_LEADER_S = 10.0
_LOOK_AGAIN_S = 0.1


class TopicError(Exception):
    """The topics are not as they must be; the message says what to do."""


class BrokerAwayError(TopicError):
    """No broker answers, so that nothing can be said of the topics."""


@asynccontextmanager
async def admin_client(kafka: KafkaSettings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an admin client.

    Raises:
        BrokerAwayError: If no broker answers.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=30_000)
    try:
        # A connection is accepted long before a broker that starts, or hangs, answers.
        async with asyncio.timeout(_ANSWER_S):
            await client.start()
    except (KafkaConnectionError, TimeoutError):
        await client.close()
        raise BrokerAwayError(
            f"Kafka at {kafka.bootstrap_servers} does not answer: start it (tierstream up) "
            "or check KAFKA_BOOTSTRAP_SERVERS"
        ) from None
    try:
        yield client
    finally:
        await client.close()


async def cluster_id(kafka: KafkaSettings) -> str:
    """Return the id of the cluster, by which rows of the ledger are told apart.

    Raises:
        BrokerAwayError: If no broker answers.
    """
    async with admin_client(kafka) as admin:
        return str((await admin.describe_cluster())["cluster_id"])


def retention_ms(settings: Settings) -> int:
    """Return how long the broker keeps records: a week, and at least twice the window of recognised duplicates."""
    return max(_RETENTION_MS, int(settings.delivery.dedup_window_s * 2000))


def budgets_retention_ms(settings: Settings) -> int:
    """Return how long the log of budgets is needed: what was spent counts as long as the longest window lasts."""
    longest = max((budget.window_ms for budget in settings.budgets), default=0)
    return max(retention_ms(settings), longest + _BUDGET_SLACK_MS) if longest else retention_ms(settings)


def topic_config(spec: TopicSpec[Record], settings: Settings) -> dict[str, str]:
    """Return the broker's settings for a topic."""
    config = {
        "cleanup.policy": spec.cleanup,
        "max.message.bytes": str(settings.kafka.record_max_bytes),
        "message.timestamp.type": "LogAppendTime",
    }
    if spec.cleanup == "delete":
        is_budgets = spec.name == BUDGETS.name
        config["retention.ms"] = str(budgets_retention_ms(settings) if is_budgets else retention_ms(settings))
    else:
        config["min.compaction.lag.ms"] = str(_COMPACTION_LAG_MS)
    return config


def _at_first(spec: TopicSpec[Record], settings: Settings) -> dict[str, str]:
    """Keep the log of budgets for a month from the beginning: a budget that is set later need not alter the topic."""
    if spec.name != BUDGETS.name:
        return {}
    return {"retention.ms": str(max(_MONTH_MS, budgets_retention_ms(settings)))}


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing and write the partition count down; return the names of the new ones.

    Raises:
        TopicError: If the broker refuses, or existing topics have another partition count.
    """
    kafka = settings.kafka
    async with admin_client(kafka) as admin:
        present = set(await admin.list_topics())
        missing = [spec for spec in all_topics(settings.top_tier) if spec.full_name(kafka.prefix) not in present]
        new = [
            NewTopic(
                spec.full_name(kafka.prefix),
                kafka.partitions,
                kafka.replication_factor,
                topic_configs=topic_config(spec, settings) | _at_first(spec, settings),
            )
            for spec in missing
        ]
        made = set()
        if new:
            response = await admin.create_topics(new)
            for name, code, *message in response.topic_errors:
                error = for_code(code)
                if not code:
                    made.add(name)
                if code and error is not TopicAlreadyExistsError:
                    raise TopicError(f"topic {name} can't be created: {error.__name__} {' '.join(map(str, message))}")
    # A topic that was just made can't be read for a while, and nothing is in it.
    recorded = None if CONTROL.full_name(kafka.prefix) in made else await partition_count(kafka)
    if recorded is None:
        async with Publisher(kafka) as publisher:
            await publisher.publish([Output(CONTROL, PartitionCount(partitions=kafka.partitions))])
    elif recorded != kafka.partitions:
        raise TopicError(_other_count(kafka, recorded))
    return [topic.name for topic in new]


async def check_topics(settings: Settings) -> list[str]:
    """Compare the topics on the cluster with what the settings ask for; return a line for each difference."""
    kafka = settings.kafka
    specs = {spec.full_name(kafka.prefix): spec for spec in all_topics(settings.top_tier)}
    async with admin_client(kafka) as admin:
        present = set(await admin.list_topics())
        missing = sorted(set(specs) - present)
        problems = [f"{name} is missing: run `tierstream topics create`" for name in missing]
        found = sorted(set(specs) & present)
        for topic in await admin.describe_topics(found) if found else []:
            partitions = len(topic["partitions"])
            if partitions != kafka.partitions:
                problems.append(
                    f"{topic['topic']} has {partitions} partitions, not {kafka.partitions}: "
                    "drain to a new prefix, or set kafka.partitions back"
                )
        actual = await _configs(admin, found)
    for name in found:
        for key, wanted in topic_config(specs[name], settings).items():
            if not _fits(key, actual[name].get(key), wanted):
                problems.append(
                    f"{name} has {key}={actual[name].get(key)}, not {wanted}: "
                    f"kafka-configs --alter --topic {name} --add-config {key}={wanted}"
                )
    recorded = None if missing else await partition_count(kafka)
    if recorded is not None and recorded != kafka.partitions:
        problems.append(_other_count(kafka, recorded))
    return problems


async def require_topics(kafka: KafkaSettings, *more: TopicSpec[Record]) -> None:
    """Check that a client can send requests and read results; a producer must not create a topic by accident.

    Args:
        kafka: Where the cluster is.
        more: Further topics that are going to be read.

    Raises:
        TopicError: No broker answers, a topic is missing, or it has another partition count than the settings.
    """
    names = [spec.full_name(kafka.prefix) for spec in (REQUESTS, RESULTS, *more)]
    async with admin_client(kafka) as admin:
        missing = sorted(set(names) - set(await admin.list_topics()))
        if missing:
            raise TopicError(f"{' and '.join(missing)} missing: run `tierstream topics create`")
        for topic in await admin.describe_topics(names):
            partitions = len(topic["partitions"])
            if partitions != kafka.partitions:
                raise TopicError(
                    f"{topic['topic']} has {partitions} partitions, the settings say {kafka.partitions}: "
                    f"set kafka.partitions = {partitions}"
                )


async def delete_records(kafka: KafkaSettings, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """Delete what lies before an offset in each of the partitions; -1 stands for the end.

    Returns:
        The offset of the first record that is left, for each partition.

    Raises:
        BrokerAwayError: If no broker answers.
        KafkaError: The broker refuses, or a partition is without its leader for ten seconds.
    """
    before = {tp: RecordsToDelete(end) for tp, end in ends.items()}
    async with admin_client(kafka) as admin:
        give_up_at = asyncio.get_running_loop().time() + _LEADER_S
        while True:
            try:
                return {tp: int(low) for tp, low in (await admin.delete_records(before)).items()}
            except KafkaError as error:
                # A broker that is about to lead a partition says that it does not, and this client does not ask again.
                if not error.retriable or asyncio.get_running_loop().time() > give_up_at:
                    raise
            await asyncio.sleep(_LOOK_AGAIN_S)


async def partition_count(kafka: KafkaSettings) -> int | None:
    """Read the partition count that the prefix was set up with; None if none was written down."""
    topic = CONTROL.full_name(kafka.prefix)
    async with admin_client(kafka) as admin:
        [found] = await admin.describe_topics([topic])
    if not found["partitions"]:
        return None
    key = PartitionCount.model_fields["setting"].default
    # The count decides where its own record lies, so look where the topic as it is would have it.
    tp = TopicPartition(topic, partition_for(key, len(found["partitions"])))
    latest = None
    async for record in TopicReader(kafka).read(tp):
        with contextlib.suppress(DecodeError):
            entry = decode(CONTROL, record.value, record.headers).record
            latest = entry.partitions if isinstance(entry, PartitionCount) else latest
    return latest


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    found: dict[str, dict[str, str]] = {}
    try:
        answers: Any = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except KafkaError as error:
        raise TopicError(f"the broker does not show the topics' settings: {error!r}") from error
    for answer in answers:
        for _, _, _, name, entries in answer.resources:
            found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _fits(key: str, actual: str | None, wanted: str) -> bool:
    if key in {"retention.ms", "max.message.bytes"} and actual is not None:
        return int(actual) == -1 or int(actual) >= int(wanted)
    # A shorter one, as topics of earlier versions have, costs rows of passing states and breaks nothing.
    return key == "min.compaction.lag.ms" or actual == wanted


def _other_count(kafka: KafkaSettings, recorded: int) -> str:
    return (
        f"the topics with prefix {kafka.prefix!r} were set up with {recorded} partitions, the settings say "
        f"{kafka.partitions}: set kafka.partitions = {recorded}, or drain to a new prefix"
    )
