"""What is cancelled or late does not wait for the end of its batch, and its call counts all the same."""

from collections import Counter

from support.bulk_world import BulkWorld, bulk_task, request_ids
from support.fake_batches import HOUR
from support.in_memory import CALL_COST, provider_error

from streams.providers.base import ErrorKind
from topics.tasks import Waited

R1, R2, R3 = request_ids(3)
HALF = CALL_COST / 2


async def test_a_cancelled_task_goes_at_once_and_its_call_counts_once_it_has_ended():
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
    await world.look()
    await world.cancel(R1)
    await world.serve(600)
    assert [(task.request.request_id, task.waited) for task in world.returned] == [(R1, Waited(tier=1))]
    assert world.batches.cancelled == []
    await world.serve(2 * HOUR)
    assert Counter(call.request_id for call in world.ended) == {R1: 1, R2: 1}
    assert all(call.cost_usd == HALF for call in world.ended)


async def test_where_all_are_cancelled_the_batch_is_called_off():
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
    await world.look()
    await world.cancel(R1, R2)
    await world.serve(1200)
    assert set(world.batches.cancelled) == {"batch_0"}
    assert [end.status for end in world.ends] == ["collected"]


async def test_what_went_back_before_it_left_keeps_nobody_waiting():
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2, request={"text": "with tools"}))
    world.batches.cant_express = lambda call: "tools" in call.prompt.messages[0].text
    await world.look()
    await world.cancel(R1)
    await world.serve(1200)
    assert set(world.batches.cancelled) == {"batch_0"}


async def test_what_is_cancelled_while_the_batch_waits_to_be_taken_is_not_made_by_the_next_owner():
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2), poll_s=30)
    world.process.writer.left = 1  # the submission
    await world.look()
    await world.cancel(R1)
    await world.restart()
    await world.serve(2 * HOUR)
    [batch] = world.batches.taken
    assert [world.request_of(custom_id) for custom_id in batch.custom_ids] == [R2]
    assert {task.request.request_id for task in world.returned} == {R1, R2}


async def test_a_call_that_was_begun_and_not_made_has_an_end():
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2), poll_s=30)
    world.batches.told = [provider_error(ErrorKind.CONNECTION)]
    await world.look()
    assert len(world.started) == 2
    await world.cancel(R1)
    await world.restart()
    await world.serve(3 * HOUR)
    [batch] = world.batches.taken
    assert [world.request_of(custom_id) for custom_id in batch.custom_ids] == [R2]
    unmade, made = sorted(world.ended, key=lambda call: call.error is None)
    assert (unmade.request_id, unmade.error.kind, unmade.cost_usd) == (R1, ErrorKind.BATCH_ENDED, 0)
    assert (made.request_id, made.provider_batch) == (R2, "batch_0")


async def test_ahead_of_the_first_deadline_the_batch_is_called_off_and_what_is_answered_counts():
    world = await BulkWorld.with_tasks(bulk_task(R1, hours=3), bulk_task(R2, hours=2.5))
    world.batches.lasts_s = 20 * HOUR
    await world.look()
    world.say(**{R1: b"in time", R2: provider_error(ErrorKind.BATCH_ENDED)})
    await world.serve(2.5 * HOUR - 301)
    assert world.batches.cancelled == []
    await world.serve(1)
    assert world.batches.cancelled == ["batch_0"]
    await world.serve(300)
    assert (world.end_of(R1).content, world.end_of(R2).error.kind) == (
        "in time",
        ErrorKind.BATCH_ENDED,
    )


async def test_what_is_late_goes_though_the_provider_does_not_end_the_batch():
    world = await BulkWorld.with_tasks(bulk_task(R1, hours=1.2), bulk_task(R2, hours=1.9))
    world.batches.lasts_s = 20 * HOUR

    async def cancel(batch_id):
        raise provider_error(ErrorKind.SERVER_ERROR)

    world.batches.cancel = cancel
    await world.serve(1.2 * HOUR + 600)
    assert [(task.request.request_id, task.waited) for task in world.returned] == [(R1, Waited(tier=1))]
    await world.serve(HOUR)
    assert [task.request.request_id for task in world.returned] == [R1, R2]
    assert world.ends == []


async def test_what_is_late_goes_though_nobody_can_read_what_came_of_the_batch():
    world = await BulkWorld.with_tasks(bulk_task(R1, hours=3))
    saved = world.batches.line_ends

    async def line_ends(_):
        raise provider_error(ErrorKind.SERVER_ERROR)
        yield

    world.batches.line_ends = line_ends
    await world.serve(3 * HOUR - 1)
    assert world.returned == []
    await world.serve(600)
    assert [(task.request.request_id, task.waited) for task in world.returned] == [(R1, Waited(tier=1))]
    world.batches.line_ends = saved
    await world.serve(600)
    assert [(call.request_id, call.cost_usd) for call in world.ended] == [(R1, HALF)]


async def test_a_cancelled_task_goes_though_the_provider_does_not_take_the_batch():
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
    world.batches.told = [provider_error(ErrorKind.OVERLOADED, status=429)] * 3
    await world.look()
    await world.cancel(R1)
    await world.serve(600)
    assert [task.request.request_id for task in world.returned] == [R1]
    assert (world.batches.taken, world.ends) == ([], [])


async def test_a_batch_that_nobody_waits_for_is_not_handed_over_again():
    world = await BulkWorld.with_tasks(bulk_task(R1))
    world.batches.told = [provider_error(ErrorKind.OVERLOADED, status=429)] * 2
    await world.look()
    await world.cancel(R1)
    await world.serve(2 * HOUR)
    assert (len(world.batches.submissions), [end.status for end in world.ends]) == (2, ["refused"])
