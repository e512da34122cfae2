"""Faust's app, consumer and consumer thread, made fit for stages. The only module that imports Faust, which is untyped.

One app, which is one consumer group, for each stage: a rebalance or a slow tier stops nobody else.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import faust
import mode
from aiokafka.errors import NoError, RebalanceInProgressError, for_code
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from faust.transport.drivers import aiokafka as driver

import streams.kafka.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.config.settings import Settings
from streams.kafka.group_consumer import FETCHER_LOOKS_MS, places_of
from streams.kafka.heartbeat import GroupHeartbeat
from streams.telemetry.progress import PartitionName, Place

_BEATS = {HeartbeatRequest: (NoError, RebalanceInProgressError), SyncGroupRequest: (NoError,)}
"""What a member asks the coordinator, and with which answers it is one still."""

_RECORD_OR_SUSPENSION = 2


def _listen(heartbeat: GroupHeartbeat, coordinator: Any) -> None:  # noqa: ANN401 - aiokafka's, untyped
    """Have the heartbeat told of what the coordinator answers to a member.

    The sync that ends a join counts too: the first heartbeat comes only seconds after an assignment.
    """
    send = coordinator._send_req  # noqa: SLF001

    async def sending(request: Any) -> Any:  # noqa: ANN401
        asked_at = time.monotonic()
        response = await send(request)
        expected = _BEATS.get(type(request))
        if expected is not None and for_code(response.error_code) in expected:
            heartbeat.beat(asked_at)
        return response

    coordinator._send_req = sending  # noqa: SLF001


class _ConsumerInLoop(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Faust's consumer thread without a thread: it reads committed records, and notes each answer of the coordinator.

    In a thread of its own each fetch would be handed over twice, and each time a busy loop would keep the interpreter
    for some milliseconds. Six of them also wake up twice a second to see whether the others are alive.
    """

    def __init__(self, consumer: Any, **options: Any) -> None:  # noqa: ANN401 - Faust's own
        super().__init__(consumer, thread_loop=asyncio.get_running_loop(), **options)

    async def start(self) -> None:
        """Start here and now; a broker that can't be reached is an error here too."""
        self._thread_started.set()
        await self._default_start()

    async def stop(self) -> None:
        """Leave the group, once."""
        if self._started.is_set() and not self._stopped.is_set():
            self._stopped.set()
            await self._shutdown_thread()

    async def call_thread(self, fun: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Call it: there is no thread to go to."""
        result = fun(*args, **options)
        return await result if inspect.isawaitable(result) else result

    async def on_partitions_revoked(self, revoked: Any) -> None:  # noqa: ANN401
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: Any, generation_id: int = 0) -> None:  # noqa: ANN401
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    @mode.Service.task  # type: ignore[untyped-decorator] # Faust is untyped
    async def _thread_keepalive(self) -> None:
        """Do nothing: the loop is that of everybody."""

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401
        """Read committed records only, which Faust does in its exactly-once mode alone, and rest in between."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - read when the consumer starts
        consumer._consumer_timeout = FETCHER_LOOKS_MS / 1000  # noqa: SLF001 - so is this
        return consumer

    async def _fetch_records(self, consumer: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        """Fetch, and note how far that went: behind the last record there may be some that nobody gets."""
        records = await super()._fetch_records(consumer, *args, **options)
        assignment = consumer._subscription.subscription.assignment  # noqa: SLF001 - `position` may wait
        states = {tp: assignment.state_value(tp) for tp in assignment.tps} if assignment else {}
        positions = {tp: state.position for tp, state in states.items() if state and state.has_valid_position}
        self.consumer.fetched = _Fetched(sum(map(len, records.values())), positions)
        return records

    async def on_start(self) -> None:
        await super().on_start()
        heartbeat: GroupHeartbeat = self.app.heartbeat
        coordinator = self._consumer._coordinator  # noqa: SLF001 - aiokafka has no public hook for its group
        _listen(heartbeat, coordinator)
        heartbeat.watch(lambda: bool(coordinator.member_id != JoinGroupRequest.UNKNOWN_MEMBER_ID))

    async def seek_to_committed(self) -> Any:  # noqa: ANN401 - offsets by Faust's kind of partition
        """Seek every partition, also those of which nothing is committed, and say where each of them begins.

        aiokafka leaves those where they are. What Faust had fetched and dropped in a rebalance would be passed over
        then, and the next commit would make it the past. And where Faust is not told where a partition begins, it
        sees no gap before the first record: once a commit has come in between, it would wait for that gap for ever.
        """
        return await self.call_thread(self._seek_to_committed_or_start)

    async def _seek_to_committed_or_start(self) -> Any:  # noqa: ANN401
        consumer = self._ensure_consumer()
        offsets = dict(await consumer.seek_to_committed())
        uncommitted = [tp for tp, offset in offsets.items() if not offset]
        if uncommitted:
            starts = await consumer.beginning_offsets(uncommitted)
            for tp, start in starts.items():
                consumer.seek(tp, start)
            offsets.update(starts)
        return offsets


@dataclass(frozen=True)
class _Fetched:
    """How many records a fetch brought, and where the next one begins."""

    records: int
    positions: Mapping[Any, int]


class _Consumer(driver.Consumer):  # type: ignore[misc] # Faust is untyped
    """Faust's consumer, on partitions with offsets that hold no record for us.

    Aborted records and the marks at the ends of transactions leave such gaps. Faust fills a gap once a record
    behind it is acknowledged; at the end of a partition there is none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Faust's own
        self.fetched: _Fetched | None = None
        self._handed_on: dict[Any, int] = {}
        """The last record since the last seek, of each partition that had one."""
        self._read_to: dict[Any, int] = {}
        """The offset after all that was fetched and handed on, of each partition."""
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> _ConsumerInLoop:
        return _ConsumerInLoop(self, loop=self.loop, beacon=self.beacon)

    async def wait_first(self, *coros: Any, **options: Any) -> Any:  # noqa: ANN401
        """Await the first of several things.

        Two are a record that is handed on, and that the flow is suspended. As long as the record's stream has room
        nothing has to be waited for, and two tasks a record are saved.
        """
        is_record = len(coros) == _RECORD_OR_SUSPENSION and not options
        if not is_record or self.suspend_flow.is_set() or any(topic.queue.full() for topic in self.app.topics):
            return await super().wait_first(*coros, **options)
        handing_on, suspension = coros
        suspension.close()
        return await handing_on

    def places(self) -> dict[PartitionName, Place]:
        """Say how far the assigned partitions are, by what is committed and what the last fetches told."""
        consumer = self._thread._consumer  # noqa: SLF001 - None until it has started
        return {} if consumer is None else places_of(consumer, lambda tp: self._committed_offset.get(tp) or 0)

    async def getmany(self, timeout: float) -> Any:  # noqa: ANN401, ASYNC109 - Faust's signature
        self._forget_fetch()
        count = 0
        async for tp, message in super().getmany(timeout):
            if self._read_offset[tp] == 0 and message.offset > 1:
                # Faust takes offset 0 for none at all, and sees no gap behind it.
                await self._add_gap(tp, 1, message.offset)
            yield tp, message
            self._handed_on[tp] = message.offset
            count += 1
        fetched = self.fetched
        # Where a rebalance or a seek came in between, the records were dropped and are fetched again.
        if fetched is not None and fetched.records == count and self.flow_active:
            for tp, position in fetched.positions.items():
                self._read_to[tp] = position
                self._acked.setdefault(tp, [])  # Faust commits only partitions that it has an entry of

    async def perform_seek(self) -> None:
        self._forget_reading()
        await super().perform_seek()
        self._forget_reading()

    def _forget_fetch(self) -> None:
        self.fetched = None

    def _forget_reading(self) -> None:
        self._forget_fetch()
        self._handed_on.clear()
        self._read_to.clear()

    async def _add_gap(self, tp: Any, offset_from: int, offset_to: int) -> None:  # noqa: ANN401
        # Faust counts the record behind a gap as part of it, and could commit that one unfinished.
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def _new_offset(self, tp: Any) -> int | None:  # noqa: ANN401
        offset: int | None = super()._new_offset(tp)
        last, read_to = self._handed_on.get(tp), self._read_to.get(tp)
        reached = self._committed_offset[tp] if offset is None else offset
        is_done = last is None or (reached is not None and reached > last)
        return max(read_to, reached or 0) if read_to and is_done else offset

    async def sleep(self, n: Any, **options: Any) -> Any:  # noqa: ANN401 - Faust's own
        """Sleep, or let others have their turn, for which Faust starts two tasks as well."""
        return await (super().sleep(n, **options) if n else asyncio.sleep(0))

    @mode.Service.task  # type: ignore[untyped-decorator] # Faust is untyped
    async def _commit_handler(self) -> None:
        """Commit what is acknowledged, now and then."""
        while not self.should_stop:
            await asyncio.sleep(self.commit_interval)
            await self.commit()

    @mode.Service.task  # type: ignore[untyped-decorator] # Faust is untyped
    async def _commit_livelock_detector(self) -> None:
        """Look after nothing: a partition without progress is what a provider's minute looks like here."""

    async def wait_empty(self) -> None:
        """Wait for the work of a rebalance; not at the end.

        What the window has not admitted by then stays unacknowledged for the next owner; waiting would not end.
        """
        if not self.app.leaving:
            await super().wait_empty()


class _App(faust.App):  # type: ignore[misc] # Faust is untyped
    """An app whose consumer reports to a heartbeat."""

    def __init__(self, group: str, *, heartbeat: GroupHeartbeat, **conf: Any) -> None:  # noqa: ANN401 - Faust's settings
        self.heartbeat = heartbeat
        self.leaving = False
        self.has_crashed = asyncio.Event()
        super().__init__(group, **conf)

    def _crash(self, reason: BaseException) -> None:
        """Tell whoever watches: Faust itself lives on."""
        super()._crash(reason)
        self.has_crashed.set()

    async def on_first_start(self) -> None:
        """Go without Faust's monitor, which counts each step of each record and is never asked."""
        self.sensors.remove(self.monitor)
        self.sensors.add(faust.Sensor())
        await super().on_first_start()

    def _create_directories(self) -> None:
        """Leave the working directory as it is: the folders are for tables, and there are none."""

    def _new_transport(self) -> Any:  # noqa: ANN401
        transport = super()._new_transport()
        transport.Consumer = _Consumer
        return transport


# The services log under the module that defines them; what Faust says of its own workings is not our log.
for _service in (_App, _Consumer, _ConsumerInLoop):
    _service.logger = logging.getLogger("faust")


def new_app(settings: Settings, stage: str, heartbeat: GroupHeartbeat) -> Any:  # noqa: ANN401 - a faust.App
    """Make the app of a stage; it tells the heartbeat of each answer of the group's coordinator."""
    kafka = settings.kafka
    return _App(
        settings.group(stage),
        heartbeat=heartbeat,
        broker=[f"kafka://{server.strip()}" for server in (kafka.bootstrap_servers or "").split(",")],
        autodiscover=False,
        origin=None,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        stream_wait_empty=True,
        stream_buffer_maxsize=512,
        consumer_group_instance_id=kafka.instance,
        broker_commit_interval=kafka.commit_interval_s,
        broker_session_timeout=kafka.session_timeout_s,
        broker_heartbeat_interval=kafka.session_timeout_s / 6,
        broker_request_timeout=max(30.0, kafka.session_timeout_s + 5),
        broker_rebalance_timeout=settings.rebalance_timeout_s,
        producer_request_timeout=30.0,
        consumer_max_fetch_size=kafka.record_max_bytes,
        consumer_auto_offset_reset="earliest",
        agent_supervisor=mode.CrashingSupervisor,
        loghandlers=[],
        logging_config={"version": 1, "disable_existing_loggers": False},
    )
