"""Whether a process may still act for its group: an answer is as old as its question."""

import pytest
from aiokafka.consumer.group_coordinator import CoordinatorGroupRebalance, GroupCoordinator
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaConnectionError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)

from streams.kafka.heartbeat import GroupHeartbeat
from streams.runtime import faust_app

SESSION_S = 10.0


class Time:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def heartbeat(time):
    return GroupHeartbeat(SESSION_S, time)


def test_nobody_has_been_heard_from_at_first(heartbeat):
    assert not heartbeat.fresh


def test_an_answer_is_good_for_half_the_session(heartbeat, time):
    heartbeat.beat()
    time.now += SESSION_S / 2 - 0.01
    assert heartbeat.fresh
    time.now += 0.01
    assert not heartbeat.fresh


def test_an_answer_that_lay_about_is_as_old_as_its_question(heartbeat, time):
    asked_at = time.now
    time.now += 60
    heartbeat.beat(asked_at)
    assert not heartbeat.fresh


def test_an_older_answer_does_not_age_a_newer_one(heartbeat, time):
    asked_at = time.now
    time.now += 60
    heartbeat.beat()
    heartbeat.beat(asked_at)
    assert heartbeat.fresh


class Answer:
    member_assignment = b"assigned"

    def __init__(self, error):
        self.error_code = error.errno


class Client:
    """Stands for the connection: an answer comes after a while, or not at all."""

    def __init__(self, time):
        self.time = time
        self.answer = NoError
        self.takes_s = 0.0
        self.lost = False

    async def __call__(self, request):
        self.time.now += self.takes_s
        if self.lost:
            raise KafkaConnectionError
        return Answer(self.answer)


@pytest.fixture
def client(time):
    return Client(time)


@pytest.fixture
def coordinator(monkeypatch, heartbeat, time, client):
    """aiokafka's own, without a connection, as the consumer thread gives it to the heartbeat."""
    monkeypatch.setattr(faust_app.time, "monotonic", time)
    made = GroupCoordinator.__new__(GroupCoordinator)
    made.group_id, made.generation, made.member_id, made.coordinator_id = "g", 1, "m", 1
    made._group_instance_id = None
    made._send_req = client
    made.coordinator_dead = made.reset_generation = made.request_rejoin = lambda: None
    faust_app._listen(heartbeat, made)
    return made


@pytest.mark.parametrize("answer", [NoError, RebalanceInProgressError])
async def test_a_heartbeat_that_was_answered_is_a_beat(heartbeat, client, coordinator, answer):
    client.answer, client.takes_s = answer, SESSION_S / 4
    assert await coordinator._do_heartbeat()
    assert heartbeat.fresh


async def test_the_answer_of_a_heartbeat_from_before_a_stop_is_none(heartbeat, client, coordinator):
    await coordinator._do_heartbeat()
    client.takes_s = SESSION_S
    assert await coordinator._do_heartbeat()
    assert not heartbeat.fresh
    client.takes_s = 0
    await coordinator._do_heartbeat()
    assert heartbeat.fresh


@pytest.mark.parametrize("answer", [UnknownMemberIdError, GroupCoordinatorNotAvailableError])
async def test_nor_is_a_refusal(heartbeat, client, coordinator, answer):
    client.answer = answer
    assert not await coordinator._do_heartbeat()
    assert not heartbeat.fresh


async def test_nor_is_silence(heartbeat, client, coordinator):
    client.lost = True
    assert not await coordinator._do_heartbeat()
    assert not heartbeat.fresh


@pytest.mark.parametrize(("takes_s", "fresh"), [(0.1, True), (SESSION_S, False)])
async def test_the_sync_of_a_join_is_a_beat_as_old_as_its_question(heartbeat, client, coordinator, takes_s, fresh):
    client.takes_s = takes_s
    rebalance = CoordinatorGroupRebalance.__new__(CoordinatorGroupRebalance)
    rebalance._coordinator, rebalance.group_id, rebalance.coordinator_id = coordinator, "g", 1
    assert await rebalance._on_join_follower() == b"assigned"
    assert heartbeat.fresh is fresh
