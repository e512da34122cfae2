"""A new model of the classifier takes force in a running worker, for the requests of its time, whenever they come."""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from itertools import count, pairwise

import numpy as np
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.deployment import Deployment
from typer.testing import CliRunner

from streams.config.settings_sections import RoutingSettings
from streams.control.active_models import ActiveModels
from streams.control.control_follower import ControlFollower
from streams.control.model_store import ModelStore
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from streams.routing.classifier_loading import configured_classifier
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.versions import ClassifierVersions
from tierstream.cli import app
from tierstream.training.estimators import Growth
from tierstream.training.fit_model import TrainingOptions, train
from topics.control import ActiveModel, BreakerOrder, ModelFile, ModelStatus, version_of
from topics.messages import Message
from topics.registry import CONTROL, REQUESTS, tier_tasks
from topics.requests import Request

SMALL = TrainingOptions(growth=Growth(trees=5, depth=3), dimensions=2)
CONFIG = """
[routing]
classifier = "learned"
"""
PACE_S = 0.03
WORDS = ["river", "stone", "cloud", "paper", "green", "seven", "music", "winter"]


@pytest.fixture
async def deployment(kafka, tmp_path, monkeypatch):
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    options = {"session_timeout_s": 2}
    # No request is sent on to a provider.
    made = Deployment(
        kafka.bootstrap_servers, tmp_path, simulator_url="http://127.0.0.1:9", kafka=options, config=CONFIG
    )
    async with made.running():
        yield made


def trained(seed, **options):
    rng = np.random.default_rng(seed)
    prompts = [" ".join(rng.choice(WORDS, 6)) for _ in range(150)]
    weak, strong = rng.integers(0, 2, (2, 150)).astype(float)
    return train(prompts, weak, strong, replace(SMALL, **options))


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """Two small models that differ."""
    folder = tmp_path_factory.mktemp("models")
    paths = [folder / "1.npz", folder / "2.npz"]
    for seed, path in enumerate(paths, 1):
        trained(seed).save(path)
    return paths


def shipped_file(folder):
    """A model of the other kind: trained on requests, not on outcomes."""
    RequestClassifier.shipped().save(folder / "requests.npz")
    return folder / "requests.npz"


def run(deployment, *arguments):
    return CliRunner().invoke(app, ["--config", str(deployment.config), "models", *map(str, arguments)])


async def refuse(deployment, *arguments):
    result = await asyncio.to_thread(run, deployment, *arguments)
    assert (result.exit_code, "Traceback" in result.stderr) == (2, False), result.output
    return " ".join(result.stderr.replace("│", " ").split())


async def models(deployment, *arguments):
    result = await asyncio.to_thread(run, deployment, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def millis(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)


class Traffic:
    """Requests one after the other, and when the broker appended each."""

    def __init__(self, deployment, publisher):
        self._deployment = deployment
        self._publisher = publisher
        self._numbers = count()
        self.sent: dict[str, int] = {}

    async def send(self) -> int:
        """Send a request, some time after the last; return when it was appended."""
        await asyncio.sleep(PACE_S)
        request_id = f"r{next(self._numbers)}"
        request = Request(request_id=request_id, messages=(Message(role="user", content="Is a river green?"),))
        [delivered] = await self._publisher.publish([Output(REQUESTS, request)])
        self.sent[request_id] = delivered.timestamp_ms
        return delivered.timestamp_ms

    async def flow_until(self, at_ms: int) -> None:
        """Send until the broker's clock has passed a time, and a few more."""
        while await self.send() < at_ms:
            pass
        for _ in range(5):
            await self.send()

    async def decisions(self, *, twice: Collection[str] = ()) -> dict[str, set[str]]:
        """Wait until each request was decided, and some twice; return the versions that decided it."""
        wanted = {one: 1 + (one in twice) for one in self.sent}
        while True:
            self._deployment.check()
            tasks = [task for tier in (1, 2, 3) for task in await self._deployment.read(tier_tasks(tier))]
            counts = Counter(task.request.request_id for task in tasks)
            found: dict[str, set[str]] = {}
            for task in tasks:
                assert task.source.timestamp_ms == self.sent[task.request.request_id]
                found.setdefault(task.request.request_id, set()).add(task.decision.classifier)
            if all(counts[one] >= times for one, times in wanted.items()):
                return found


@asynccontextmanager
async def traffic_of(deployment):
    async with Publisher(deployment.kafka) as publisher:
        yield Traffic(deployment, publisher)


@asynccontextmanager
async def flowing(traffic):
    """Requests without end, while something else is done."""
    stop = asyncio.Event()

    async def flow():
        while not stop.is_set():
            await traffic.send()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(flow())
        try:
            yield
        finally:
            stop.set()


async def deliver_again(deployment):
    """Take back all that the dead worker has committed, as soon as the group has noticed its death."""
    while await deployment.members("classify"):
        pass
    topic = REQUESTS.full_name(deployment.kafka.prefix)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=deployment.kafka.bootstrap_servers,
        group_id=deployment.settings.group("classify"),
        enable_auto_commit=False,
    )
    async with consumer:
        consumer.assign([TopicPartition(topic, partition) for partition in deployment.partitions])
        await consumer.commit(dict.fromkeys(consumer.assignment(), 0))


async def workers_say(deployment, state, of):
    while True:
        deployment.check()
        workers = (await models(deployment, "show"))["workers"]
        found = [
            worker for worker in workers if worker["current"] and (worker["state"], worker["version"]) == (state, of)
        ]
        if found:
            return found


@pytest.mark.slow
async def test_a_model_takes_force_for_the_requests_of_its_time(deployment, model_files):
    worker = await deployment.start_worker("classify")
    async with traffic_of(deployment) as traffic:
        async with flowing(traffic):
            published = await models(deployment, "publish", model_files[0], "--activate", "--in", 2)
        activated_ms = millis(published["active_since"])
        await traffic.flow_until(activated_ms)
        [said] = await workers_say(deployment, "loaded", of=published["version"])
        assert published["classifier"] in said["detail"]
        await traffic.decisions()

        deployment.unwatch(worker).kill()
        first = set(traffic.sent)
        back = await models(deployment, "rollback", "--in", 1)
        assert back["version"] == "configured"
        back_ms = millis(back["active_since"])
        await traffic.flow_until(back_ms)
        await deliver_again(deployment)
        await deployment.start_worker("classify")
        decided = await traffic.decisions(twice=first)

    times = (0, activated_ms, back_ms, 10**18)
    spans = [[one for one, at in traffic.sent.items() if since <= at < until] for since, until in pairwise(times)]
    assert min(map(len, spans)) >= 5
    before, meanwhile, after = [{version for one in span for version in decided[one]} for span in spans]
    assert (len(before), len(meanwhile), after) == (1, 1, before), (before, meanwhile, after)
    assert published["classifier"] in meanwhile.pop()
    assert published["classifier"] not in before.pop()


async def put(deployment, key, value, schema):
    """Put a record into the topic as nobody's client does."""
    async with AIOKafkaProducer(bootstrap_servers=deployment.kafka.bootstrap_servers) as other:
        topic = CONTROL.full_name(deployment.kafka.prefix)
        await other.send_and_wait(topic, value, key=key, headers=[("schema", schema.encode())], partition=0)


async def test_what_is_damaged_stops_no_worker_and_changes_nothing(deployment, model_files):
    await put(deployment, b"model:" + b"0" * 12, b"{", ModelFile.SCHEMA)
    await put(deployment, b"active-model", b"[]", ActiveModel.SCHEMA)
    await put(deployment, b"model:none", b"\xff", ModelFile.SCHEMA)
    await deployment.start_worker("classify")
    async with traffic_of(deployment) as traffic, Publisher(deployment.kafka) as publisher:
        await traffic.send()
        [[configured]] = (await traffic.decisions()).values()
        wrong = {"version": "1" * 12, "file": b64encode(b"no model"), "classifier": "x", "outcomes": 1}
        right = {**wrong, "version": version_of(b"no model")}
        for fields in (wrong, right, {"version": "0" * 12}, {"version": "2" * 12}):
            if "file" in fields:
                await publisher.publish([Output(CONTROL, ModelFile(**fields, by="ann", at=utc_now()))])
            order = ActiveModel(version=fields["version"], delay_ms=0, by="ann", at=utc_now())
            await publisher.publish([Output(CONTROL, order)])
            [said] = await workers_say(deployment, "failed", of=order.version)
            assert said["detail"]
            await traffic.send()
        assert {version for found in (await traffic.decisions()).values() for version in found} == {configured}
        published = await models(deployment, "publish", model_files[0], "--activate", "--in", 0)
        [said] = await workers_say(deployment, "loaded", of=published["version"])
        await traffic.send()
        assert published["classifier"] in list((await traffic.decisions()).values())[-1].pop()


async def test_the_commands(deployment, model_files, tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no model")
    (tmp_path / "large.npz").write_bytes(bytes(5_000_001))
    assert "not a model file" in await refuse(deployment, "publish", tmp_path / "bad.npz", "--activate")
    assert "at most 5 MB" in await refuse(deployment, "publish", tmp_path / "large.npz")
    assert "No such file" in await refuse(deployment, "publish", tmp_path / "none.npz")
    assert "no version before" in await refuse(deployment, "rollback")
    assert "publish one" in await refuse(deployment, "activate", "0" * 12)
    first, second = [(await models(deployment, "publish", file, "--note", "n"))["version"] for file in model_files]
    assert first in await refuse(deployment, "activate", "0" * 12)
    assert (await models(deployment, "show"))["order"] is None
    await models(deployment, "activate", first, "--in", 0)
    later = await models(deployment, "activate", second, "--in", 60)
    assert await models(deployment, "activate", second, "--in", 60) == later
    for version, role in ((first, "active"), (second, "pending")):
        assert f"{version} is {role}" in await refuse(deployment, "delete", version)
    listed = {one["version"]: one for one in (await models(deployment, "list"))["models"]}
    assert [(one, listed[one]["role"]) for one in listed] == [
        ("configured", "previous"),
        ("shipped", None),
        (first, "active"),
        (second, "pending"),
    ]
    assert (listed[first]["outcomes"], listed[first]["note"]) == (150, "n")
    assert listed[first]["bytes"] == model_files[0].stat().st_size
    # The order that has not taken force is taken back, so the first has decided all the time.
    assert (await models(deployment, "rollback"))["active_since"] == listed[first]["since"]
    assert await models(deployment, "delete", second) == {"deleted": second}
    assert second not in {one["version"] for one in (await models(deployment, "list"))["models"]}
    for command in ("list", "show"):
        shown = await asyncio.to_thread(run, deployment, command)
        assert (shown.exit_code, first in shown.stdout) == (0, True)
    requests = await models(deployment, "publish", shipped_file(tmp_path))
    assert requests["classifier"] == RequestClassifier.shipped().version
    await models(deployment, "activate", "shipped", "--in", 0)


@asynccontextmanager
async def following(follower):
    loaded = asyncio.Event()
    task = asyncio.create_task(follower.run(loaded))
    try:
        await loaded.wait()
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_orders_for_breakers_come_while_models_are_read(deployment, model_files):
    """A follower that wants no models reads past them, and tombstones disturb nobody."""
    version = (await models(deployment, "publish", model_files[0]))["version"]
    await models(deployment, "delete", version)
    told: asyncio.Queue[BreakerOrder] = asyncio.Queue()
    async with following(ControlFollower(deployment.kafka, told.put_nowait)):
        await models(deployment, "publish", model_files[0])
        order = BreakerOrder(target="tier:1", order="open", by="ann", at=utc_now())
        async with Publisher(deployment.kafka) as publisher:
            await publisher.publish([Output(CONTROL, order)])
        assert await told.get() == order


async def test_a_model_of_nearly_five_megabytes_reaches_a_worker(deployment, tmp_path):
    rng = np.random.default_rng(3)
    noise = rng.integers(33, 127, 5_700_000, dtype=np.uint8).tobytes().decode()
    made = trained(3, attribution=noise)
    made.save(tmp_path / "large.npz")
    assert 4_500_000 < (tmp_path / "large.npz").stat().st_size < 5_000_000
    configured = configured_classifier(deployment.settings)
    versions = ClassifierVersions(configured)
    told: asyncio.Queue[ModelStatus] = asyncio.Queue()
    active = ActiveModels(
        versions,
        configured,
        settings=deployment.settings.model_copy(update={"routing": RoutingSettings(classifier="learned")}),
        store=ModelStore(deployment.kafka),
        clock=utc_now,
        worker="w",
        report=told.put_nowait,
    )
    async with following(ControlFollower(deployment.kafka, lambda order: None, active.follow)):
        since = await models(deployment, "publish", tmp_path / "large.npz", "--activate")
        status = await told.get()
        assert (status.state, status.version) == ("loaded", since["version"])
    since_ms = millis(since["active_since"])
    assert versions.at(since_ms - 1) is configured
    assert made.version in versions.at(since_ms).version
