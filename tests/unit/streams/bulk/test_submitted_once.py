"""A batch is billed each time that it is submitted, so it is submitted once, whatever is lost on the way."""

import asyncio
from datetime import timedelta

import pytest
from support.bulk_world import BulkWorld, bulk_task, come_to_rest, request_ids
from support.fake_batches import HOUR, Arrives
from support.in_memory import BASE, provider_error

from streams.kafka.publisher import DeliveryError
from streams.providers.base import ErrorKind
from streams.providers.batches import NotSubmittedError, UndecidedError
from topics.bulk import SubmissionEnded, Submitted
from topics.journal import CallEnded, CallStarted
from topics.tasks import TierTask, Waited

R1, R2, R3 = request_ids(3)
LOST = provider_error(ErrorKind.CUT)
BUSY = provider_error(ErrorKind.OVERLOADED, status=429)


@pytest.fixture
async def world() -> BulkWorld:
    made = BulkWorld(poll_s=30)
    await made.start()
    return made


async def test_nobody_looks_for_what_is_new(world):
    world.put(bulk_task(R1))
    await world.look()
    assert (world.batches.submissions, world.batches.looks) == ([world.submissions[0].submission_id], [])


async def test_the_calls_are_journalled_before_it_leaves(world):
    world.batches.gate = asyncio.Event()
    world.put(bulk_task(R1), bulk_task(R2))
    await world.look()
    assert [(call.request_id, call.n, call.provider, call.model) for call in world.started] == [
        (R1, 0, "fast", "a"),
        (R2, 0, "fast", "a"),
    ]
    assert world.batches.taken == []
    world.batches.gate.set()
    await come_to_rest()
    assert len(world.batches.taken) == 1


@pytest.mark.parametrize(
    "error",
    [
        provider_error(ErrorKind.BAD_REQUEST, status=400),
        provider_error(ErrorKind.BAD_KEY, status=401),
        NotSubmittedError(ErrorKind.BAD_REQUEST, "the file was refused", status=413),
    ],
)
async def test_what_is_refused_goes_back_at_once(world, error):
    world.batches.told = [error]
    world.put(bulk_task(R1), bulk_task(R2))
    await world.look()
    [end] = world.ends
    assert (end.status, end.answered, end.detail) == ("refused", 0, str(error))
    for task in world.returned:
        ended = world.end_at(task.waited.ended_at)
        assert (ended.error.kind, ended.provider_batch, ended.cost_usd) == (ErrorKind.BATCH_ENDED, None, 0)
    assert (len(world.returned), len(world.batches.submissions), world.batches.looks) == (2, 1, [])


@pytest.mark.parametrize("error", [BUSY, provider_error(ErrorKind.CONNECTION)])
async def test_what_tends_to_pass_is_waited_for(world, error):
    world.batches.told = [error, error]
    world.put(bulk_task(R1))
    await world.serve(29)
    assert len(world.batches.submissions) == 1
    await world.serve(31)
    assert (len(world.batches.submissions), len(world.batches.taken), world.batches.looks) == (3, 1, [])
    assert set(world.batches.submissions) == {world.submissions[0].submission_id}
    assert len(world.started) == 1


async def test_what_does_not_pass_in_time_goes_back(world):
    world.batches.told = [BUSY] * 10_000
    world.put(bulk_task(R1, hours=1))
    await world.serve(HOUR - 301)
    assert world.ends == []
    await world.serve(1)
    assert [end.status for end in world.ends] == ["refused"]
    assert [task.request.request_id for task in world.returned] == [R1]


async def test_a_lost_answer_is_looked_for_and_found(world):
    world.batches.told = [Arrives(LOST)]
    world.put(bulk_task(R1))
    await world.look()
    assert [(one.batch_id, one.found) for one in world.of(Submitted)] == [("batch_0", True)]
    await world.serve(2 * HOUR)
    assert (len(world.batches.submissions), [end.status for end in world.ends]) == (1, ["collected"])


async def test_it_is_looked_for_until_it_would_have_arrived(world):
    world.batches.told = [Arrives(LOST, visible_after_s=149)]
    world.put(bulk_task(R1))
    await world.serve(150)
    assert [(at - BASE).total_seconds() for at in world.batches.looks] == [0, 30, 60, 90, 120, 150]
    assert (len(world.batches.taken), len(world.of(Submitted))) == (1, 1)


async def test_what_has_not_arrived_in_time_is_submitted_anew(world):
    world.batches.told = [LOST]
    world.put(bulk_task(R1))
    await world.serve(150)
    assert (len(world.batches.submissions), world.batches.taken) == (1, [])
    await world.serve(30)
    assert (len(world.batches.submissions), len(world.batches.taken)) == (2, 1)
    assert [one.found for one in world.of(Submitted)] == [False]


async def test_an_undecided_provider_is_waited_for(world):
    world.batches.told = [Arrives(LOST)]
    world.batches.doubts = [UndecidedError("two are open")] * 10 + [provider_error(ErrorKind.SERVER_ERROR)]
    world.put(bulk_task(R1))
    await world.serve(11 * 30)
    assert (len(world.batches.submissions), len(world.of(Submitted))) == (1, 1)


async def test_who_took_over_before_anything_left_submits_it(world):
    world.process.writer.left = 1  # the submission
    world.put(bulk_task(R1))
    await world.look()
    with pytest.raises(DeliveryError):
        await world.look()
    assert (len(world.submissions), world.started, world.batches.submissions) == (1, [], [])
    await world.restart()
    await world.serve(3 * HOUR)
    assert [end.status for end in world.ends] == ["collected"]
    assert (len(world.batches.taken), [task.request.request_id for task in world.returned]) == (1, [R1])


async def test_who_took_over_behind_a_batch_that_nobody_told_of_finds_it(world):
    world.process.writer.left = 2  # the submission, and the start of the call
    world.put(bulk_task(R1))
    await world.look()
    with pytest.raises(DeliveryError):
        await world.look()
    assert (len(world.batches.taken), world.of(Submitted)) == (1, [])
    await world.restart()
    await world.look()
    assert [(one.batch_id, one.found) for one in world.of(Submitted)] == [("batch_0", True)]
    await world.serve(2 * HOUR)
    assert (len(world.batches.submissions), len(world.returned)) == (1, 1)


async def test_who_took_over_behind_its_word_asks_the_provider_about_it(world):
    world.put(bulk_task(R1))
    await world.look()
    await world.restart()
    await world.serve(2 * HOUR)
    assert (world.batches.looks, len(world.batches.submissions), len(world.returned)) == ([], 1, 1)


async def test_who_leaves_lets_arrive_what_is_on_the_wire(world):
    world.batches.gate = asyncio.Event()
    world.put(bulk_task(R1))
    await world.look()
    leaving = asyncio.create_task(world.process.partition.leave())
    await come_to_rest()
    assert not leaving.done()
    world.batches.gate.set()
    await leaving
    assert len(world.of(Submitted)) == 1


async def test_ids_of_a_call_are_the_same_after_a_restart(world):
    world.process.writer.left = 2
    world.put(bulk_task(R1))
    await world.look()
    await world.restart()
    await world.serve(3 * HOUR)
    [ended] = world.ended
    assert {call.call_id for call in world.started} == {ended.call_id}
    assert {call.started_at for call in world.started} == {ended.started_at}


async def test_what_only_its_calls_tell_is_found_though_some_of_them_were_not_made(world):
    """Of those that were gathered some may go back before anything leaves: the batch does not have them."""
    world.batches.knows_ids_only = True
    world.batches.told = [Arrives(LOST)]
    world.batches.cant_express = lambda call: "tools" in call.prompt.messages[0].text
    world.put(bulk_task(R1), bulk_task(R2, request={"text": "with tools"}), bulk_task(R3))
    await world.serve(3 * HOUR)
    assert (len(world.batches.submissions), len(world.returned)) == (1, 3)
    assert len(world.batches.taken[0].custom_ids) == 2


async def test_the_next_owner_finds_it_by_those_that_were_made(world):
    world.batches.knows_ids_only = True
    world.batches.cant_express = lambda call: "tools" in call.prompt.messages[0].text
    world.put(bulk_task(R1), bulk_task(R2, request={"text": "with tools"}), bulk_task(R3))
    await world.cancel(R3)

    def dies(output, append=world.log.append):
        if isinstance(output.record, Submitted):
            world.process.writer.left = 0
            raise DeliveryError("the process has died")
        return append(output)

    append, world.log.append = world.log.append, dies
    await world.look()
    world.log.append = append
    assert len(world.batches.taken) == 1
    await world.restart()
    await world.serve(3 * HOUR)
    assert len(world.batches.submissions) == 1


async def test_calls_of_two_partitions_have_different_names():
    """Offsets are those of a partition: a provider that knows a batch by its calls would take one for another."""
    worlds = [BulkWorld(), BulkWorld()]
    for world in worlds:
        await world.start()
        world.put(bulk_task(R1))
        await world.look()
    first, second = (world.batches.taken[0].custom_ids for world in worlds)
    assert not set(first) & set(second)
    assert all(1 <= len(name) <= 64 for name in first)


async def test_a_provider_that_is_gone_from_the_settings_gives_no_answers(world):
    world.put(bulk_task(R1))
    await world.look()
    world.bench.providers["fast"].batches = None
    await world.restart()
    await world.look()
    assert [(end.status, end.detail) for end in world.ends] == [
        ("lost", "fast has no batches any more, by the settings")
    ]
    assert [task.waited for task in world.returned] == [Waited(tier=1)]


@pytest.mark.parametrize("dies_after", range(14))
@pytest.mark.parametrize("knows_ids_only", [False, True])
async def test_wherever_a_process_dies_each_call_is_made_once_and_each_task_goes_on(dies_after, knows_ids_only):
    world = BulkWorld(poll_s=30)
    world.batches.knows_ids_only = knows_ids_only
    world.batches.cant_express = lambda call: "tools" in call.prompt.messages[0].text
    await world.start(dies_after=dies_after)
    world.put(bulk_task(R1), bulk_task(R2, request={"text": "with tools"}), bulk_task(R3))
    for _ in range(2):
        try:
            await world.serve(2 * HOUR)
        except DeliveryError:
            await world.restart()
    await world.serve(2 * HOUR)
    assert len(world.batches.taken) == 1
    assert {task.request.request_id for task in world.returned} == {R1, R2, R3}
    assert [end.status for end in world.ends] == ["collected"]
    ends = {name: [call for call in world.ended if call.request_id == name] for name in (R1, R2, R3)}
    assert all(len(found) == 1 for found in ends.values())
    assert [found[0].error is None for found in ends.values()] == [True, False, True]
    assert all(task.waited.ended_at is not None for task in world.returned)
    assert world.clock() < BASE + timedelta(hours=8)
    order = [type(record) for record in world.log.published]
    assert order.index(CallStarted) < order.index(CallEnded) < order.index(TierTask) < order.index(SubmissionEnded)
