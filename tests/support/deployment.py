"""A deployment of a test: topics under a fresh prefix, worker processes to start and kill, and what to wait for."""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from support.topics import created_topics

from agents import STAGES
from agents.parked import STAGE as PARKING
from agents.settle import STAGE as SETTLE
from streams.config.settings import load
from streams.kafka.admin import admin_client
from streams.kafka.topic_reader import TopicReader, partitions_of
from tierstream.client.record_reader import RecordReader
from tierstream.client.request_producer import RequestProducer
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.ports import HOST, free_port
from tierstream.stack.process import Child
from topics.base import Record
from topics.codec import decode
from topics.journal import CallEnded, CallStarted
from topics.registry import CALLS, OUTCOMES, PARKED, RESULTS, TopicSpec
from topics.requests import Request
from topics.results import Result

M = TypeVar("M", bound=Record)

_POLL_S = 0.05
_START_S = 120.0
_QUIET_S = 240.0
"""Less than the time that a test has, so that it ends by saying what was waited for."""


class Deployment:
    """Settings in a file of their own, and the processes that run on them."""

    def __init__(
        self,
        bootstrap_servers: str,
        folder: Path,
        *,
        simulator_url: str,
        kafka: dict[str, Any] | None = None,
        config: str = "",
    ) -> None:
        """Write the settings.

        Args:
            bootstrap_servers: Of the broker.
            folder: For the settings and the logs.
            simulator_url: Of the simulator that stands for all providers.
            kafka: Further settings of the section `kafka`.
            config: Further sections, as TOML. Unless they name a classifier, no provider's model is asked where
                requests go.
        """
        section = {
            "bootstrap_servers": bootstrap_servers,
            "prefix": f"t{uuid4().hex[:8]}.",
            "partitions": 3,
            "commit_interval_s": 0.2,
            **(kafka or {}),
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in section.items()]
        self.folder = folder
        self.simulator_url = simulator_url
        self.config = folder / "tierstream.toml"
        self.config.write_text("\n".join(["[kafka]", *lines, config]))
        self._classifier = None if re.search(r"^classifier\b", config, re.MULTILINE) else "learned"
        overrides: dict[str, Any] = {"kafka": {"bootstrap_servers": bootstrap_servers}}
        if self._classifier:
            overrides["routing"] = {"classifier": self._classifier}
        self.settings = load(self.config, overrides=overrides)
        self.kafka = self.settings.kafka
        self._children: list[Child] = []
        self._watched: dict[Child, Path] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Deployment"]:
        """Create the topics; at the end, stop every process that was started, and delete the topics."""
        async with created_topics(self.settings):
            try:
                yield self
            finally:
                for child in self._children:
                    child.kill()

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a process of this deployment; no key of a real provider is in it."""
        return {
            **clean_environment(),
            "TIERSTREAM_CONFIG": str(self.config),
            "TIERSTREAM_SIMULATOR_URL": self.simulator_url,
            "TIERSTREAM_SIMULATED": ",".join(self.settings.providers),
            **({"TIERSTREAM_ROUTING__CLASSIFIER": self._classifier} if self._classifier else {}),
            **more,
        }

    async def start_worker(self, *stages: str, **environment: str) -> Child:
        """Start a worker and wait until all its stages have their partitions."""
        return await self.start("worker", *(("--stages", ",".join(stages)) if stages else ()), **environment)

    async def start_door(self) -> tuple[str, Child]:
        """Start a door and wait until it listens; return its URL and its process."""
        port = free_port()
        return f"http://{HOST}:{port}", await self.start("serve", "--port", str(port))

    async def start(self, command: str, *arguments: str, **environment: str) -> Child:
        """Start `tierstream <command>` and wait until it is ready; while it is watched, its end fails the test."""
        name = f"{command}-{len(self._children) + 1}"
        log_file, ready_file = self.folder / f"{name}.log", self.folder / f"{name}.ready"
        child = Child.start(
            (sys.executable, "-m", "tierstream", command, *arguments),
            env=self.environment(TIERSTREAM_READY_FILE=str(ready_file), **environment),
            log_file=log_file,
        )
        self._children.append(child)
        check = HealthCheck(kind="ready_file", target=str(ready_file))
        await wait_healthy(child, check, name=name, log_file=log_file, timeout_s=_START_S)
        self._watched[child] = log_file
        return child

    def unwatch(self, child: Child) -> Child:
        """Let a process end without failing the test."""
        self._watched.pop(child, None)
        return child

    def check(self) -> None:
        """Fail if a watched process has ended: what it was to do will never happen."""
        for child, log_file in self._watched.items():
            assert child.exit_code is None, f"exit code {child.exit_code}: {log_file.read_text()[-4000:]}"

    async def send(self, requests: Iterable[Request]) -> None:
        """Produce requests and wait until the broker has them."""
        async with RequestProducer(self.kafka) as producer:
            for request in requests:
                await producer.send(request)

    async def results(self, ids: Collection[str], *, at_least: int | None = None) -> dict[str, Result]:
        """Wait until each of these requests, or at least so many of them, has a result."""
        wanted = set(ids)
        found: dict[str, Result] = {}
        async with RecordReader(RESULTS, self.kafka, start="beginning", keep=wanted.__contains__) as reader:
            while len(found) < (len(wanted) if at_least is None else at_least):
                self.check()
                found.update((result.request_id, result) for result in await reader.poll())
        return found

    async def settled(self, ids: Collection[str]) -> dict[str, Result]:
        """Wait for the results of these requests and for the end of all work; each has come exactly once then."""
        await self.results(ids)
        await self.quiet()
        wanted = set(ids)
        found = [result for result in await self.read(RESULTS) if result.request_id in wanted]
        once = {result.request_id: result for result in found}
        assert len(found) == len(once) == len(wanted)
        return once

    async def quiet(self) -> None:
        """Wait until no stage has work: twice in a row all that it may read is committed, and nothing was added."""
        reader = TopicReader(self.kafka)
        sources = {group: partitions_of(spec, self.kafka) for group, spec in self._sources()}
        seen: Mapping[TopicPartition, int] = {}
        deadline = time.monotonic() + _QUIET_S
        async with admin_client(self.kafka) as admin, reader.opened(chain(*sources.values())) as cursor:
            while True:
                ends, behind = await cursor.ends(), []
                for group, tps in sources.items():
                    behind += await _behind(admin, reader, group, {tp: ends[tp] for tp in tps})
                if not behind and ends == seen:
                    return
                seen = ends
                self.check()
                assert time.monotonic() < deadline, f"still behind after {_QUIET_S:g} s: {behind}"
                await asyncio.sleep(_POLL_S)

    @property
    def partitions(self) -> range:
        """The partitions of every topic."""
        return range(self.kafka.partitions)

    async def members(self, stage: str) -> int:
        """Return how many processes a stage's group has, or 0 while it is rebalancing."""
        async with admin_client(self.kafka) as admin:
            [answer] = await admin.describe_consumer_groups([self.settings.group(stage)])
        _, _, state, _, _, members, *_ = answer.groups[0]
        return len(members) if state == "Stable" else 0

    async def read(self, spec: TopicSpec[M]) -> list[M]:
        """Return the committed records of a topic, in order within each partition."""
        reader = TopicReader(self.kafka)
        return [
            decode(spec, record.value, record.headers).record
            for tp in partitions_of(spec, self.kafka)
            async for record in reader.read(tp)
        ]

    async def journal(self) -> "JournalRecords":
        """Read the journal of paid calls."""
        return JournalRecords(await self.read(CALLS))

    def _sources(self) -> Iterable[tuple[str, TopicSpec[Any]]]:
        for stage in STAGES:
            for instance in stage.instances(self.settings):
                yield self.settings.group(instance.name), instance.source
        yield self.settings.group(PARKING), PARKED
        yield self.settings.group(SETTLE), OUTCOMES


class JournalRecords:
    """The journal as it was read, in order within each attempt."""

    def __init__(self, records: list[CallStarted | CallEnded]) -> None:
        self.records = records
        self.started = {record.call_id: record for record in records if isinstance(record, CallStarted)}
        self.ended = {record.call_id: record for record in records if isinstance(record, CallEnded)}

    @property
    def on_the_wire(self) -> set[str]:
        """Ids of the calls that started and have not ended."""
        return {str(call) for call in self.started.keys() - self.ended.keys()}

    def assert_paid_once(self, served: Collection[str]) -> None:
        """No call leaves for an attempt whose end was recorded before it started, and none ends that did not start.

        Args:
            served: Ids of the calls that the providers saw; one that was journalled and held back was not paid.
        """
        finished = set()
        for record in self.records:
            if isinstance(record, CallEnded):
                assert record.call_id in self.started
                finished.add(record.attempt_id)
            elif str(record.call_id) in served:
                assert record.attempt_id not in finished, f"{record.stage} paid again for {record.request_id}"


def clean_environment() -> dict[str, str]:
    """Return the environment without what would turn a process of a test towards another stack or real providers."""
    foreign = ("TIERSTREAM_", "KAFKA_", "CLICKHOUSE_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(foreign) and not name.endswith("_API_KEY")
    }


async def _behind(
    admin: AIOKafkaAdminClient, reader: TopicReader, group: str, ends: Mapping[TopicPartition, int]
) -> list[str]:
    """Say of which partitions a group has not committed all that it may read, and where it stands."""
    committed = await admin.list_consumer_group_offsets(group)
    behind = []
    for tp, end in ends.items():
        at = committed[tp].offset if tp in committed else 0
        # What was aborted and the markers of transactions are never read, and so never committed at the end of a log.
        if at < end and await reader.next_record(tp, max(at, 0)) is not None:
            behind.append(f"{group} at {at} of {end} in {tp.topic}-{tp.partition}")
    return behind
