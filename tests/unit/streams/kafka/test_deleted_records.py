"""Deleting records while leaders move."""

from contextlib import asynccontextmanager

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NotLeaderForPartitionError, TopicAuthorizationFailedError

from streams.config.settings_sections import KafkaSettings
from streams.kafka import admin

TP = TopicPartition("t", 0)


class Broker:
    """Answers with one error after the other, and then deletes."""

    def __init__(self, *errors: type[KafkaError]) -> None:
        self.errors = list(errors)

    async def delete_records(self, before):
        if self.errors:
            raise self.errors.pop(0)
        return {tp: to.before_offset for tp, to in before.items()}


@pytest.fixture
def broker(monkeypatch):
    made = Broker()

    @asynccontextmanager
    async def opened(_kafka):
        yield made

    monkeypatch.setattr(admin, "admin_client", opened)
    monkeypatch.setattr(admin, "_LOOK_AGAIN_S", 0.001)
    return made


async def test_a_leader_that_is_not_there_yet_is_asked_again(broker):
    broker.errors = [NotLeaderForPartitionError, NotLeaderForPartitionError]
    assert await admin.delete_records(KafkaSettings(), {TP: 7}) == {TP: 7}


async def test_a_partition_without_its_leader_is_given_up(broker, monkeypatch):
    monkeypatch.setattr(admin, "_LEADER_S", 0.01)
    broker.errors = [NotLeaderForPartitionError] * 1000
    with pytest.raises(NotLeaderForPartitionError):
        await admin.delete_records(KafkaSettings(), {TP: 7})


async def test_a_refusal_is_not_asked_again(broker):
    broker.errors = [TopicAuthorizationFailedError]
    with pytest.raises(TopicAuthorizationFailedError):
        await admin.delete_records(KafkaSettings(), {TP: 7})
