"""A batch is served to its end whatever becomes of those who serve it."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.in_memory import BASE, SETTINGS, Clock, Log, home_of, new_request

from streams.batches.batch_log import BatchLog, BatchState
from streams.batches.batch_run import BatchRun
from streams.batches.contents import Contents
from streams.batches.result_watch import ResultWatch
from streams.batches.slots import Slots
from streams.config.settings import Settings
from streams.kafka.publisher import Delivered, Output
from topics.batches import (
    Batch,
    BatchCancelled,
    BatchEnded,
    BatchLine,
    BatchLines,
    BatchProgress,
    BatchStatus,
    Refusal,
    Stretch,
)
from topics.codec import decode
from topics.feedback import Cancellation
from topics.registry import BATCHES, FILES, RESULTS
from topics.requests import Request
from topics.results import CANCELLED, Result, ResultError, ResultStatus
from topics.tasks import Source

ID = "batch_1"
IN_FLIGHT = 3
LOADED = Settings(**SETTINGS, batches={"in_flight": IN_FLIGHT, "progress_s": 1})


class SlowPublisher:
    """Takes a moment before and after each record, so that a process may end in between."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def publish(self, outputs: Sequence[Output]) -> list[Delivered]:
        delivered = []
        for output in outputs:
            await asyncio.sleep(0)
            delivered.append(self._log.append(output))
            await asyncio.sleep(0)
        return delivered


class Deployment:
    """The log with a batch on it, stages that answer when they are told to, and one process that serves the batch."""

    def __init__(self, lines: int, refused: Iterable[int] = (), stretch: int = 4) -> None:
        self.clock = Clock()
        self.log = Log(self.clock)
        self.answered: dict[str, int] = {}
        """How often each request was answered."""
        self._read = 0
        self._waiting: list[Request] = []
        self._tasks: list[asyncio.Task] = []
        self._make(lines, frozenset(refused), stretch)

    def _make(self, total: int, refused: frozenset[int], size: int) -> None:
        stretches = []
        for first in range(0, total, size):
            lines = tuple(self._line(number, refused) for number in range(first, min(first + size, total)))
            delivered = self.log.append(Output(FILES, BatchLines(batch_id=ID, first=first, lines=lines)))
            stretches.append(Stretch(first=first, offset=delivered.offset))
        self.batch = Batch(
            batch_id=ID,
            owner="",
            input_file_id="file-1",
            endpoint="/v1/chat/completions",
            request_prefix=ID,
            total=total,
            refused=len(refused),
            stretches=tuple(stretches),
            created_at=BASE,
            expires_at=BASE + timedelta(hours=24),
        )
        self.log.append(Output(BATCHES, self.batch))

    def _line(self, number: int, refused: frozenset[int]) -> BatchLine:
        if number in refused:
            return BatchLine(custom_id=f"c{number}", refusal=Refusal(status=400, code="bad", message="it is bad"))
        return BatchLine(custom_id=f"c{number}", request=new_request(request_id=f"{ID}-{number}"))

    async def start(self) -> None:
        """Have a new process serve the batch, which knows what is on the log and nothing else."""
        knowing = BatchLog(LOADED, self.log)
        watch = ResultWatch(LOADED, self.clock, self.log)
        for follow in (knowing.run, watch.run):
            ready = asyncio.Event()
            self._tasks.append(asyncio.create_task(follow(ready)))
            await ready.wait()
        self.state: BatchState = knowing.batch(ID)
        self.slots = Slots(IN_FLIGHT)
        self.run = BatchRun(
            self.state,
            settings=LOADED.batches,
            publisher=SlowPublisher(self.log),
            contents=Contents(LOADED.kafka, self.log),
            watch=watch,
            slots=self.slots,
            clock=self.clock,
        )
        if self.state.ended is None:
            self._tasks.append(asyncio.create_task(self.run.run()))
        await self.settle_down()

    async def crash(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    async def settle_down(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    async def look(self) -> None:
        self.clock.advance(2)
        if not self.has_ended:
            await self.run.look()
        await self.settle_down()

    async def answer(self, most: int, status: ResultStatus = ResultStatus.OK) -> None:
        """Answer some requests, and have everybody come to rest."""
        self.answer_now(most, status)
        await self.settle_down()

    def answer_now(self, most: int, status: ResultStatus = ResultStatus.OK) -> None:
        """Answer some requests in the order in which they came; copies of answered ones are dropped."""
        self._take_in()
        for _ in range(most):
            if not self._waiting:
                break
            request = self._waiting.pop(0)
            self._publish(request.request_id, status)

    def _take_in(self) -> None:
        published = self.log.published
        new, self._read = published[self._read :], len(published)
        cancelled = {record.request_id for record in published if isinstance(record, Cancellation)}
        known = self.answered.keys() | {request.request_id for request in self._waiting}
        for request in (record for record in new if isinstance(record, Request)):
            if request.request_id not in known:
                known.add(request.request_id)
                self._waiting.append(request)
        for request in [one for one in self._waiting if one.request_id in cancelled]:
            self._waiting.remove(request)
            self._publish(request.request_id, ResultStatus.REJECTED)

    def _publish(self, request_id: str, status: ResultStatus) -> None:
        has_answer = status in {ResultStatus.OK, ResultStatus.DEGRADED}
        result = Result(
            request_id=request_id,
            status=status,
            content="an answer" if has_answer else None,
            error=None if has_answer else ResultError(code=CANCELLED, message="nobody waits"),
            cost_usd=0,
            source=Source(topic="llm.requests", partition=0, offset=1, timestamp_ms=0),
            latency_ms=1,
            settled_at=self.clock(),
        )
        self.answered[request_id] = self.answered.get(request_id, 0) + 1
        self.log.append(Output(RESULTS, result))

    def cancel(self) -> None:
        self.log.append(Output(BATCHES, BatchCancelled(batch_id=ID, at=self.clock())))

    async def finish(self) -> BatchEnded:
        """Have everything answered until the batch has ended."""
        for _ in range(200):
            if self.has_ended:
                return self.ended
            await self.answer(IN_FLIGHT)
            await self.look()
        raise AssertionError("the batch did not end")

    def records(self, *kinds: type) -> list:
        return [record for record in self.log.published if isinstance(record, kinds)]

    @property
    def sent(self) -> list[int]:
        return [int(request.request_id.rpartition("-")[2]) for request in self.records(Request)]

    @property
    def has_ended(self) -> bool:
        return bool(self.records(BatchEnded))

    @property
    def ended(self) -> BatchEnded:
        return self.records(BatchEnded)[0]


def check(deployment: Deployment) -> None:
    """See that what was written down covers what was sent, and that results are counted as they are."""
    allowed = 0
    for record in deployment.log.published:
        if isinstance(record, BatchProgress):
            allowed = max(allowed, record.sent)
        elif isinstance(record, Request):
            assert int(record.request_id.rpartition("-")[2]) < allowed
    stored = deployment.log.stored
    results = [
        decode(RESULTS, record.value, record.headers).record
        for (topic, _), records in stored.items()
        if topic == "llm.results"
        for record in records
    ]
    ended, total = deployment.ended, deployment.batch.total
    assert set(deployment.answered.values()) <= {1}
    assert ended.completed == sum(result.status is ResultStatus.OK for result in results)
    assert ended.completed + ended.failed == total


async def served(lines: int, **more) -> Deployment:
    deployment = Deployment(lines, **more)
    await deployment.start()
    return deployment


async def test_lines_go_out_a_few_at_a_time():
    deployment = await served(10)
    assert deployment.sent == [0, 1, 2]
    await deployment.answer(2)
    assert deployment.sent == [0, 1, 2, 3, 4]


async def test_a_batch_ends_when_every_line_has_its_result():
    deployment = await served(10)
    ended = await deployment.finish()
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.COMPLETED, 10, 0)
    assert deployment.sent == list(range(10))
    check(deployment)


async def test_results_without_an_answer_have_failed():
    deployment = await served(4)
    await deployment.answer(1, ResultStatus.EXPIRED)
    await deployment.answer(1, ResultStatus.DEGRADED)
    ended = await deployment.finish()
    assert (ended.completed, ended.failed) == (3, 1)
    assert 0 < ended.failed_bytes < ended.completed_bytes


async def test_refused_lines_are_not_sent_and_have_failed():
    deployment = await served(5, refused=(0, 3))
    ended = await deployment.finish()
    assert deployment.sent == [1, 2, 4]
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.COMPLETED, 3, 2)


async def test_a_batch_of_refused_lines_alone_ends_at_once():
    deployment = await served(2, refused=(0, 1))
    assert (deployment.ended.completed, deployment.ended.failed) == (0, 2)


async def test_progress_is_told_now_and_then():
    deployment = await served(10)
    await deployment.answer(2)
    assert [progress.completed for progress in deployment.records(BatchProgress)] == [0]
    await deployment.look()
    [_, told] = deployment.records(BatchProgress)
    assert (told.completed, told.failed) == (2, 0)
    await deployment.look()
    assert len(deployment.records(BatchProgress)) == 2


async def test_the_next_owner_sends_what_may_be_under_way_and_nothing_that_has_its_result():
    deployment = await served(10)
    await deployment.answer(2)
    await deployment.look()
    await deployment.crash()
    await deployment.answer(1)
    before = len(deployment.sent)
    await deployment.start()
    assert deployment.sent[before:] == [3, 4, 5]
    await deployment.finish()
    check(deployment)


async def test_results_that_were_written_down_are_not_read_again():
    deployment = await served(10)
    await deployment.answer(2)
    await deployment.look()
    await deployment.crash()
    deployment.log.reads.clear()
    await deployment.start()
    assert sum(count for count, _ in deployment.log.reads) == 0


async def test_cancelling_calls_off_what_is_under_way():
    deployment = await served(10)
    await deployment.answer(1)
    deployment.cancel()
    await deployment.settle_down()
    await deployment.look()
    assert sorted(record.request_id for record in deployment.records(Cancellation)) == [f"{ID}-{n}" for n in (1, 2, 3)]
    assert not deployment.has_ended
    ended = await deployment.finish()
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.CANCELLED, 1, 9)
    assert deployment.sent == [0, 1, 2, 3]
    check(deployment)


async def test_who_takes_a_cancelled_batch_over_sends_what_may_be_under_way_behind_its_cancellation():
    deployment = await served(10)
    await deployment.crash()
    deployment.cancel()
    await deployment.start()
    before = len(deployment.log.published)
    await deployment.look()
    kinds = [type(record) for record in deployment.log.published[before:] if not isinstance(record, BatchProgress)]
    assert kinds == sorted(kinds, key=lambda kind: kind is Request)
    ended = await deployment.finish()
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.CANCELLED, 0, 10)


async def test_a_batch_whose_day_is_over_expires():
    deployment = await served(10)
    await deployment.answer(2)
    deployment.clock.advance(24 * 3600)
    await deployment.look()
    ended = await deployment.finish()
    assert (ended.status, ended.completed, ended.failed) == (BatchStatus.EXPIRED, 2, 8)


async def test_a_batch_does_not_wait_for_ever_for_what_never_comes():
    deployment = await served(3)
    await deployment.answer(2)
    deployment.clock.advance(24 * 3600)
    await deployment.look()
    assert not deployment.has_ended
    deployment.clock.advance(3600)
    await deployment.look()
    assert (deployment.ended.status, deployment.ended.completed) == (BatchStatus.EXPIRED, 2)


async def test_who_learns_that_somebody_else_has_ended_a_batch_sends_no_more():
    deployment = await served(9)
    end = BatchEnded(batch_id=ID, status=BatchStatus.CANCELLED, completed=0, failed=9, at=BASE)
    deployment.log.append(Output(BATCHES, end))
    await deployment.settle_down()
    await deployment.answer(3)
    assert deployment.sent == [0, 1, 2]


async def test_a_batch_whose_lines_are_no_longer_kept_expires():
    deployment = Deployment(10)
    deployment.log.stored["llm.files", home_of(ID)].clear()
    await deployment.start()
    assert (deployment.ended.status, deployment.ended.failed) == (BatchStatus.EXPIRED, 10)


async def test_room_is_given_back_when_a_run_ends():
    deployment = await served(10)
    assert deployment.slots._free == 0
    await deployment.crash()
    assert deployment.slots._free == IN_FLIGHT


async def test_a_batch_that_ended_twice_ended_the_first_time():
    deployment = await served(1)
    await deployment.finish()
    deployment.log.append(Output(BATCHES, deployment.ended.model_copy(update={"completed": 7})))
    await deployment.settle_down()
    assert deployment.state.ended.completed == 1


async def take(step: str, deployment: Deployment) -> None:
    match step:
        case "answer":
            deployment.answer_now(1)
        case "answer two":
            deployment.answer_now(2)
        case "fail":
            deployment.answer_now(1, ResultStatus.FAILED)
        case "look":
            await deployment.look()
        case "crash":
            await deployment.crash()
            await deployment.start()
        case "cancel":
            deployment.cancel()


STEPS = st.lists(
    st.sampled_from(("answer", "answer two", "fail", "look", "crash", "wait", "cancel")), min_size=3, max_size=25
)


@settings(max_examples=examples(150), deadline=None)
@given(
    lines=st.integers(0, 12),
    refused=st.frozensets(st.integers(0, 11)),
    stretch=st.integers(1, 5),
    steps=STEPS,
    yields=st.integers(0, 12),
)
def test_whatever_happens_each_line_is_answered_once_and_counted(lines, refused, stretch, steps, yields):
    async def scenario() -> None:
        deployment = await served(lines, refused={number for number in refused if number < lines}, stretch=stretch)
        for step in steps:
            await take(step, deployment)
            for _ in range(yields if step == "wait" else 0):
                await asyncio.sleep(0)
        await deployment.finish()
        await deployment.crash()
        check(deployment)

    asyncio.run(scenario())


@pytest.mark.parametrize("most", [1, 5])
async def test_slots_are_taken_in_turn(most):
    slots = Slots(2)
    assert await slots.take(most) == min(most, 2)
    slots.overdraw(3)
    waiting = asyncio.create_task(slots.take(9))
    await asyncio.sleep(0)
    slots.give(3)
    slots.give(min(most, 2))
    assert 0 < await waiting <= 2
