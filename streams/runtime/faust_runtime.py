"""Running stages on Faust. The only module that imports Faust, which is untyped and has sharp edges.

What it relies on, and why it is shaped as it is:

- An agent with `concurrency` above 1 commits past unfinished work, and an exception that leaves an agent loses the
  record. So each stage is one agent of concurrency 1 over `noack` events that only feeds an ordered window, and the
  window acknowledges from its head.
- `ack` does not look at the generation, so records of an earlier generation are not acknowledged here.
- One app, which is one consumer group, for each stage: a rebalance or a slow tier stops nobody else.
- Outputs are published by a producer of ours and awaited, not through Faust's, which is not idempotent and
  swallows delivery errors when it flushes.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import faust
import mode
from aiokafka.errors import KafkaError, NoError, RebalanceInProgressError, for_code
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest
from faust.transport.drivers import aiokafka as driver

import streams.kafka.damaged_batches  # noqa: F401 - changes what aiokafka does
from streams.calls.journal import Journal
from streams.calls.paid_calls import PaidCalls
from streams.calls.tier_votes import TierVotes
from streams.calls.vote_model import VoteModel
from streams.config.settings import Settings
from streams.config.settings_sections import BatchingSettings
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.lease import Lease, PartitionLostError
from streams.kafka.publisher import DeliveryError, trace_of
from streams.runtime.engine import Engine
from streams.runtime.failed_records import FailedRecord
from streams.runtime.ordered_window import OrderedWindow
from streams.runtime.stage import Context, Received, RefusedError, StageInstance
from topics.base import Record
from topics.codec import DecodeError, decode
from topics.tasks import task_of

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Record)

_STOP_S = 15.0
"""Longest time to leave a group, once the work in hand has ended."""
_STOPS_THE_PROCESS = (DeliveryError, KafkaError)
"""Errors after which only a new process can go on; whatever else a handler raises becomes a dead letter."""


_BEATS = {HeartbeatRequest: (NoError, RebalanceInProgressError), SyncGroupRequest: (NoError,)}
"""What a member asks the coordinator, and with which answers it is one still."""


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


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc] # Faust is untyped
    """Faust's consumer thread: it reads committed records, and notes each answer of the coordinator."""

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401
        """Read committed records only, which Faust does in its exactly-once mode alone."""
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - read when the consumer starts
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

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

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
        super().__init__(group, **conf)

    def _create_directories(self) -> None:
        """Leave the working directory as it is: the folders are for tables, and there are none."""

    def _new_transport(self) -> Any:  # noqa: ANN401
        transport = super()._new_transport()
        transport.Consumer = _Consumer
        return transport


class StageRunner(Generic[M]):
    """Runs one stage instance until it is stopped or crashes."""

    def __init__(self, stage: StageInstance[M], engine: Engine, journal: Journal) -> None:
        self.stage = stage
        self._engine = engine
        self._journal = journal
        self._settings = engine.settings
        self._heartbeat = GroupHeartbeat(self._settings.kafka.session_timeout_s)
        self._calls = PaidCalls(
            journal=journal,
            caller=engine.caller,
            publisher=engine.publisher,
            batching=self._settings.tiers[stage.tier - 1].batching if stage.tier else BatchingSettings(),
            patience_s=self._settings.attempts.patience_s,
            clock=engine.clock,
        )
        self._votes = _votes(engine) if stage.votes else None
        self._topic = stage.source.full_name(self._settings.kafka.prefix)
        # Only what others write can be too large: our own records hold a request and what became of it.
        self._max_bytes = self._settings.kafka.request_max_bytes if stage.source.from_outside else None
        delivery = self._settings.delivery
        self._window: OrderedWindow[Any] = OrderedWindow(
            in_flight=stage.in_flight,
            span=delivery.window_span,
            max_bytes=delivery.window_bytes,
            release=self._release,
            fail=self._fail,
        )
        self._app = _new_app(self._settings, stage.name, self._heartbeat)
        self._failure: BaseException | None = None
        self._failed = asyncio.Event()
        self._assigned = asyncio.Event()

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Consume until `stop` is set, then finish what is in work and leave the group.

        Raises:
            Exception: The delivery, fencing or assignment error that ended the stage.
        """
        app = self._app
        self._declare_agent()
        app.on_partitions_assigned.connect(self._on_assigned)
        app.in_worker = True
        app.finalize()
        starting = asyncio.create_task(app.start())
        waiting = {
            "stop": asyncio.create_task(stop.wait()),
            "failed": asyncio.create_task(self._failed.wait()),
            "ready": asyncio.create_task(self._announce(on_ready)),
            "crashed": asyncio.create_task(self._watch(starting)),
        }
        try:
            await asyncio.wait(
                [task for name, task in waiting.items() if name != "ready"], return_when=asyncio.FIRST_COMPLETED
            )
            if self._failure is None and not app.crashed:
                await self._window.drain(self._settings.delivery.drain_timeout_s)
        finally:
            for task in waiting.values():
                task.cancel()
            await self._window.cancel()
            app.leaving = True
            # With the broker away aiokafka may end Faust's thread in a way that its stop then waits for, for ever.
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await app.stop()
        failure = self._failure or app.crash_reason
        if failure is not None:
            raise failure

    def _declare_agent(self) -> None:
        topic = self._app.topic(
            self._topic, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw"
        )

        async def feed(stream: Any) -> None:  # noqa: ANN401 - a faust.Stream
            async for event in stream.noack().events():
                message = event.message
                assignment = (message.partition, message.generation_id)
                size = len(message.value or b"")
                await self._window.admit(assignment, message.offset, size, event, partial(self._handle, event))

        self._app.agent(topic, name=f"{self.stage.name}", concurrency=1)(feed)

    async def _handle(self, event: Any) -> None:  # noqa: ANN401 - a faust.Event
        message = event.message
        received = Received(
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            timestamp=int(message.timestamp * 1000),
            key=message.key,
            value=message.value,
            headers=tuple(message.headers or ()),
            generation=message.generation_id,
        )
        try:
            await self._serve(received)
        except PartitionLostError as lost:
            if self._is_current(received.generation):
                raise
            log.info("%s: left to the new owner: %s", self.stage.name, lost)

    async def _serve(self, received: Received) -> None:
        """Publish what the handler makes of a record; if it can't be made or published, the end of the request."""
        failed = FailedRecord(
            self.stage.name,
            received,
            self._engine.clock(),
            rejects=self.stage.source.from_outside,
            ends_requests=self.stage.ends_requests,
            kept_bytes=self._settings.kafka.kept_bytes,
        )
        publish = partial(self._engine.publisher.publish, trace=trace_of(received.headers))
        try:
            decoded = decode(self.stage.source, received.value, received.headers, max_bytes=self._max_bytes)
        except DecodeError as error:
            await publish(failed.undecodable(error))
            return
        task = task_of(decoded.record)
        settled = self._engine.settled
        if task is not None and await settled.has_result(task, received.partition):
            await publish(settled.dropped(task))
            return
        try:
            outputs = list(await self.stage.handler(decoded.record, self._context(received, decoded.unknown_fields)))
            self.stage.check_declared(outputs)
            await publish(outputs)
        except RefusedError as error:
            await publish(failed.refused(decoded.record, error))
        except (PartitionLostError, asyncio.CancelledError, *_STOPS_THE_PROCESS):
            raise
        except Exception as error:  # noqa: BLE001 - one record must not block a partition for ever
            log.error("%s: a handler raised %s at %s", self.stage.name, type(error).__name__, received.source)  # noqa: TRY400
            await publish(failed.raised(decoded.record, error))

    def _context(self, received: Received, unknown_fields: tuple[str, ...]) -> Context:
        return Context(
            stage=self.stage.name,
            tier=self.stage.tier,
            engine=self._engine,
            calls=self._calls,
            votes=self._votes,
            received=received,
            unknown_fields=unknown_fields,
            started_at=self._engine.clock(),
            lease=Lease(
                self._heartbeat, received.partition, self.stage.name, lambda: self._is_current(received.generation)
            ),
        )

    def _is_current(self, generation: int) -> bool:
        return self._heartbeat.is_member and bool(generation == self._app.consumer_generation_id)

    def _release(self, event: Any) -> None:  # noqa: ANN401 - a faust.Event
        if self._is_current(event.message.generation_id):
            event.ack()
        else:
            # The stream keeps its latest event, and the rebalance that is under way would wait for it for ever.
            self._app.consumer.unacked.discard(event.message)

    async def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._failed.set()

    async def _on_assigned(self, app: Any, assigned: Any, **_: Any) -> None:  # noqa: ANN401, ARG002 - a Faust signal
        generation = self._app.consumer_generation_id
        self._window.retain(lambda assignment: assignment[1] == generation)  # type: ignore[index]
        self._journal.assigned()
        self._assigned.set()

    async def _announce(self, on_ready: Callable[[], None]) -> None:
        await self._assigned.wait()
        on_ready()

    async def _watch(self, starting: "asyncio.Task[Any]") -> None:
        """Return when the app has crashed: Faust notes it and lives on, so somebody has to look."""
        await starting
        while not self._app.crashed:  # noqa: ASYNC110 - Faust offers no event for it
            await asyncio.sleep(0.2)


def _votes(engine: Engine) -> TierVotes | None:
    if engine.votes is None:
        return None
    model = VoteModel(engine.settings, engine.caller, engine.gate, engine.clock)
    return TierVotes(settings=engine.settings, journal=engine.votes, model=model, clock=engine.clock)


# The services log under the module that defines them; what Faust says of its own workings is not our log.
for _service in (_App, _Consumer, _ConsumerThread):
    _service.logger = logging.getLogger("faust")


def _new_app(settings: Settings, stage: str, heartbeat: GroupHeartbeat) -> Any:  # noqa: ANN401 - a faust.App
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
