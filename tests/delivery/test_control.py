"""Orders and breaker states over a real broker: the last word counts, the dead grow old, the stopped say goodbye."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from typer.testing import CliRunner

from streams.control.control_follower import ControlFollower, read_control
from streams.control.status_publisher import StatusPublisher
from streams.kafka.admin import TopicError, admin_client, check_topics, create_topics
from streams.kafka.clock import utc_now
from streams.kafka.publisher import DeliveryError, Output, Publisher
from tierstream.cli import app
from tierstream.cli.commands.stack import _noteworthy_breakers, _print_breakers
from topics.control import BreakerOrder, BreakerState, BreakerStatus, ModelStatus, PartitionCount
from topics.registry import CONTROL

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
A, B = "groq/openai/gpt-oss-20b", "tier:1"
WORKER = "host:1"


def status(target, state, *, worker=WORKER, at=T0):
    return BreakerStatus(
        worker=worker, target=target, state=state, reason="why", since=T0, calls=8, failures=5, slow=0, at=at
    )


def order(target, what):
    return BreakerOrder(target=target, order=what, by="ann", at=T0)


@pytest.fixture
async def publisher(deployment) -> AsyncIterator[Publisher]:
    async with Publisher(deployment.kafka) as publisher:
        yield publisher


async def publish(publisher, *records):
    for record in records:
        await publisher.publish([Output(CONTROL, record)])


@asynccontextmanager
async def running(work) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def states(kafka, until: Callable[[dict], bool]) -> dict[str, BreakerStatus]:
    """What the worker says of each target, as soon as it is as it should be."""
    while True:
        found = (await read_control(kafka)).statuses
        mine = {target: said for (worker, target), said in found.items() if worker == WORKER}
        if until(mine):
            return mine


async def test_the_orders_in_force_come_first_and_then_the_new_ones(deployment, publisher):
    # Something that no version can read yet must not keep anybody from the orders.
    async with AIOKafkaProducer(bootstrap_servers=deployment.kafka.bootstrap_servers) as other:
        topic = CONTROL.full_name(deployment.kafka.prefix)
        await other.send_and_wait(topic, b"{}", key=b"k", headers=[("schema", b"later/9")], partition=0)
    await publish(publisher, order(A, "open"), order(A, "closed"), status(A, OPEN), order(B, "open"), order(B, "auto"))
    told: asyncio.Queue[BreakerOrder] = asyncio.Queue()
    loaded = asyncio.Event()
    async with running(ControlFollower(deployment.kafka, told.put_nowait).run(loaded)):
        await loaded.wait()
        at_first = {told.get_nowait() for _ in range(told.qsize())}
        assert at_first == {order(A, "closed"), order(B, "auto")}
        for what in ("open", "auto"):
            await publish(publisher, order(A, what))
            assert await told.get() == order(A, what)


async def test_changes_are_published_and_a_stopped_worker_closes_what_it_had_open(deployment, publisher):
    breakers = StatusPublisher(publisher, WORKER, utc_now)
    async with running(breakers.run()):
        breakers.note(status(A, OPEN))
        breakers.note(status(B, HALF_OPEN))
        breakers.note(status(B, CLOSED))
        found = await states(deployment.kafka, lambda said: said.keys() == {A, B})
        assert {target: said.state for target, said in found.items()} == {A: OPEN, B: CLOSED}
    found = await states(deployment.kafka, lambda said: True)
    assert {target: (said.state, said.reason) for target, said in found.items()} == {
        A: (CLOSED, "worker stopped"),
        B: (CLOSED, "why"),
    }


async def test_a_stopped_worker_takes_back_what_it_said_of_the_model(deployment, publisher):
    said = ModelStatus(worker=WORKER, version="shipped", ordered_at=T0, state="loaded", detail="d", at=T0)
    other = said.model_copy(update={"worker": "host:2"})
    await publish(publisher, other)
    statuses = StatusPublisher(publisher, WORKER, utc_now)
    async with running(statuses.run()):
        statuses.note(said.model_copy(update={"state": "failed"}))
        statuses.note(said)
        statuses.note(status(A, OPEN))
        while (await read_control(deployment.kafka)).model_statuses != {WORKER: said, "host:2": other}:
            pass
    assert (await read_control(deployment.kafka)).model_statuses == {"host:2": other}


async def test_what_is_not_closed_is_said_again(deployment, publisher):
    later = T0 + timedelta(seconds=30)
    breakers = StatusPublisher(publisher, WORKER, lambda: later, repeat_after=timedelta(milliseconds=20))
    async with running(breakers.run()):
        breakers.note(status(A, OPEN))
        breakers.note(status(B, CLOSED))
        found = await states(deployment.kafka, lambda said: A in said and said[A].at == later)
        assert (found[A].state, found[A].since) == (OPEN, T0)
        breakers.note(status(A, CLOSED))
        await states(deployment.kafka, lambda said: said[A].state is CLOSED)
    # Once closed, neither a repetition that was under way nor the goodbye opens it again.
    found = await states(deployment.kafka, lambda said: True)
    assert {said.reason for said in found.values()} == {"why"}
    assert found[B].at == T0


class Refusing(Publisher):
    """A broker that takes nothing for a while."""

    refusals = 2

    async def publish(self, outputs, *, trace=None):
        if self.refusals:
            self.refusals -= 1
            raise DeliveryError("no")
        return await super().publish(outputs, trace=trace)


async def test_a_broker_that_takes_nothing_stops_nobody(deployment, monkeypatch):
    monkeypatch.setattr("streams.control.status_publisher._RETRY_S", 0.01)
    async with Refusing(deployment.kafka) as publisher:
        breakers = StatusPublisher(publisher, WORKER, utc_now)
        async with running(breakers.run()):
            breakers.note(status(A, OPEN))
            await states(deployment.kafka, lambda said: A in said and said[A].state is OPEN)


def run(deployment, *arguments):
    return CliRunner().invoke(app, ["--config", str(deployment.config), *arguments])


async def cli(deployment, *arguments):
    result = await asyncio.to_thread(run, deployment, *arguments)
    assert "Traceback" not in result.stderr
    return result


async def test_an_operator_opens_and_takes_back(deployment, publisher, monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    now = utc_now()
    await publish(
        publisher, status(A, OPEN, at=now), status(A, CLOSED, worker="host:2", at=now), order("gone/x", "open")
    )
    told: asyncio.Queue[BreakerOrder] = asyncio.Queue()
    async with running(ControlFollower(deployment.kafka, told.put_nowait).run(asyncio.Event())):
        assert (await told.get()).target == "gone/x"
        opened = await cli(deployment, "breakers", "open", B)
        assert (opened.exit_code, "tierstream breakers auto tier:1" in opened.stdout) == (0, True)
        given = await told.get()
        assert (given.target, given.order) == (B, "open")
        assert given.by
        shown = json.loads((await cli(deployment, "breakers", "list", "--json")).stdout)["targets"]
        found = {report["target"]: report for report in shown}
        assert (found[A]["state"], len(found[A]["workers"]), found[A]["order"]) == ("open", 2, None)
        assert (found[B]["state"], found[B]["order"]["order"]) == ("closed", "open")
        assert "tier:3" in found
        assert "open" in (await cli(deployment, "breakers", "list")).stdout
        closed = await cli(deployment, "breakers", "close", A, "--json")
        assert json.loads(closed.stdout)["order"] == "closed"
        assert (await told.get()).order == "closed"
        for target in (A, "gone/x"):
            assert (await cli(deployment, "breakers", "auto", target)).exit_code == 0
            assert (await told.get()).order == "auto"
    unknown = await cli(deployment, "breakers", "auto", "gone/x")
    assert (unknown.exit_code, "there is no breaker" in unknown.stderr) == (2, True)


async def test_the_status_of_a_stack_names_what_is_not_closed(deployment, publisher, capsys):
    now = utc_now()
    await publish(publisher, status(A, OPEN, at=now), status(B, CLOSED, at=now), order("tier:2", "closed"))
    _print_breakers(await asyncio.to_thread(_noteworthy_breakers, deployment.settings))
    first, second = capsys.readouterr().out.splitlines()
    assert first == "breaker tier:2: closed (ordered closed by ann)"
    assert second.startswith(f"breaker {A}: open for ")
    assert second.endswith(" why")
    nobody = deployment.kafka.model_copy(update={"bootstrap_servers": "127.0.0.1:1"})
    _print_breakers(
        await asyncio.to_thread(_noteworthy_breakers, deployment.settings.model_copy(update={"kafka": nobody}))
    )
    assert "Kafka does not answer" in capsys.readouterr().out


async def test_passing_states_are_kept_for_the_sink_and_older_topics_are_accepted(deployment):
    name = CONTROL.full_name(deployment.kafka.prefix)
    async with admin_client(deployment.kafka) as admin:
        resource = ConfigResource(ConfigResourceType.TOPIC, name, configs={"cleanup.policy": "compact"})
        [before] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        assert {entry[0]: entry[1] for entry in before.resources[0][4]}["min.compaction.lag.ms"] == "3600000"
        assert await check_topics(deployment.settings) == []
        await admin.alter_configs([resource])
    problems = await check_topics(deployment.settings)
    assert not any("min.compaction.lag.ms" in problem for problem in problems)


async def test_the_partition_count_is_written_down_once_and_held_against_the_settings(deployment):
    settings = deployment.settings
    kafka = settings.kafka.model_copy(update={"partitions": settings.kafka.partitions + 1})
    other = settings.model_copy(update={"kafka": kafka})
    assert await create_topics(settings) == []
    [count] = [record for record in await deployment.read(CONTROL) if isinstance(record, PartitionCount)]
    assert count.partitions == settings.kafka.partitions
    with pytest.raises(TopicError, match=f"were set up with {settings.kafka.partitions} partitions"):
        await create_topics(other)
    assert await check_topics(settings) == []
    assert any(f"set kafka.partitions = {settings.kafka.partitions}" in line for line in await check_topics(other))
