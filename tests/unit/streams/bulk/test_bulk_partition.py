"""A partition of bulk tasks: who waits, what is submitted, and how each submission goes on."""

import pytest
from support.bulk_world import HOUR, TP, BulkWorld, bulk_task, request_ids
from support.in_memory import BASE, CALL_COST, USAGE

from streams.providers.base import ErrorKind
from topics.bulk import Submitted
from topics.journal import attempt_id

R1, R2, R3 = request_ids(3)


@pytest.fixture
async def world() -> BulkWorld:
    made = BulkWorld()
    await made.start()
    return made


async def test_tasks_leave_as_one_batch_and_come_back_with_their_answers(world):
    world.put(bulk_task(R1), bulk_task(R2))
    await world.serve(2 * HOUR)
    [submission], [batch], [end] = world.submissions, world.batches.taken, world.ends
    assert batch.name == submission.submission_id == end.submission_id
    assert [member.request_id for member in submission.members] == [R1, R2]
    assert (end.status, end.answered) == ("collected", 2)
    assert [record.batch_id for record in world.of(Submitted)] == [batch.batch_id]
    for task, name in zip(world.returned, [R1, R2], strict=True):
        assert (task.request.request_id, task.waited.tier, task.tier) == (name, 1, 1)
        ended = world.end_at(task.waited.ended_at)
        assert (ended.request_id, ended.error, ended.provider_batch) == (name, None, batch.batch_id)
        assert (ended.usage, ended.cost_usd, ended.batch_size) == (USAGE, CALL_COST / 2, 2)
        assert (ended.stage, ended.n, ended.attempt_id) == ("infer:1", 0, attempt_id(name, 0, "infer:1", 0))
        assert (ended.started_at, ended.ended_at) == (submission.at, BASE.replace(hour=13))
        assert [(hop.stage, hop.outcome, hop.tier) for hop in task.hops] == [("bulk", "answered", 1)]
