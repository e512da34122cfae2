"""What is known of files and batches, from their records alone."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

from support.in_memory import BASE, SETTINGS, Clock, Log, Stored, home_of

from streams.batches.batch_log import BatchLog
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from topics.base import Record
from topics.batches import Batch, BatchCancelled, BatchEnded, BatchError, BatchProgress, BatchStatus, File, FileDeleted
from topics.registry import BATCHES

LOADED = Settings(**SETTINGS)


def batch(batch_id: str = "batch_1", owner: str = "ann", after_s: int = 0) -> Batch:
    return Batch(
        batch_id=batch_id,
        owner=owner,
        input_file_id="file-1",
        endpoint="/v1/messages",
        request_prefix=batch_id,
        total=9,
        stretches=(),
        created_at=BASE + timedelta(seconds=after_s),
        expires_at=BASE + timedelta(days=1),
    )


def file(file_id: str = "file-1", owner: str = "ann") -> File:
    return File(file_id=file_id, owner=owner, filename="in.jsonl", size=4, offsets=(0,), created_at=BASE)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.log = Log(self.clock)
        self.known = BatchLog(LOADED, self.log)

    def write(self, *records: Record) -> None:
        for record in records:
            self.log.append(Output(BATCHES, record))

    @asynccontextmanager
    async def following(self):
        ready = asyncio.Event()
        task = asyncio.create_task(self.known.run(ready))
        await ready.wait()
        yield self.known
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def progress(**fields) -> BatchProgress:
    known = {"batch_id": "batch_1", "sent": 0, "completed": 0, "failed": 0, "results_read": (0, 0)}
    return BatchProgress(**known | fields)


async def test_all_that_was_written_before_is_known_when_it_is_ready():
    world = World()
    world.write(batch(), file())
    async with world.following() as known:
        assert known.batch("batch_1").batch == batch()
        assert known.file("file-1") == file()


async def test_what_several_owners_wrote_is_put_together():
    world = World()
    world.write(
        batch(),
        progress(sent=8, completed=3, answers_at=(1,), results_read=(5, 1)),
        progress(sent=4, completed=2, failed=1, answers_at=(2, 3), results_read=(4, 7)),
    )
    async with world.following() as known:
        state = known.batch("batch_1")
    assert (state.sent, state.completed, state.failed) == (8, 3, 1)
    assert (state.answers_at, state.results_read) == ([1, 2, 3], (5, 7))


async def test_the_first_end_and_the_first_cancellation_count():
    world = World()
    ends = [
        BatchEnded(batch_id="batch_1", status=status, completed=0, failed=9, at=BASE)
        for status in (BatchStatus.CANCELLED, BatchStatus.EXPIRED)
    ]
    moments = [BASE, BASE + timedelta(seconds=1)]
    world.write(batch(), *(BatchCancelled(batch_id="batch_1", at=at) for at in moments), *ends)
    async with world.following() as known:
        state = known.batch("batch_1")
        assert (state.cancelled_at, state.ended.status) == (BASE, BatchStatus.CANCELLED)
        assert list(known.open_in([home_of("batch_1")])) == []


async def test_a_batch_whose_file_is_wrong_has_ended_from_the_beginning():
    world = World()
    errors = (BatchError(code="empty_file", message="the file has no lines"),)
    world.write(batch().model_copy(update={"errors": errors}))
    async with world.following() as known:
        assert known.batch("batch_1").ended.status is BatchStatus.FAILED
        assert list(known.open_in(range(6))) == []


async def test_open_batches_are_those_of_their_partitions():
    world = World()
    world.write(batch())
    others = set(range(6)) - {home_of("batch_1")}
    async with world.following() as known:
        assert [state.batch.batch_id for state in known.open_in([home_of("batch_1")])] == ["batch_1"]
        assert list(known.open_in(others)) == []


async def test_everybody_finds_their_own_the_newest_first():
    world = World()
    world.write(batch("batch_1"), batch("batch_2", after_s=5), batch("batch_3", "bob"), file(), file("file-2", "bob"))
    async with world.following() as known:
        assert [state.batch.batch_id for state in known.batches("ann")] == ["batch_2", "batch_1"]
        assert [one.file_id for one in known.files("bob")] == ["file-2"]


async def test_a_deleted_file_is_not_there():
    world = World()
    world.write(file(), FileDeleted(file_id="file-1", at=BASE))
    async with world.following() as known:
        assert known.file("file-1") is None
        assert known.is_deleted("file-1")


async def test_what_the_topic_keeps_no_longer_is_forgotten():
    world = World()
    world.write(batch(), file(), FileDeleted(file_id="file-9", at=BASE))
    async with world.following() as known:
        world.clock.advance(8 * 24 * 3600)
        world.write(batch("batch_2"))
        await known.catch_up()
        assert [state.batch.batch_id for state in known.batches()] == ["batch_2"]
        assert known.files("ann") == []
        assert not known.is_deleted("file-9")


async def test_what_can_not_be_read_and_what_is_of_no_batch_is_passed_over():
    world = World()
    world.write(progress())
    async with world.following() as known:
        known.note(Stored(0, 0, b"batch_1", b"{nonsense", ()))
        assert known.batch("batch_1") is None


async def test_who_wrote_a_record_knows_it_once_it_is_reached():
    world = World()
    async with world.following() as known:
        delivered = world.log.append(Output(BATCHES, batch()))
        await known.reach("batch_1", delivered.offset)
        assert known.batch("batch_1") is not None
