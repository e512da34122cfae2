"""The tasks of a submission, read from where they are."""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from streams.kafka.publisher import trace_of
from streams.kafka.topic_reader import TopicReader
from streams.runtime.stage import Received
from topics.bulk import BulkTask, Member
from topics.codec import DecodeError, decode
from topics.registry import BULK
from topics.tasks import TierTask

log = logging.getLogger(__name__)

_AT_ONCE: Final = 100
"""Tasks that are worked on together."""


@dataclass(frozen=True, slots=True)
class MemberTask:
    """A member of a submission, with its task and the record that it is in."""

    member: Member
    bulk: BulkTask
    received: Received

    @property
    def task(self) -> TierTask:
        """The task."""
        return self.bulk.task

    @property
    def trace(self) -> bytes | None:
        """The `traceparent` of its record."""
        return trace_of(self.received.headers)


async def member_tasks(
    reader: TopicReader, tp: TopicPartition, members: Sequence[Member]
) -> AsyncGenerator[list[MemberTask], None]:
    """Yield members with their tasks, some at a time; those whose record is not kept any more are left out.

    Args:
        reader: Of the cluster.
        tp: Where the tasks are.
        members: In the order of their offsets.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
    """
    if not members:
        return
    wanted = {member.offset: member for member in members}
    found: list[MemberTask] = []
    reading = reader.read(tp, since_offset=members[0].offset, until_offset=members[-1].offset + 1)
    async with aclosing(reading) as records:
        async for record in records:
            member = wanted.get(record.offset)
            if member is None:
                continue
            try:
                bulk = decode(BULK, record.value, record.headers).record
            except DecodeError as error:
                log.error("the task at offset %d can't be read any more: %s", record.offset, error.message)  # noqa: TRY400
                continue
            found.append(MemberTask(member, bulk, Received.of(record, tp)))
            if len(found) == _AT_ONCE:
                yield found
                found = []
    if found:
        yield found
