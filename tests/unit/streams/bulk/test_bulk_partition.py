"""A partition of bulk tasks: who waits, what is submitted, and how each submission goes on."""

import dataclasses
from collections import Counter
from datetime import timedelta

import pytest
from support.bulk_world import BULK_SETTINGS, HOME, TP, BulkWorld, bulk_task, request_ids
from support.fake_batches import HOUR
from support.in_memory import BASE, BASE_MS, CALL_COST, SETTINGS, USAGE, home_of

from streams.calls.model_caller import ModelCaller
from streams.calls.pricing import PriceBook
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from topics.bulk import Member, Submission, SubmissionEnded, Submitted
from topics.dead_letters import DeadLetter
from topics.events import DROPPED, Hops
from topics.journal import CallStarted, attempt_id
from topics.registry import SUBMISSIONS
from topics.results import Settled
from topics.tasks import Attempt, TierTask, Waited

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
        assert (ended.usage, ended.cost_usd) == (USAGE, CALL_COST / 2)
        assert (ended.stage, ended.n, ended.attempt_id) == ("infer:1", 0, attempt_id(name, 0, "infer:1", 0))
        assert (ended.started_at, ended.ended_at) == (submission.at, BASE.replace(hour=13))
        assert [(hop.stage, hop.outcome, hop.tier) for hop in task.hops] == [("bulk", "answered", 1)]


async def test_tasks_wait_for_others():
    world = BulkWorld(wait_s=30)
    await world.start()
    world.put(bulk_task(R1))
    await world.serve(29)
    world.put(bulk_task(R2))
    await world.look()
    assert (world.submissions, world.committed) == ([], 0)
    await world.serve(1)
    assert [[member.offset for member in one.members] for one in world.submissions] == [[0, 1]]
    assert world.committed == 2


async def test_a_full_batch_waits_for_nobody():
    world = BulkWorld(wait_s=30, max_size=2)
    await world.start()
    world.put(*map(bulk_task, (R1, R2, R3)))
    await world.look()
    assert [[member.offset for member in one.members] for one in world.submissions] == [[0, 1]]
    assert world.committed == 2


async def test_it_gives_up_ahead_of_the_first_deadline():
    world = BulkWorld(reserve_s=200)
    await world.start()
    world.put(bulk_task(R1, hours=23), bulk_task(R2, hours=22))
    await world.look()
    [submission] = world.submissions
    assert submission.gives_up_at == BASE + timedelta(hours=22, seconds=-200)


async def test_a_copy_of_what_waits_is_dropped():
    world = BulkWorld(wait_s=30)
    await world.start()
    world.put(bulk_task(R1), bulk_task(R1))
    await world.serve(30)
    assert [[member.offset for member in one.members] for one in world.submissions] == [[0]]
    assert world.returned == []
    assert world.committed == 2


async def test_a_copy_of_what_is_under_way_is_dropped_and_one_behind_its_end_is_not(world):
    world.put(bulk_task(R1))
    await world.look()
    world.put(bulk_task(R1))
    await world.serve(2 * HOUR)
    assert (len(world.submissions), len(world.returned)) == (1, 1)
    world.put(bulk_task(R1))
    await world.serve()
    # Its call has ended by then, and the tier is told where.
    assert [task.waited for task in world.returned] == [world.returned[0].waited] * 2
    assert len(world.batches.taken) == 1


async def test_a_copy_of_what_waits_tells_the_ledger_what_it_has_paid():
    world = BulkWorld(wait_s=30)
    await world.start()
    paid = Attempt(
        attempt_id=attempt_id(R1, 0, "classify", 0),
        stage="classify",
        tier=1,
        provider="fast",
        model="a",
        why="w",
        outcome="ok",
        cost_usd=CALL_COST,
        provider_ms=5,
    )
    world.put(bulk_task(R1, attempts=(paid,)), bulk_task(R1, attempts=(paid,)))
    await world.look()
    [hops] = world.of(Hops)
    assert [(hop.stage, hop.outcome, hop.attempt_id) for hop in hops.hops] == [("bulk", DROPPED, paid.attempt_id)]


async def test_what_has_no_time_is_asked_now(world):
    world.put(bulk_task(R1, hours=0.2))
    await world.look()
    [task] = world.returned
    assert (task.waited, task.hops[0].outcome) == (Waited(tier=1), "returned")
    assert task.hops[0].detail == "it has no time to wait"
    assert (world.submissions, world.committed) == ([], 1)


async def test_what_waits_for_a_provider_without_batches_is_asked_now(world):
    world.bench.providers["fast"].batches = None
    world.put(bulk_task(R1))
    await world.look()
    assert [task.hops[0].detail for task in world.returned] == ["fast has no batches"]


async def test_what_was_cancelled_is_told_so_at_its_tier(world):
    await world.cancel(R1)
    world.put(bulk_task(R1), bulk_task(R2))
    await world.look()
    assert [task.request.request_id for task in world.returned] == [R1]
    assert [member.request_id for member in world.submissions[0].members] == [R2]


async def test_what_has_its_result_is_dropped(world):
    task = bulk_task(R1, hours=0.2)
    world.bench.settled.add(Settled(request_id=R1, revision=0, digest=task.task.digest, asked_ms=BASE_MS), BASE_MS)
    world.put(task)
    await world.look()
    assert world.returned == []


async def test_a_record_that_is_none_becomes_a_dead_letter(world):
    world.put(bulk_task(R1))
    place = world.log.stored[TP.topic, TP.partition]
    place[0] = dataclasses.replace(place[0], value=b'{"task": "SECRETPROMPT"}')
    await world.look()
    [letter] = world.of(DeadLetter)
    assert (letter.stage, world.submissions, world.committed) == ("bulk", [], 1)


async def test_no_task_is_passed_over_that_has_not_gone_on_yet(world):
    """Whoever makes sure of the partition commits its position, at any moment."""
    positions = []

    def append(output, append=world.log.append):
        if isinstance(output.record, TierTask):
            positions.append(world.process.partition.position)
        return append(output)

    world.log.append = append
    world.put(bulk_task(R1, hours=0.2), bulk_task(R2, hours=0.2))
    await world.look()
    assert (positions, world.committed) == ([0, 1], 2)


async def test_a_task_that_is_read_again_is_not_submitted_again(world):
    world.put(bulk_task(R1), bulk_task(R2))
    await world.look()
    world.committed = 0
    await world.restart()
    await world.serve(2 * HOUR)
    assert (len(world.submissions), len(world.batches.submissions), len(world.returned)) == (1, 1, 2)


async def test_who_does_not_own_the_partition_any_more_plans_nothing(world):
    world.put(bulk_task(R1))
    world.process.owns = False
    await world.look()
    assert (world.submissions, world.started, world.batches.submissions) == ([], [], [])


async def test_who_loses_the_partition_while_it_plans_submits_nothing(world):
    world.put(bulk_task(R1))
    old = world.process

    def append(output, append=world.log.append):
        delivered = append(output)
        if isinstance(output.record, CallStarted):
            old.owns = False
        return delivered

    world.log.append = append
    await world.serve()
    assert (len(world.started), world.batches.submissions) == (1, [])
    await world.start()
    await world.serve(3 * HOUR)
    assert (len(world.batches.submissions), [task.request.request_id for task in world.returned]) == (1, [R1])
    await old.partition.leave()


async def test_a_late_submission_of_who_was_the_owner_goes_first(world):
    """It stands on the log ahead of ours, so the tasks are seen through as that one has them."""
    late = submission_of("late", 0)
    world.put(bulk_task(R1), bulk_task(R2))
    world.log.append(Output(SUBMISSIONS, late))
    await world.look()
    await world.serve(3 * HOUR)
    ours = world.submissions[-1]
    assert [member.offset for member in ours.members] == [1]
    assert {end.submission_id for end in world.ends} == {late.submission_id, ours.submission_id}
    assert {batch.name for batch in world.batches.taken} == {late.submission_id, ours.submission_id}
    assert Counter(task.request.request_id for task in world.returned) == {R1: 1, R2: 1}


async def test_a_late_submission_that_has_ended_too_is_not_planned_against_for_ever(world):
    late = submission_of("late", 0)
    world.put(bulk_task(R1), bulk_task(R2))
    world.log.append(Output(SUBMISSIONS, late))
    ended = SubmissionEnded(submission_id=late.submission_id, status="refused", answered=0, at=BASE)
    world.log.append(Output(SUBMISSIONS, ended))
    for _ in range(5):
        await world.look()
    assert [[member.offset for member in one.members] for one in world.submissions] == [[0], [0, 1], [1]]
    assert world.committed == 2


def submission_of(name: str, *offsets: int) -> Submission:
    """A submission of another process, which lies in the partition of its tasks."""
    name = next(f"{name}{n}" for n in range(1000) if home_of(f"{name}{n}") == HOME)
    ids = (R1, R2)
    members = tuple(Member(offset=offset, request_id=ids[offset], n=0, asked_ms=BASE_MS) for offset in offsets)
    times = {"at": BASE, "gives_up_at": BASE + timedelta(hours=23)}
    return Submission(submission_id=name, stage="infer:1", provider="fast", model="a", members=members, **times)


class TestSettingsChange:
    """Between the coming of a task and its batch the deployment may be set up anew."""

    def without_the_model(self, world: BulkWorld) -> None:
        """Have the processes that come know its model no more, nor what that costs."""
        tier, *others = BULK_SETTINGS["tiers"]
        left = {
            **BULK_SETTINGS,
            "tiers": [{**tier, "models": tier["models"][1:]}, *others],
            "prices": {ref: price for ref, price in SETTINGS["prices"].items() if ref != "fast/a"},
            "bulk": {"wait_s": 0, "poll_s": 600},
        }
        engine = dataclasses.replace(
            world.bench.engine,
            settings=Settings(**left),
            caller=ModelCaller(
                world.bench.providers, PriceBook(Settings(**left).prices, {}), world.bench.engine.gate, world.clock
            ),
        )
        world.bench = dataclasses.replace(world.bench, engine=engine)

    async def test_what_waits_for_a_model_that_is_gone_is_asked_now(self):
        world = BulkWorld(wait_s=30)
        await world.start()
        world.put(bulk_task(R1))
        await world.look()
        self.without_the_model(world)
        await world.restart()
        await world.serve(HOUR)
        assert [task.hops[-1].detail for task in world.returned] == ["fast/a is not in its tier any more"]
        assert (world.submissions, world.batches.submissions) == ([], [])

    async def test_what_was_gathered_for_it_and_not_submitted_is_asked_now(self, world):
        world.process.writer.left = 1  # the submission
        world.put(bulk_task(R1))
        await world.look()
        self.without_the_model(world)
        await world.restart()
        await world.serve(HOUR)
        assert [task.hops[-1].detail for task in world.returned] == ["fast/a is not in its tier any more"]
        assert ([end.status for end in world.ends], world.batches.submissions) == (["refused"], [])

    async def test_what_was_submitted_is_collected(self, world):
        world.put(bulk_task(R1))
        await world.look()
        self.without_the_model(world)
        await world.restart()
        await world.serve(2 * HOUR)
        assert [end.status for end in world.ends] == ["collected"]
        assert [task.request.request_id for task in world.returned] == [R1]
