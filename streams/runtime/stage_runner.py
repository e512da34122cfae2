"""Running stages on Faust: records in, each handled within the window, outputs out, offsets acknowledged in order.

What it relies on, and why it is shaped as it is:

- An agent with `concurrency` above 1 commits past unfinished work, and an exception that leaves an agent loses the
  record. So each stage is one agent of concurrency 1 over `noack` events that only feeds an ordered window, and the
  window acknowledges from its head.
- `ack` does not look at the generation, so records of an earlier generation are not acknowledged here.
- Outputs are published by a producer of ours and awaited, not through Faust's, which is not idempotent and
  swallows delivery errors when it flushes.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from aiokafka.errors import KafkaError

from streams.calls.journal import Journal
from streams.calls.paid_calls import PaidCalls
from streams.calls.tier_votes import TierVotes
from streams.calls.vote_model import VoteModel
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.lease import Lease, PartitionLostError
from streams.kafka.publisher import Delivered, DeliveryError, trace_of
from streams.runtime.engine import Engine
from streams.runtime.failed_records import FailedRecord
from streams.runtime.faust_app import new_app
from streams.runtime.ordered_window import OrderedWindow
from streams.runtime.stage import Context, Outputs, Received, RefusedError, StageInstance
from streams.telemetry.log_context import note_work
from streams.telemetry.progress import PartitionName, Place
from topics.base import Record
from topics.codec import Decoded, DecodeError, decode
from topics.tasks import task_of

if TYPE_CHECKING:
    from streams.telemetry.tracing import StepSpan

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Record)

_STOP_S = 15.0
"""Longest time to leave a group, once the work in hand has ended."""
_Publish = Callable[[Outputs], Awaitable[list[Delivered]]]
_NO_ERRORS: Final = frozenset({"ok", "dropped", "refused"})
"""What may come of a record without anything being wrong on our side."""
_STOPS_THE_PROCESS = (DeliveryError, KafkaError)
"""Errors after which only a new process can go on; whatever else a handler raises becomes a dead letter."""


class StageRunner(Generic[M]):
    """Runs one stage instance until it is stopped or crashes."""

    is_resting: Final = False

    def __init__(self, stage: StageInstance[M], engine: Engine, journal: Journal) -> None:
        self.stage = stage
        self._engine = engine
        self._journal = journal
        self._settings = engine.settings
        self._group = self._settings.group(stage.name)
        self._heartbeat = GroupHeartbeat(self._settings.kafka.session_timeout_s)
        self._calls = PaidCalls(
            journal=journal,
            caller=engine.caller,
            publisher=engine.publisher,
            batching=self._settings.batching(stage.name),
            patience_s=self._settings.attempts.patience_s,
            clock=engine.clock,
            budgets=engine.budgets,
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
        self._app = new_app(self._settings, stage.name, self._heartbeat)
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
            # With the broker away aiokafka may take for ever to leave the group.
            with contextlib.suppress(asyncio.CancelledError, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await app.stop()
        failure = self._failure or app.crash_reason
        if failure is None and starting.done() and not starting.cancelled():
            # What keeps Faust from starting is raised by the start alone.
            failure = starting.exception()
        if failure is not None:
            raise failure

    def places(self) -> Mapping[PartitionName, Place]:
        """Say how far the partitions are that are ours, by what is committed."""
        if not self._assigned.is_set():
            # Who asks for the consumer before Faust has started makes one.
            return {}
        found: dict[PartitionName, Place] = self._app.consumer.places()
        return found

    @property
    def window(self) -> OrderedWindow[Any]:
        """What is in work."""
        return self._window

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
        metrics = self._engine.telemetry.metrics
        began = 0.0 if metrics is None else time.perf_counter()
        try:
            outcome = await self._traced(received)
        except PartitionLostError as lost:
            if self._is_current(received.generation):
                raise
            log.info("%s: left to the new owner: %s", self.stage.name, lost)
            outcome = "lost"
        if metrics is not None:
            metrics.record_done(self.stage.name, outcome, time.perf_counter() - began)

    async def _traced(self, received: Received) -> str:
        """Serve a record, within a span where spans are wanted; return what came of it in a word."""
        trace, tracing = trace_of(received.headers), self._engine.telemetry.tracing
        if tracing is None:
            return await self._serve(received, trace, None)
        with tracing.processing(
            self.stage.name, received.topic, received.partition, received.offset, group=self._group, parent=trace
        ) as span:
            outcome = await self._serve(received, span.traceparent, span)
            span.note_outcome(outcome, None if outcome in _NO_ERRORS else outcome)
            return outcome

    async def _serve(self, received: Received, trace: bytes | None, span: "StepSpan | None") -> str:
        """Publish what the handler makes of a record; if it can't be made or published, the end of the request."""
        publish = partial(self._engine.publisher.publish, trace=trace)
        try:
            decoded = decode(self.stage.source, received.value, received.headers, max_bytes=self._max_bytes)
        except DecodeError as error:
            await publish(self._failed_record(received).undecodable(error))
            return "undecodable"
        request_id = decoded.record.partition_key
        note_work(self.stage.name, request_id, trace)
        if span is not None:
            span.note_request(request_id)
        task = task_of(decoded.record)
        settled = self._engine.settled
        if task is not None and await settled.has_result(task, received.partition):
            await publish(settled.dropped(task, self.stage.name))
            return "dropped"
        return await self._handle_decoded(received, decoded, publish)

    async def _handle_decoded(self, received: Received, decoded: Decoded[M], publish: _Publish) -> str:
        try:
            outputs = list(await self.stage.handler(decoded.record, self._context(received, decoded.unknown_fields)))
            self.stage.check_declared(outputs)
            await publish(outputs)
        except RefusedError as error:
            await publish(self._failed_record(received).refused(decoded.record, error))
            return "refused"
        except (PartitionLostError, asyncio.CancelledError, *_STOPS_THE_PROCESS):
            raise
        except Exception as error:  # noqa: BLE001 - one record must not block a partition for ever
            log.error("%s: a handler raised %s at %s", self.stage.name, type(error).__name__, received.source)  # noqa: TRY400
            await publish(self._failed_record(received).raised(decoded.record, error))
            return "raised"
        return "ok"

    def _failed_record(self, received: Received) -> FailedRecord:
        return FailedRecord(
            self.stage.name,
            received,
            self._engine.clock(),
            rejects=self.stage.source.from_outside,
            ends_requests=self.stage.ends_requests,
            kept_bytes=self._settings.kafka.kept_bytes,
        )

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
        """Return when the app has crashed; what its start raises is raised here."""
        await starting
        await self._app.has_crashed.wait()


def _votes(engine: Engine) -> TierVotes | None:
    if engine.votes is None:
        return None
    model = VoteModel(engine.settings, engine.caller, engine.gate, engine.clock)
    return TierVotes(
        settings=engine.settings, journal=engine.votes, model=model, clock=engine.clock, budgets=engine.budgets
    )
