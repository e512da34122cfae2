"""What becomes of a submission's tasks, however the provider ends its batch and whatever it says of the calls."""

import asyncio
import dataclasses
import logging
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from support.bulk_world import TP, BulkWorld, bulk_task, call_started, come_to_rest, request_ids
from support.fake_batches import HOUR, MALFORMED, UNREADABLE
from support.in_memory import BASE, BASE_MS, CALL_COST, USAGE, provider_error

from streams.kafka.publisher import DeliveryError, Output
from streams.providers.base import ErrorKind
from streams.providers.batches import LineEnd
from topics.dead_letters import DeadLetter
from topics.events import DROPPED, Hops
from topics.journal import CallEnded, Purpose, attempt_id
from topics.registry import CALLS
from topics.results import Outcome, Settled
from topics.tasks import TierTask, Waited

R1, R2, R3 = request_ids(3)
HALF = CALL_COST / 2


class TestWhatIsSaidOfCalls:
    """Each call has one end in the journal, and its task knows where."""

    async def test_each_has_its_own_answer(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
        world.say(**{R1: b"the first", R2: b"the second"})
        await world.serve(2 * HOUR)
        assert (world.end_of(R1).content, world.end_of(R2).content) == ("the first", "the second")

    async def test_a_call_that_failed_says_why(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        world.say(**{R1: provider_error(ErrorKind.CONTENT_POLICY, status=400)})
        await world.serve(2 * HOUR)
        ended = world.end_of(R1)
        assert (ended.error.kind, ended.error.status, ended.cost_usd) == (ErrorKind.CONTENT_POLICY, 400, 0)
        assert ended.provider_batch == "batch_0"

    async def test_a_call_that_nothing_is_said_of_ended_with_its_batch(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
        world.say(**{R1: None})
        await world.serve(2 * HOUR)
        ended = world.end_of(R1)
        assert (ended.error.kind, ended.error.message) == (ErrorKind.BATCH_ENDED, "fast says nothing of it")
        assert (ended.cost_usd, ended.usage) == (0, None)
        assert [end.answered for end in world.ends] == [1]

    async def test_what_is_said_of_calls_that_are_none_of_it_is_passed_over(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        ends = world.batches.line_ends

        async def with_strangers(batch_id):
            yield LineEnd("another", b"not ours")
            async for end in ends(batch_id):
                yield end

        world.batches.line_ends = with_strangers
        await world.serve(2 * HOUR)
        assert [call.request_id for call in world.ended] == [R1]

    async def test_a_useless_answer_is_billed(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        world.say(**{R1: MALFORMED})
        await world.serve(2 * HOUR)
        ended = world.end_of(R1)
        assert (ended.error.kind, ended.usage, ended.cost_usd) == (ErrorKind.MALFORMED, USAGE, HALF)

    async def test_an_answer_that_nobody_can_read_stops_nobody_and_is_told_to_no_log(self, caplog):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
        world.say(**{R1: UNREADABLE})
        with caplog.at_level(logging.INFO):
            await world.serve(2 * HOUR)
        ended = world.end_of(R1)
        assert (ended.error.kind, ended.error.message) == (
            ErrorKind.MALFORMED,
            "the answer could not be read: ValueError",
        )
        assert world.end_of(R2).error is None
        assert "could not be read" in caplog.text
        assert "SECRETANSWER" not in caplog.text

    async def test_an_answer_that_is_too_large_to_be_recorded_is_billed(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2), max_bytes={CallEnded: 5_000})
        world.say(**{R1: b"x" * 10_000})
        await world.serve(2 * HOUR)
        ended = world.end_of(R1)
        assert (ended.content, ended.error.kind, ended.usage, ended.cost_usd) == (
            None,
            ErrorKind.MALFORMED,
            USAGE,
            HALF,
        )
        assert ended.error.message == "the answer could not be recorded: RecordTooLargeError"
        assert world.end_of(R2).error is None

    async def test_a_call_that_can_not_be_expressed_ends_before_anything_leaves(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2, request={"text": "with tools"}))
        world.batches.cant_express = lambda call: "tools" in call.prompt.messages[0].text
        await world.look()
        ended = world.end_of(R2)
        assert (ended.error.kind, ended.provider_batch, ended.cost_usd) == (ErrorKind.BAD_REQUEST, None, 0)
        await world.serve(2 * HOUR)
        assert Counter(task.request.request_id for task in world.returned) == {R1: 1, R2: 1}

    async def test_where_no_call_can_be_expressed_nothing_is_submitted(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        world.batches.cant_express = lambda call: True
        await world.look()
        assert (world.batches.submissions, [end.status for end in world.ends]) == ([], ["refused"])
        assert [task.request.request_id for task in world.returned] == [R1]

    async def test_the_end_has_what_a_call_of_a_batch_has(self):
        world = BulkWorld(wait_s=30)
        await world.start()
        world.put(bulk_task(R1, revision=3), bulk_task(R2, tier=1))
        await world.serve(30)
        await world.serve(2 * HOUR)
        ended = world.end_of(R1)
        assert (ended.revision, ended.stage, ended.tier, ended.purpose) == (3, "infer:1", 1, Purpose.INFER)
        assert (ended.provider, ended.model, ended.provider_batch) == ("fast", "a", "batch_0")
        # Batches of calls that leave one by one are something else.
        assert (ended.batch_size, ended.batch_wait_ms, ended.shares) == (1, 0, 1)
        assert (ended.cost_usd, ended.rates.input, ended.rates.output) == (HALF, Decimal("0.5"), 5)
        assert ended.started_at == world.submissions[0].at == BASE + timedelta(seconds=30)
        assert ended.asked_ms == BASE_MS


class TestResultsTwice:
    """Whoever reads the results once more journals and sends nothing but what is missing."""

    async def test_a_death_in_the_midst_of_the_ends(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2), bulk_task(R3))
        await world.look()
        world.process.writer.left = 2
        with pytest.raises(DeliveryError):
            await world.serve(2 * HOUR)
        assert len(world.ended) == 2
        await world.restart()
        await world.serve()
        assert Counter(call.request_id for call in world.ended) == {R1: 1, R2: 1, R3: 1}
        assert Counter(task.request.request_id for task in world.returned) == {R1: 1, R2: 1, R3: 1}

    async def test_a_task_that_has_its_result_by_then_is_dropped_with_what_its_call_cost(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        await world.look()
        digest = bulk_task(R1).task.digest
        world.bench.settled.add(Settled(request_id=R1, revision=0, digest=digest, asked_ms=BASE_MS), BASE_MS)
        await world.serve(2 * HOUR)
        assert world.returned == []
        [hops] = world.of(Hops)
        assert [(hop.outcome, hop.attempt_id) for hop in hops.hops] == [
            (DROPPED, attempt_id(R1, 0, "infer:1", 0)),
        ]
        assert [call.cost_usd for call in world.ended] == [HALF]

    async def test_after_an_outage_longer_than_any_memory_the_tasks_go_back_all_the_same(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        await world.look()
        await world.process.partition.leave()
        world.clock.advance(60 * HOUR)
        await world.start()
        await world.serve(HOUR)
        assert [call.request_id for call in world.ended] == [R1]
        assert R1 in {task.request.request_id for task in world.returned}


class TestTroubles:
    """Of a provider that has taken a batch."""

    async def test_a_batch_that_is_refused_as_a_whole(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
        world.batches.refusal = "line 1 is too long"
        await world.serve()
        assert [(end.status, end.detail) for end in world.ends] == [
            ("refused", "fast took none of it: line 1 is too long")
        ]
        for name in (R1, R2):
            ended = world.end_of(name)
            assert (ended.error.kind, ended.provider_batch, ended.cost_usd) == (ErrorKind.BATCH_ENDED, "batch_0", 0)

    async def test_a_batch_that_the_provider_does_not_know_any_more(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        await world.look()
        world.batches.taken.clear()
        await world.serve(600)
        assert [end.status for end in world.ends] == ["lost"]
        # Whether its call is billed nobody can say: it has no end, and the tier asks anew.
        assert ([task.waited for task in world.returned], world.ended) == ([Waited(tier=1)], [])
        assert world.returned[0].hops[-1].outcome == "returned"

    @pytest.mark.parametrize("error", [provider_error(ErrorKind.SERVER_ERROR), provider_error(ErrorKind.BAD_KEY)])
    async def test_who_can_not_be_asked_is_asked_again(self, error):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        world.batches.troubles = [error] * 5
        await world.serve(2 * HOUR)
        assert [end.status for end in world.ends] == ["collected"]

    async def test_results_that_can_not_be_had_are_asked_for_again(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        ends, failures = world.batches.line_ends, [provider_error(ErrorKind.CUT)] * 2

        async def line_ends(batch_id):
            async for end in ends(batch_id):
                yield end
                if failures:
                    raise failures.pop()

        world.batches.line_ends = line_ends
        await world.serve(2 * HOUR)
        assert (world.end_of(R1).error, [end.answered for end in world.ends]) == (None, [1])

    async def test_results_that_are_gone_leave_no_answer(self):
        world = await BulkWorld.with_tasks(bulk_task(R1))
        await world.look()
        await world.sleepers.pass_time(HOUR - 1)
        calls = 0

        async def on_progress():
            nonlocal calls
            calls += 1

        world.batches.on_progress = on_progress

        async def line_ends(_):
            raise provider_error(ErrorKind.BAD_REQUEST, status=404)
            yield

        world.batches.line_ends = line_ends
        await world.serve(HOUR)
        assert calls == 1
        assert world.end_of(R1).error.kind == ErrorKind.BATCH_ENDED
        assert [(end.status, end.answered) for end in world.ends] == [("collected", 0)]


class TestOtherCalls:
    """The same call, made elsewhere."""

    async def test_a_call_that_has_ended_is_not_made_again(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
        ended = world.log.append(Output(CALLS, call_started(R1).end(ended_at=BASE, content="an earlier answer")))
        await world.serve(2 * HOUR)
        assert {task.request.request_id: task.waited.ended_at for task in world.returned}[R1] == ended.offset
        assert [call.request_id for call in world.started] == [R2]

    async def test_a_call_that_is_under_way_elsewhere_is_left_to_its_tier(self):
        world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
        world.log.append(Output(CALLS, call_started(R1)))
        await world.serve(2 * HOUR)
        [first, second] = world.returned
        assert (first.request.request_id, first.waited) == (R1, Waited(tier=1))
        assert first.hops[-1].detail == "its call is under way elsewhere"
        assert second.request.request_id == R2
        # Its end is for who makes it to journal.
        assert [call.request_id for call in world.ended] == [R2]


async def test_a_task_that_is_too_large_to_go_back_ends_its_request():
    as_it_came = len(bulk_task(R1).task.model_dump_json())
    world = await BulkWorld.with_tasks(bulk_task(R1), max_bytes={TierTask: as_it_came})
    await world.serve(2 * HOUR)
    assert world.returned == []
    assert [letter.stage for letter in world.of(DeadLetter)] == ["bulk"]
    [outcome] = world.of(Outcome)
    assert (outcome.request_id, outcome.error.code, outcome.cost_usd) == (R1, "too_large", HALF)


async def test_how_large_a_submission_is_makes_no_difference():
    names = request_ids(230)
    world = await BulkWorld.with_tasks(*map(bulk_task, names))
    await world.serve()
    await asyncio.sleep(0)
    for _ in range(5):
        await come_to_rest()
    await world.serve(2 * HOUR)
    for _ in range(10):
        await come_to_rest()
    assert [batch.name for batch in world.batches.taken] == [world.submissions[0].submission_id]
    assert [task.request.request_id for task in world.of(TierTask)] == names
    assert len({call.call_id for call in world.ended}) == 230


async def test_a_request_whose_task_is_damaged_meanwhile_fails(caplog):
    world = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2))
    await world.look()
    stored = world.log.stored[TP.topic, TP.partition]
    stored[0] = dataclasses.replace(stored[0], value=b"{")
    await world.serve(2 * HOUR)
    assert [task.request.request_id for task in world.returned] == [R2]
    [failed] = world.of(Outcome)
    assert (failed.request_id, failed.status, failed.source.timestamp_ms) == (R1, "failed", BASE_MS)
    assert [end.status for end in world.ends] == ["collected"]
    assert "can't be read any more" in caplog.text


async def test_each_call_is_counted_by_itself_and_once(monkeypatch):
    world, counted = await BulkWorld.with_tasks(bulk_task(R1), bulk_task(R2)), []
    monkeypatch.setattr(world.bench.engine.caller, "note_ended", lambda ends, **_: counted.append(list(ends)))
    await world.look()
    # The next owner finds both ends in the journal, and nothing is left to be counted.
    await world.restart(dies_after=2)
    with pytest.raises(DeliveryError):
        await world.serve(2 * HOUR)
    await world.restart()
    await world.serve(2 * HOUR)
    assert [[end.request_id for end in ends] for ends in counted] == [[R1], [R2]]
    assert [end.status for end in world.ends] == ["collected"]
