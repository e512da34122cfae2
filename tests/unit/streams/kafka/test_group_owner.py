"""Whether a partition is still ours: the coordinator has the word."""

from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaConnectionError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from streams.kafka.group_consumer import commit_progress, confirm_owner
from streams.kafka.lease import PartitionLostError

TP = TopicPartition("llm.bulk", 3)
NOT_OURS = [CommitFailedError, IllegalGenerationError, RebalanceInProgressError, UnknownMemberIdError]


class Group:
    """Stands for a consumer: takes commits, or refuses them."""

    def __init__(self, refusal: type[Exception] | None = None) -> None:
        self.refusal = refusal
        self.committed: list[dict[TopicPartition, int]] = []

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.committed.append(offsets)


class Partition:
    def __init__(self, position: int, committed: int = 0) -> None:
        self.position = position
        self.committed = committed


async def test_who_owns_it_commits_once_more_up_to_where_it_is_done():
    group: Any = Group()
    await confirm_owner(group, TP, 7)
    assert group.committed == [{TP: 7}]


@pytest.mark.parametrize("refusal", [*NOT_OURS, IllegalStateError])
async def test_a_commit_that_the_group_refuses_says_that_it_is_lost(refusal):
    group: Any = Group(refusal)
    with pytest.raises(PartitionLostError, match=r"partition 3 of llm\.bulk"):
        await confirm_owner(group, TP, 7)


async def test_a_broker_that_is_away_says_nothing_of_it():
    group: Any = Group(KafkaConnectionError)
    with pytest.raises(KafkaConnectionError):
        await confirm_owner(group, TP, 7)


async def test_only_what_has_advanced_is_committed():
    group: Any = Group()
    other, ours = TopicPartition("llm.bulk", 4), Partition(9, committed=5)
    await commit_progress(group, {TP: ours, other: Partition(2, committed=2)}, "read again")
    assert (group.committed, ours.committed) == ([{TP: 9}], 9)


@pytest.mark.parametrize("refusal", NOT_OURS)
async def test_what_the_group_does_not_take_stays_as_it_was(refusal):
    group: Any = Group(refusal)
    ours = Partition(9, committed=5)
    await commit_progress(group, {TP: ours}, "read again")
    assert ours.committed == 5
