"""What the plain consumers that are members of a group have in common: how they join it, and how they commit."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

import streams.kafka.closing_connections  # changes what aiokafka does
import streams.kafka.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.config.settings import Settings
from streams.kafka.lease import PartitionLostError
from streams.telemetry.progress import PartitionName, Place

log = logging.getLogger(__name__)

_NOT_OURS = (CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError)


FETCHER_LOOKS_MS: Final = 1_000
"""How often a fetcher looks around although nothing has happened. Nearly all that concerns it wakes it up, and a
process has a dozen of them, which look five times a second by default. Where partitions are paused and sought, as
followers do at their start, a seek may go unnoticed until then: those keep the default."""


class Progress(Protocol):
    """How far a partition is."""

    committed: int

    @property
    def position(self) -> int:
        """The next offset to work on; 0 before anything was."""


def group_consumer(settings: Settings, stage: str, **more: Any) -> AIOKafkaConsumer:  # noqa: ANN401 - aiokafka's options
    """Make the consumer of a stage that commits by itself; `more` are further options of aiokafka's consumer."""
    kafka = settings.kafka
    return AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=settings.group(stage),
        group_instance_id=kafka.instance,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(kafka.session_timeout_s * 1000),
        heartbeat_interval_ms=int(kafka.session_timeout_s * 1000 / 6),
        consumer_timeout_ms=FETCHER_LOOKS_MS,
        **more,
    )


def places_of(consumer: AIOKafkaConsumer, done: Callable[[TopicPartition], int | None]) -> dict[PartitionName, Place]:
    """Say how far the assigned partitions are, by what the last fetches told; the broker is not asked.

    Args:
        consumer: Started.
        done: Says up to which offset all is done; None where nothing was yet, so that it is where reading stands.
    """
    found: dict[PartitionName, Place] = {}
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001 - `position` may wait
    for tp in assignment.tps if assignment else ():
        state = assignment.state_value(tp)
        if state is None or not state.has_valid_position:
            continue
        # What is not committed is not there for who reads committed records only; others are not told of it.
        end = state.highwater if state.lso is None or state.lso < 0 else state.lso
        offset = done(tp)
        if end is not None:
            found[tp] = Place(state.position if offset is None else offset, end)
    return found


async def commit_progress(consumer: AIOKafkaConsumer, progress: Mapping[TopicPartition, Progress], lost: str) -> None:
    """Commit what has advanced; where the group has moved on, log what becomes of it (`lost`) instead."""
    advanced = {tp: one for tp, one in progress.items() if one.position > one.committed}
    positions = {tp: one.position for tp, one in advanced.items()}
    if not positions:
        return
    try:
        await consumer.commit(positions)
    except _NOT_OURS:
        log.info("the group moved on before a commit; %s", lost)
        return
    for tp, position in positions.items():
        advanced[tp].committed = position


async def confirm_owner(consumer: AIOKafkaConsumer, tp: TopicPartition, position: int) -> None:
    """Make sure that a partition is still ours: the coordinator takes a commit of nobody else.

    Args:
        consumer: Of the group.
        tp: The partition.
        position: Up to where it is done; that is committed once more.

    Raises:
        PartitionLostError: It is not.
    """
    try:
        await consumer.commit({tp: position})
    except (*_NOT_OURS, IllegalStateError) as error:
        raise PartitionLostError(f"partition {tp.partition} of {tp.topic}") from error
