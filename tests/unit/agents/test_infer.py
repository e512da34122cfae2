"""The infer stage: its chain of models, its bounds, what it streams, what it shares, and where a task goes next."""

import asyncio
import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest
from support.handler_runs import BUSY, completion, kinds, new, only, run, topics_of
from support.in_memory import (
    BASE,
    CALL_COST,
    SETTINGS,
    USAGE,
    Bench,
    FakeProvider,
    home_of,
    new_request,
    new_task,
    provider_error,
)
from support.tool_loop import PIECES, tool

from agents.infer import infer
from streams.config.settings_answers import ValidationSettings
from streams.kafka.lease import PartitionLostError
from streams.providers.base import ChatReply, ErrorKind
from topics.answer_assembly import AnswerAssembly, pieces_of
from topics.events import Chunk, Status, StatusKind
from topics.journal import CallEnded, CallStarted, attempt_id
from topics.requests import Params
from topics.results import Outcome, ResultStatus
from topics.tasks import CLASSIFY, Answer, Attempt, Escalation, Parked, TierTask


@pytest.fixture
async def bench() -> Bench:
    return new()


async def test_a_good_answer_ends_the_request(bench):
    outputs = await run(infer, new_task(), bench, "infer:1")
    outcome = only(outputs, Outcome)
    assert (outcome.status, outcome.content, outcome.tier) == (ResultStatus.OK, "an answer", 1)
    assert (outcome.provider, outcome.model, outcome.usage) == ("fast", "a", USAGE)
    assert (outcome.cost_usd, [a.outcome for a in outcome.route]) == (CALL_COST, ["ok"])
    assert outcome.attempt_id == outcome.route[0].attempt_id
    [hop] = outcome.hops
    assert (hop.outcome, hop.cost_usd, hop.attempt_id) == ("ok", CALL_COST, outcome.attempt_id)


async def test_delivered_again_it_pays_nothing_and_says_the_same(bench):
    first = await run(infer, new_task(), bench, "infer:1")
    again = await run(infer, new_task(), bench, "infer:1")
    assert only(first, Outcome) == only(again, Outcome)
    assert len(bench.providers["fast"].calls) == 1


async def test_after_its_deadline_it_still_passes_on_what_is_paid(bench):
    first = await run(infer, new_task(), bench, "infer:1")
    bench.clock.advance(600)
    again = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    # When it was looked at is told anew; what it was and what it cost is not.
    assert again.model_copy(update={"hops": ()}) == only(first, Outcome).model_copy(update={"hops": ()})
    assert [hop.cost_usd for hop in again.hops] == [CALL_COST]


async def test_an_error_falls_back_to_the_next_provider():
    bench = new(fast=FakeProvider(BUSY))
    outputs = await run(infer, new_task(), bench, "infer:1")
    outcome = only(outputs, Outcome)
    assert (outcome.status, outcome.provider, outcome.cost_usd) == (ResultStatus.OK, "spare", CALL_COST)
    assert [attempt.outcome for attempt in outcome.route] == ["overloaded", "ok"]
    assert outcome.route[1].why == "fallback: fast overloaded"
    assert len({attempt.attempt_id for attempt in outcome.route}) == 2
    assert [(hop.outcome, hop.provider) for hop in outcome.hops] == [("overloaded", "fast"), ("ok", "spare")]


async def test_a_chain_without_an_answer_is_promoted():
    bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
    outputs = await run(infer, new_task(), bench, "infer:1")
    assert topics_of(outputs, TierTask) == ["tier2"]
    task = only(outputs, TierTask)
    assert (task.tier, task.promoted_from, len(task.attempts)) == (2, 1, 3)
    assert task.why == "promoted from tier 1: spare/b: overloaded"
    assert only(outputs, Status).events[0].tier == 2
    assert [hop.outcome for hop in task.hops] == [*["overloaded"] * 3, "promoted"]
    assert kinds(outputs) == [TierTask, Status]
    done = only(await run(infer, task, bench, "infer:2"), Outcome)
    assert (done.status, done.tier, len(done.route)) == (ResultStatus.OK, 2, 4)


async def test_what_is_too_long_for_one_model_of_a_tier_skips_the_others():
    bench = new(fast=FakeProvider(provider_error(ErrorKind.CONTEXT_TOO_LONG)))
    outputs = await run(infer, new_task(), bench, "infer:1")
    assert only(outputs, TierTask).tier == 2
    assert bench.providers["spare"].calls == []


@pytest.mark.parametrize("kind", list(ErrorKind))
async def test_every_kind_of_error_leads_on(kind):
    bench = new(fast=FakeProvider(provider_error(kind)))
    assert only(await run(infer, new_task(), bench, "infer:1"), (TierTask, Outcome)) is not None


async def test_nobody_answers_at_the_ceiling_and_the_task_rests():
    bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
    outputs = await run(infer, new_task(ceiling=1), bench, "infer:1")
    parked = only(outputs, Parked)
    assert (parked.task.tier, len(parked.task.attempts), parked.reason) == (1, 3, "spare/b: overloaded")
    assert only(outputs, Status).events[0].kind is StatusKind.PARKED


async def test_while_no_higher_tier_is_open_the_task_rests_where_it_is():
    bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
    for tier in (2, 3):
        bench.engine.gate.order(f"tier:{tier}", "open")
    parked = only(await run(infer, new_task(), bench, "infer:1"), Parked)
    assert (parked.task.tier, parked.task.promoted_from) == (1, None)


async def test_a_task_that_was_promoted_for_want_of_a_provider_rests_rather_than_fail():
    bench = new(trusted=FakeProvider(provider_error(ErrorKind.CONTENT_POLICY)))
    task = new_task(tier=3, promoted_from=1)
    assert only(await run(infer, task, bench, "infer:3"), Parked).task.promoted_from == 1


async def test_nobody_wants_to_answer_at_the_ceiling():
    bench = new(trusted=FakeProvider(provider_error(ErrorKind.CONTENT_POLICY)))
    outcome = only(await run(infer, new_task(tier=3), bench, "infer:3"), Outcome)
    assert (outcome.status, outcome.error.code, outcome.content) == (ResultStatus.FAILED, "no_provider", None)


async def test_nobody_wants_to_answer_at_the_ceiling_but_there_is_an_earlier_answer():
    bench = new(trusted=FakeProvider(provider_error(ErrorKind.CONTENT_POLICY)))
    task = new_task(tier=3).model_copy(update={"best": completion("better than nothing")})
    outcome = only(await run(infer, task, bench, "infer:3"), Outcome)
    assert (outcome.status, outcome.content, outcome.error) == (ResultStatus.DEGRADED, "better than nothing", None)


async def test_a_connection_that_failed_is_tried_once_more_at_once():
    bench = new(fast=FakeProvider(provider_error(ErrorKind.CONNECTION), "an answer"))
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert [(a.provider, a.outcome) for a in outcome.route] == [("fast", "connection"), ("fast", "ok")]


async def test_a_connection_that_fails_twice_is_left_alone():
    bench = new(fast=FakeProvider(provider_error(ErrorKind.CONNECTION)))
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert [a.provider for a in outcome.route] == ["fast", "fast", "spare"]


class TestRetry:
    """One more try of the last model that may be back in a moment, before a dearer tier is asked."""

    @pytest.mark.parametrize(
        "kind", [ErrorKind.SERVER_ERROR, ErrorKind.OVERLOADED, ErrorKind.RATE_LIMITED, ErrorKind.CUT]
    )
    async def test_one_failure_of_the_only_model_is_not_promoted(self, kind):
        bench = new(trusted=FakeProvider(provider_error(kind), "an answer"))
        outputs = await run(infer, new_task(tier=2), bench, "infer:2")
        outcome = only(outputs, Outcome)
        assert (outcome.tier, outcome.cost_usd) == (2, CALL_COST)
        assert [(line.outcome, line.why) for line in outcome.route] == [
            (kind, "classifier requests/1:745284b7"),
            ("ok", f"retry: trusted {kind}"),
        ]
        assert [hop.detail for hop in outcome.hops] == [line.why for line in outcome.route]
        starts = [start.n for start in bench.published(CallStarted)]
        assert starts == [0, 1]

    @pytest.mark.parametrize(
        "error",
        [
            provider_error(ErrorKind.TIMEOUT),
            provider_error(ErrorKind.BAD_KEY),
            provider_error(ErrorKind.CONTENT_POLICY),
            provider_error(ErrorKind.MALFORMED),
            provider_error(ErrorKind.CUT, usage=USAGE),
            provider_error(ErrorKind.RATE_LIMITED, retry_after_ms=2001),
        ],
        ids=["slow", "no key", "refused", "nonsense", "billed", "asks for more patience than there is"],
    )
    async def test_what_would_not_pass_is_not_waited_for(self, error):
        bench = new(trusted=FakeProvider(error))
        assert only(await run(infer, new_task(tier=2), bench, "infer:2"), TierTask).tier == 3
        assert len(bench.providers["trusted"].calls) == 1
        assert bench.clock.now == BASE

    async def test_the_next_provider_comes_first(self):
        bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY, "an answer"))
        outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
        assert [(line.provider, line.why) for line in outcome.route[1:]] == [
            ("spare", "fallback: fast overloaded"),
            ("spare", "retry: spare overloaded"),
        ]

    async def test_it_is_the_last_one_that_could_answer(self):
        bench = new(fast=FakeProvider(BUSY, "an answer"), spare=FakeProvider(provider_error(ErrorKind.CONTENT_POLICY)))
        outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
        assert [line.provider for line in outcome.route] == ["fast", "spare", "fast"]
        assert outcome.route[-1].why == "retry: fast overloaded"

    @pytest.mark.parametrize(("random", "pause_s"), [(0.0, 0.1), (0.5, 0.25), (1.0, 0.4)])
    async def test_the_pause_is_random(self, random, pause_s):
        bench = with_random(new(trusted=FakeProvider(BUSY, "an answer")), random)
        await run(infer, new_task(tier=2), bench, "infer:2")
        assert (bench.clock.now - BASE).total_seconds() == pytest.approx(pause_s, abs=1e-4)

    async def test_a_short_retry_after_is_waited_for(self):
        refused = provider_error(ErrorKind.RATE_LIMITED, status=429, retry_after_ms=1)
        bench = with_random(new(trusted=FakeProvider(refused, "an answer")), 0.0)

        async def sleep(seconds):
            bench.clock.advance(seconds)
            await asyncio.sleep(seconds)

        bench = dataclasses.replace(bench, engine=dataclasses.replace(bench.engine, sleep=sleep))
        assert only(await run(infer, new_task(tier=2), bench, "infer:2"), Outcome).tier == 2
        assert (bench.clock.now - BASE).total_seconds() == pytest.approx(0.101, abs=1e-4)

    async def test_a_lasting_failure_is_promoted_and_after_a_restart_not_tried_again(self):
        bench = new(trusted=FakeProvider(BUSY))
        first = only(await run(infer, new_task(tier=2), bench, "infer:2"), TierTask)
        bench.providers["trusted"].script = ["an answer"]
        again = only(await run(infer, new_task(tier=2), bench, "infer:2"), TierTask)
        assert again.model_copy(update={"hops": ()}) == first.model_copy(update={"hops": ()})
        assert [hop.outcome for hop in again.hops] == [hop.outcome for hop in first.hops]
        assert [line.why for line in again.attempts] == ["classifier requests/1:745284b7", "retry: trusted overloaded"]
        assert len(bench.providers["trusted"].calls) == 2

    async def test_a_restart_in_the_pause_makes_the_retry(self):
        bench = new(trusted=FakeProvider(BUSY, "an answer"))

        async def die(_):
            raise asyncio.CancelledError

        dying = dataclasses.replace(bench, engine=dataclasses.replace(bench.engine, sleep=die))
        with pytest.raises(asyncio.CancelledError):
            await run(infer, new_task(tier=2), dying, "infer:2")
        outcome = only(await run(infer, new_task(tier=2), bench, "infer:2"), Outcome)
        assert [line.outcome for line in outcome.route] == ["overloaded", "ok"]
        assert len(bench.providers["trusted"].calls) == 2

    async def test_a_breaker_that_opened_is_not_waited_for(self):
        settings = {**SETTINGS, "breakers": {"min_calls": 1}}
        bench = new(settings, trusted=FakeProvider(BUSY))
        assert only(await run(infer, new_task(tier=2), bench, "infer:2"), (TierTask, Parked)) is not None
        assert len(bench.providers["trusted"].calls) == 1
        assert bench.clock.now == BASE

    async def test_failures_count_at_the_breakers_as_ever(self):
        settings = {**SETTINGS, "breakers": {"min_calls": 4}}
        bench = new(settings, trusted=FakeProvider(BUSY))
        for number in range(2):
            task = new_task(new_request(request_id=f"r{number}"), tier=2)
            await run(infer, task, bench, "infer:2", received=received_for(bench, f"r{number}"))
        assert not bench.engine.gate.is_open_to(2)
        calls = len(bench.providers["trusted"].calls)
        task = new_task(new_request(request_id="r9"), tier=2)
        await run(infer, task, bench, "infer:2", received=received_for(bench, "r9"))
        assert len(bench.providers["trusted"].calls) == calls == 4

    async def test_there_has_to_be_time(self):
        bench = with_random(new(trusted=FakeProvider(BUSY)), 1.0)
        task = new_task(tier=2, deadline=BASE + timedelta(seconds=0.3))
        assert only(await run(infer, task, bench, "infer:2"), TierTask).tier == 3
        assert len(bench.providers["trusted"].calls) == 1

    async def test_attempts_are_bounded(self):
        bench = new({**SETTINGS, "attempts": {"max_attempts": 1}}, trusted=FakeProvider(BUSY))
        assert only(await run(infer, new_task(tier=2), bench, "infer:2"), TierTask).tier == 3
        assert len(bench.providers["trusted"].calls) == 1

    async def test_it_can_be_switched_off(self):
        bench = new({**SETTINGS, "attempts": {"retry_pause_s": 0}}, trusted=FakeProvider(BUSY))
        assert only(await run(infer, new_task(tier=2), bench, "infer:2"), TierTask).tier == 3
        assert len(bench.providers["trusted"].calls) == 1

    async def test_a_task_that_others_own_by_now_is_not_waited_for(self):
        bench = with_random(new(trusted=FakeProvider(BUSY)), 1.0)
        owners = iter([True] * 4)
        with pytest.raises(PartitionLostError):
            await run(infer, new_task(tier=2), bench, "infer:2", holds=lambda: next(owners, False))
        assert len(bench.providers["trusted"].calls) == 1
        assert (bench.clock.now - BASE).total_seconds() < 0.4

    async def test_no_slot_is_held_in_the_pause(self):
        settings = {**SETTINGS, "providers": {**SETTINGS["providers"]}}
        settings["providers"]["trusted"] = {**settings["providers"]["trusted"], "max_concurrency": 1}
        bench = new(settings, trusted=FakeProvider(BUSY, "an answer"))
        inside = []

        async def sleep(_):
            if not inside:
                inside.append(True)
                other = new_task(new_request(request_id="r2"), tier=2)
                received = received_for(bench, "r2")
                inside.append(only(await run(infer, other, bench, "infer:2", received=received), Outcome))

        paused = dataclasses.replace(bench, engine=dataclasses.replace(bench.engine, sleep=sleep))
        assert only(await run(infer, new_task(tier=2), paused, "infer:2"), Outcome).status is ResultStatus.OK
        assert inside[1].status is ResultStatus.OK


def with_random(bench, value):
    return dataclasses.replace(bench, engine=dataclasses.replace(bench.engine, random=lambda: value))


def received_for(bench, request_id):
    received = bench.context("infer:2").received
    return dataclasses.replace(received, partition=home_of(request_id))


async def test_an_open_breaker_costs_no_call():
    bench = new()
    bench.engine.gate.order("fast/a", "open")
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert (outcome.provider, len(outcome.route)) == ("spare", 1)
    assert bench.providers["fast"].calls == []


async def test_an_open_tier_is_passed_over_and_remembered():
    bench = new()
    bench.engine.gate.order("tier:1", "open")
    outputs = await run(infer, new_task(), bench, "infer:1")
    task = only(outputs, TierTask)
    assert (task.tier, task.promoted_from, task.attempts) == (2, 1, ())
    assert [hop.outcome for hop in task.hops] == ["promoted"]
    assert bench.providers["fast"].calls == bench.providers["spare"].calls == []


async def test_a_restart_goes_on_where_the_chain_was():
    bench = new(fast=FakeProvider(BUSY), spare=FakeProvider(BUSY))
    await run(infer, new_task(), bench, "infer:1")
    bench.providers["spare"].script = ["an answer"]
    outputs = await run(infer, new_task(), bench, "infer:1")
    assert only(outputs, TierTask).promoted_from == 1
    assert [len(bench.providers[name].calls) for name in ("fast", "spare")] == [1, 2]


async def test_a_restart_skips_what_failed_and_asks_the_next():
    bench = new(fast=FakeProvider(provider_error(ErrorKind.TIMEOUT)))
    bench.engine.gate.order("spare/b", "open")
    await run(infer, new_task(), bench, "infer:1")
    bench.engine.gate.order("spare/b", "auto")
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert [a.provider for a in outcome.route] == ["fast", "spare"]
    assert len(bench.providers["fast"].calls) == 1


async def test_attempts_are_bounded():
    bench = new({**SETTINGS, "attempts": {"max_attempts": 1}}, fast=FakeProvider(BUSY))
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert (outcome.status, outcome.error.code, len(outcome.route)) == (ResultStatus.FAILED, "max_attempts", 1)


async def test_asking_for_the_tier_is_no_attempt_to_answer():
    bench = new({**SETTINGS, "attempts": {"max_attempts": 1}})
    asked = Attempt(
        attempt_id=attempt_id("r1", 0, CLASSIFY, 0),
        stage=CLASSIFY,
        tier=1,
        provider="fast",
        model="a",
        why=CLASSIFY,
        outcome="ok",
        cost_usd=CALL_COST,
        provider_ms=1,
    )
    outcome = only(await run(infer, new_task(attempts=(asked,)), bench, "infer:1"), Outcome)
    assert (outcome.status, [line.stage for line in outcome.route]) == (ResultStatus.OK, ["classify", "infer:1"])
    assert outcome.cost_usd == 2 * CALL_COST


async def test_text_is_streamed_where_nobody_has_to_see_it_first(bench):
    await run(infer, new_task(new_request(stream=True)), bench, "infer:1")
    await run(infer, new_task(new_request(stream=True, request_id="r2"), validate_answer=True), bench, "infer:1")
    streamed, judged = bench.providers["fast"].calls
    assert streamed.on_piece is not None
    assert judged.on_piece is None
    assert [(chunk.kind, chunk.text) for chunk in bench.published(Chunk)] == [("text", "an answer"), ("done", "")]


async def test_calls_and_thoughts_are_streamed_and_in_the_outcome(bench):
    bench.providers["fast"].script = [PIECES]
    task = new_task(new_request(stream=True, tools=(tool("look", parameters={}), tool("listen"))))
    outcome = only(await run(infer, task, bench, "infer:1"), Outcome)
    shown = AnswerAssembly()
    for chunk in bench.published(Chunk):
        for piece in pieces_of(chunk):
            shown.add(piece)
    assert (shown.text, shown.tool_calls, shown.parts) == (outcome.content, outcome.tool_calls, outcome.parts)
    assert ([call.id for call in outcome.tool_calls], outcome.finish_reason) == (["c1", "c2"], "tool_calls")


async def test_a_broken_stream_is_marked_and_starts_anew_elsewhere():
    bench = new(fast=FakeProvider("the beginning", provider_error(ErrorKind.CUT, usage=USAGE)))
    bench.providers["fast"].cut_after_text = True
    outcome = only(await run(infer, new_task(new_request(stream=True)), bench, "infer:1"), Outcome)
    chunks = list(bench.published(Chunk))
    assert [chunk.kind for chunk in chunks] == ["text", "broken", "text", "done"]
    assert chunks[0].attempt_id == chunks[1].attempt_id != outcome.attempt_id == chunks[3].attempt_id


async def test_identical_questions_of_one_user_share_one_call(bench):
    provider = bench.providers["fast"]
    provider.gate = asyncio.Event()
    context = bench.context("infer:1")

    async def ask(number):
        request = new_request(request_id=f"r{number}", user_id="ann", params=Params(temperature=0))
        received = dataclasses.replace(context.received, partition=home_of(request.request_id))
        return await infer.handler(new_task(request), dataclasses.replace(context, received=received))

    asking = [asyncio.create_task(ask(number)) for number in range(3)]
    await provider.called.wait()
    asking.append(asyncio.create_task(ask(3)))
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(list(bench.published(CallStarted))) == 4
    provider.gate.set()
    outcomes = [only(outputs, Outcome) for outputs in await asyncio.gather(*asking)]
    assert len(provider.calls) == 1
    assert {outcome.content for outcome in outcomes} == {"an answer"}
    assert sum(outcome.cost_usd for outcome in outcomes) == CALL_COST
    assert sum(outcome.usage.input for outcome in outcomes) == USAGE.input
    ends = list(bench.published(CallEnded))
    assert {(end.shares, end.call_id) for end in ends} == {(4, provider.calls[0].call_id)}
    assert len({end.attempt_id for end in ends}) == 4


async def test_a_shared_call_that_never_left_leaves_no_trace_of_those_who_waited_for_it(bench):
    context = bench.context("infer:1")
    bench.engine.gate.order("fast/a", "open")

    async def ask(number):
        request = new_request(request_id=f"r{number}", user_id="ann", params=Params(temperature=0))
        received = dataclasses.replace(context.received, partition=home_of(request.request_id))
        return await infer.handler(new_task(request), dataclasses.replace(context, received=received))

    outcomes = [only(outputs, Outcome) for outputs in await asyncio.gather(*map(ask, range(3)))]
    assert {outcome.provider for outcome in outcomes} == {"spare"}
    assert bench.providers["fast"].calls == []
    assert len({end.call_id for end in bench.published(CallStarted)}) == 1


@pytest.mark.parametrize(
    ("reply", "check", "best"),
    [
        ("I don't know.", "hedge", "I don't know."),
        (ChatReply("cut of", "length", USAGE), "truncated", "cut of"),
        (" ", "empty", None),
    ],
)
async def test_a_failed_check_escalates_and_keeps_the_answer(reply, check, best):
    outputs = await run(infer, new_task(), new(fast=FakeProvider(reply)), "infer:1")
    escalation = only(outputs, Escalation)
    assert escalation.reason == f"check: {check}"
    assert (escalation.task.best and escalation.task.best.content) == best
    assert escalation.task.attempts[-1].outcome == check
    assert escalation.task.cost_usd == CALL_COST


async def test_an_answer_outside_its_schema_escalates():
    task = new_task(new_request(response_schema={"type": "object"}))
    outputs = await run(infer, task, new(fast=FakeProvider("no object")), "infer:1")
    assert only(outputs, Escalation).reason == "check: schema"


async def test_an_empty_answer_does_not_replace_a_better_one():
    task = new_task().model_copy(update={"best": completion("earlier")})
    outputs = await run(infer, task, new(fast=FakeProvider(" ")), "infer:1")
    assert only(outputs, Escalation).task.best.content == "earlier"


async def test_an_answer_on_a_critical_path_goes_to_the_judge(bench):
    outputs = await run(infer, new_task(validate_answer=True), bench, "infer:1")
    answer = only(outputs, Answer)
    assert (answer.completion.content, answer.task.attempts[0].outcome) == ("an answer", "ok")


@pytest.mark.parametrize("tier", [2, 3])
async def test_at_the_ceiling_no_judge_is_asked(bench, tier):
    task = new_task(tier=tier, ceiling=tier, validate_answer=True)
    assert only(await run(infer, task, bench, f"infer:{tier}"), Outcome).status is ResultStatus.OK


async def test_without_a_judge_nobody_is_asked():
    bench = new()
    settings = bench.settings.model_copy(update={"validation": ValidationSettings()})
    bench = dataclasses.replace(bench, engine=dataclasses.replace(bench.engine, settings=settings))
    assert only(await run(infer, new_task(validate_answer=True), bench, "infer:1"), Outcome)


async def test_the_deadline_ends_it_before_a_call(bench):
    bench.clock.advance(60)
    outcome = only(await run(infer, new_task(), bench, "infer:1"), Outcome)
    assert (outcome.status, outcome.error.code) == (ResultStatus.EXPIRED, "deadline")
    assert bench.providers["fast"].calls == []


async def test_the_deadline_ends_it_between_two_calls():
    fast = FakeProvider(BUSY)
    bench = new(fast=fast)

    async def slow() -> None:
        bench.clock.advance(61)

    fast.on_call = slow
    outputs = await run(infer, new_task(), bench, "infer:1")
    outcome = only(outputs, Outcome)
    assert (outcome.status, len(outcome.route)) == (ResultStatus.EXPIRED, 1)
    assert [hop.outcome for hop in outcome.hops] == ["overloaded"]
    assert bench.providers["spare"].calls == []


async def test_used_up_money_ends_it_with_the_best_answer():
    request = new_request(max_cost_usd=CALL_COST)
    bench = new(fast=FakeProvider("I don't know."))
    escalation = only(await run(infer, new_task(request), bench, "infer:1"), Escalation)
    up = escalation.task.model_copy(update={"tier": 2})
    outcome = only(await run(infer, up, bench, "infer:2"), Outcome)
    assert (outcome.status, outcome.content, outcome.cost_usd) == (
        ResultStatus.DEGRADED,
        "I don't know.",
        CALL_COST,
    )
    assert bench.providers["trusted"].calls == []


async def test_used_up_money_without_an_answer_fails():
    bench = new(fast=FakeProvider(provider_error(ErrorKind.CUT, usage=USAGE)))
    outcome = only(await run(infer, new_task(new_request(max_cost_usd=Decimal("0.001"))), bench, "infer:1"), Outcome)
    assert (outcome.status, outcome.error.code) == (ResultStatus.FAILED, "max_cost")
    assert bench.providers["spare"].calls == []


async def test_restricted_data_goes_only_to_who_may_see_it(bench):
    task = new_task(new_request(context={"data_class": "restricted"}))
    promoted = only(await run(infer, task, bench, "infer:1"), TierTask)
    assert promoted.tier == 2
    assert promoted.why == "promoted from tier 1: no model may see the request, takes what it needs and has room for it"
    assert only(await run(infer, promoted, bench, "infer:2"), Outcome).provider == "trusted"
    assert bench.providers["fast"].calls == bench.providers["spare"].calls == []


async def test_restricted_data_at_its_ceiling_fails_without_a_call(bench):
    task = new_task(new_request(context={"data_class": "restricted"}), ceiling=1)
    outcome = only(await run(infer, task, bench, "infer:1"), Outcome)
    assert (outcome.error.code, outcome.route) == ("no_provider", ())
