"""Votes of a language model: one call for a batch, one call for an attempt at most, and the first end decides."""

import asyncio
import dataclasses
import json
from decimal import Decimal
from uuid import UUID

import pytest
from support.in_memory import (
    BASE,
    BASE_MS,
    CALL_COST,
    SETTINGS,
    USAGE,
    Bench,
    FakeProvider,
    new_bench,
    new_request,
    provider_error,
)

from agents.classify import classify
from streams.calls.attempt_log import AttemptLog, AttemptRef
from streams.calls.tier_votes import TierVotes, VoteResult
from streams.config.settings import Settings
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.lease import PartitionLostError
from streams.kafka.publisher import Output
from streams.providers.base import ErrorKind
from topics.control import BreakerState
from topics.journal import ABANDONED, CallEnded, CallError, CallStarted, attempt_id
from topics.registry import CALLS
from topics.tasks import Source, TierTask

LLM = {"classifier": "llm", "frontier": "trusted/d", "llm": {"budget_ms": 100, "batch_wait_ms": 5, "batch_size": 4}}
LATE = provider_error(ErrorKind.TIMEOUT)
VERSION = "fast/a classify/1"


def answer(*percents):
    return json.dumps({str(number): entry for number, entry in enumerate(percents, start=1)})


HARD, EASY = [0, 10, 90], [80, 20, 0]
HARD_VOTE, EASY_VOTE = (0.0, 0.1, 0.9), (0.8, 0.2, 0.0)


@dataclasses.dataclass
class Process:
    """A worker, as far as votes go."""

    bench: Bench
    attempts: AttemptLog
    votes: TierVotes

    async def ask(self, request_id="r1", *, current=lambda: True, at_ms=BASE_MS, revision=0, **fields) -> VoteResult:
        request = new_request(request_id=request_id, **fields)
        source = Source(topic="llm.requests", partition=0, offset=1, timestamp_ms=at_ms)
        deadline = request.deadline or BASE.replace(year=2027)
        return await self.votes.ask(request, revision, source, deadline, self.bench.lease(request_id, current))

    async def ask_all(self, *ids: str) -> list[VoteResult]:
        return await asyncio.gather(*map(self.ask, ids))


@pytest.fixture
def provider():
    return FakeProvider(answer(HARD))


@pytest.fixture
async def bench(provider):
    return new_bench(Settings(**{**SETTINGS, "routing": LLM}), fast=provider)


@pytest.fixture
def start(bench):
    """Start processes on the same log; what one of them has asked before is read back when it starts."""

    async def start(bench=bench, **delivery) -> Process:
        attempts = bench.attempts("classify", **delivery)
        for partition in range(bench.log.partitions):
            await attempts.cover(AttemptRef(partition, UUID(int=0), BASE_MS))
        return Process(bench, attempts, bench.votes(bench.vote_journal(attempts)))

    return start


@pytest.fixture
async def process(start):
    return await start()


def ends(bench):
    return list(bench.published(CallEnded))


def starts(bench):
    return list(bench.published(CallStarted))


def state(bench, target):
    return next(shown.state for shown in bench.engine.gate.snapshot() if shown.target == target)


def theirs(request_id="r1", **fields):
    """The start of another process's call."""
    return CallStarted(
        call_id="7d6f3a7c-57f5-4b9e-8a52-0b7b2d1b5f11",
        attempt_id=attempt_id(request_id, 0, "classify", 0),
        request_id=request_id,
        revision=0,
        stage="classify",
        n=0,
        purpose="classify",
        tier=1,
        provider="fast",
        model="a",
        started_at=BASE,
        deadline=BASE,
    )


async def until(holds):
    while not holds():  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0)


def append(bench, record):
    bench.log.append(Output(CALLS, record))


def their_end(**fields):
    content = json.dumps(EASY_VOTE)
    return theirs().end(**{"started_at": BASE, "ended_at": BASE, "content": content, "finish_reason": "stop"} | fields)


async def test_a_vote_is_journalled_before_and_after(process, provider, bench):
    async def on_the_wire():
        assert (len(starts(bench)), len(ends(bench))) == (1, 0)
        bench.clock.advance(0.05)

    provider.on_call = on_the_wire
    asked = await process.ask()
    [started], [ended] = starts(bench), ends(bench)
    assert started.call_id == ended.call_id == provider.calls[0].call_id
    assert (ended.stage, ended.n, ended.purpose, ended.tier, ended.shares) == ("classify", 0, "classify", 1, 1)
    assert (ended.usage, ended.cost_usd, ended.provider_ms, ended.error) == (USAGE, CALL_COST, 50, None)
    assert (asked.vote.probabilities, asked.vote.version, asked.missing) == (HARD_VOTE, VERSION, None)
    [line] = asked.attempts
    assert (line.attempt_id, line.outcome, line.cost_usd) == (ended.attempt_id, "ok", CALL_COST)
    [call] = provider.calls
    assert (call.model.model, call.prompt.params.temperature, call.timeout_s) == ("a", 0, 0.1)
    assert call.prompt.response_schema["required"] == ["1"]


async def test_a_batch_shares_one_call_and_its_cost_exactly(process, provider, bench):
    provider.script = [answer(HARD, EASY, HARD)]
    asked = await process.ask_all("r1", "r2", "r3")
    assert [one.vote.probabilities for one in asked] == [HARD_VOTE, EASY_VOTE, HARD_VOTE]
    [call] = provider.calls
    written = ends(bench)
    assert [(end.call_id, end.shares, end.batch_size) for end in written] == [(call.call_id, 3, 3)] * 3
    assert sum(end.cost_usd for end in written) == CALL_COST
    assert sum(end.usage.input for end in written) == USAGE.input
    assert {end.request_id: json.loads(end.content) for end in written}["r2"] == list(EASY_VOTE)
    assert sum(one.attempts[0].cost_usd for one in asked) == CALL_COST


async def test_what_waits_while_the_model_is_busy_leaves_when_the_batch_is_full(process, provider, bench):
    provider.gate = asyncio.Event()
    provider.script = [answer(HARD), answer(HARD, HARD, HARD, HARD)]
    first = asyncio.create_task(process.ask("r0"))
    await provider.called.wait()
    rest = [asyncio.create_task(process.ask(f"r{n}")) for n in range(1, 5)]
    await until(lambda: len(provider.calls) >= 2)
    provider.gate.set()
    assert len(await asyncio.gather(first, *rest)) == 5
    assert sorted(end.shares for end in ends(bench)) == [1, 4, 4, 4, 4]


async def test_a_new_deployment_reads_nothing_back(start, bench):
    process = await start()
    assert (await process.ask()).vote is not None
    assert not bench.log.reads


async def test_what_was_asked_before_a_restart_is_not_paid_again(process, start, provider, bench):
    before = await process.ask()
    for cache_bytes in (0, 1_000_000):
        assert await (await start(answer_cache_bytes=cache_bytes)).ask() == before
    assert (len(provider.calls), len(starts(bench)), len(ends(bench))) == (1, 1, 1)


@pytest.mark.parametrize(
    "fields",
    [{}, {"timeout_ms": 60_000}, {"deadline": BASE.replace(minute=50)}],
    ids=["of its class", "timeout", "deadline"],
)
async def test_a_resend_finds_what_an_older_copy_was_told(process, start, provider, bench, fields):
    before = await process.ask(**fields)
    bench.clock.advance(40)
    assert await (await start()).ask(at_ms=BASE_MS + 40_000, **fields) == before
    assert len(provider.calls) == 1


async def test_copies_in_one_process_share_the_question(process, provider, bench):
    provider.gate = asyncio.Event()
    copies = [asyncio.create_task(process.ask()) for _ in range(3)]
    other = asyncio.create_task(process.ask(revision=1))
    await provider.called.wait()
    copies[0].cancel()
    provider.script = [answer(HARD, HARD)]
    provider.gate.set()
    first, *rest = await asyncio.gather(*copies, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert rest[0] == rest[1]
    assert (await other).vote is not None
    assert len(ends(bench)) == 2
    assert process.votes._attempts._running == {}


async def test_copies_in_two_processes_are_paid_for_once_and_told_the_same(process, start, provider, bench):
    other = await start()
    provider.gate = asyncio.Event()
    copies = [asyncio.create_task(one.ask()) for one in (process, other)]
    await provider.called.wait()
    await until(lambda: len(starts(bench)) >= 2)
    provider.gate.set()
    one, two = await asyncio.gather(*copies)
    assert one == two
    assert one.vote.probabilities == HARD_VOTE
    assert len(provider.calls) == 1
    assert sorted(end.cost_usd for end in ends(bench)) == [0, CALL_COST]
    assert {end.call_id for end in ends(bench)} == {start.call_id for start in starts(bench)}


async def test_what_another_process_left_open_is_given_up_and_not_paid(process, provider, bench):
    append(bench, theirs())
    asked = await process.ask()
    assert (asked.vote, asked.missing, provider.calls) == (None, ABANDONED, [])
    [end] = ends(bench)
    assert (end.call_id, end.has_left, end.cost_usd) == (starts(bench)[1].call_id, False, 0)


async def test_who_takes_no_part_in_a_call_of_others_pays_nothing(process, provider, bench):
    append(bench, theirs("r2"))
    provider.script = [answer(HARD, HARD)]
    asked = await process.ask_all("r1", "r2", "r3")
    assert [one.missing for one in asked] == [None, ABANDONED, None]
    written = {end.request_id: end for end in ends(bench)}
    assert sum(end.cost_usd for end in written.values()) == CALL_COST
    assert (written["r2"].cost_usd, written["r2"].shares) == (0, 3)
    assert sum(end.usage.output for end in written.values()) == USAGE.output
    assert {end.rates.cost(end.usage) - end.cost_usd for end in written.values()} == {0}


async def test_an_end_that_comes_while_it_is_awaited_decides(process, provider, bench):
    append(bench, theirs())
    asking = asyncio.create_task(process.ask())
    await until(lambda: len(starts(bench)) >= 2)
    append(bench, their_end())
    assert (await asking).vote.probabilities == EASY_VOTE
    assert provider.calls == []


async def test_an_end_ahead_of_ours_decides_whatever_the_model_told_us(process, provider, bench):
    """A process that was stopped during its call finds that the new owner has given the attempt up."""

    async def on_the_wire():
        given_up = CallError(kind=ABANDONED, message="no")
        append(bench, theirs())
        append(bench, their_end(content=None, error=given_up))

    provider.on_call = on_the_wire
    asked = await process.ask()
    assert (asked.vote, asked.missing) == (None, ABANDONED)
    assert ends(bench)[1].cost_usd == CALL_COST


async def test_nothing_leaves_and_nothing_is_decided_before_all_that_stands_ahead_is_known(process, provider, bench):
    async with bench.log.lag:
        asking = asyncio.create_task(process.ask())
        await until(lambda: starts(bench))
        for _ in range(20):
            await asyncio.sleep(0)
        assert provider.calls == []
    provider.gate = asyncio.Event()
    await provider.called.wait()
    async with bench.log.lag:
        provider.gate.set()
        await until(lambda: ends(bench))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asking.done()
    assert (await asking).vote is not None


async def test_what_was_ended_before_decides_even_if_it_is_only_read_back_later(process, start, bench, provider):
    append(bench, theirs())
    append(bench, their_end())
    late = await start()
    append(bench, their_end(content=json.dumps(HARD_VOTE)))
    assert (await late.ask()).vote.probabilities == EASY_VOTE
    assert provider.calls == []


async def test_lateness_opens_the_breaker_of_the_classifier_and_not_that_of_the_model(process, provider, bench):
    provider.script = [LATE]
    for n in range(5):
        asked = await process.ask(f"r{n}")
        assert (asked.vote, asked.missing) == (None, "timeout")
    assert (state(bench, "classify"), state(bench, "fast/a")) == (BreakerState.OPEN, BreakerState.CLOSED)
    asked = await process.ask("r9")
    assert (asked.missing, len(provider.calls)) == ("unavailable", 5)
    [*_, end] = ends(bench)
    assert (end.has_left, end.cost_usd, end.usage) == (False, 0, None)


async def test_nonsense_is_paid_for_and_opens_the_breaker_of_the_classifier(process, provider, bench):
    provider.script = ["tier 3, trust me"]
    for n in range(5):
        asked = await process.ask(f"r{n}")
        assert (asked.vote, asked.missing, asked.attempts[0].cost_usd) == (None, "malformed", CALL_COST)
    assert (state(bench, "classify"), state(bench, "fast/a")) == (BreakerState.OPEN, BreakerState.CLOSED)


async def test_half_an_answer_is_an_answer(process, provider, bench):
    provider.script = [json.dumps({"1": HARD, "2": [90, 90, 90]})]
    one, two = await process.ask_all("r1", "r2")
    assert (one.vote.probabilities, two.missing) == (HARD_VOTE, "malformed")
    assert one.attempts[0].cost_usd + two.attempts[0].cost_usd == CALL_COST
    assert {end.shares for end in ends(bench)} == {2}


async def test_an_error_of_the_provider_counts_for_both_breakers(process, provider, bench):
    provider.script = [provider_error(ErrorKind.SERVER_ERROR, status=500)]
    for n in range(5):
        assert (await process.ask(f"r{n}")).missing == "server_error"
    assert (state(bench, "classify"), state(bench, "fast/a")) == (BreakerState.OPEN, BreakerState.OPEN)


@pytest.mark.parametrize("target", ["fast/a", "classify"])
async def test_while_a_breaker_is_open_no_call_leaves_and_that_is_journalled(process, provider, bench, target):
    bench.engine.gate.order(target, "open")
    asked = await process.ask_all("r1", "r2")
    assert [one.missing for one in asked] == ["unavailable"] * 2
    assert provider.calls == []
    assert [end.shares for end in ends(bench)] == [2, 2]
    bench.engine.gate.order(target, "auto")
    assert (await process.ask("r1")).missing == "unavailable"


async def test_a_breaker_that_opens_while_the_start_is_written_holds_the_call_back(process, provider, bench):
    publish = bench.log.publish

    async def publish_and_open(outputs, *, trace=None):
        bench.engine.gate.order("fast/a", "open")
        return await publish(outputs, trace=trace)

    bench.log.publish = publish_and_open
    assert (await process.ask()).missing == "unavailable"
    assert (provider.calls, len(starts(bench)), len(ends(bench))) == ([], 1, 1)


async def test_a_journal_that_takes_too_long_leaves_no_time_to_ask(process, provider, bench):
    publish = bench.log.publish

    async def slow_publish(outputs, *, trace=None):
        bench.clock.advance(0.2)
        return await publish(outputs, trace=trace)

    bench.log.publish = slow_publish
    for n in range(5):
        assert (await process.ask(f"r{n}")).missing == "timeout"
    assert (provider.calls, state(bench, "classify")) == ([], BreakerState.CLOSED)


@pytest.mark.parametrize(
    "fields",
    [{"context": {"data_class": "restricted"}}, {"max_cost_usd": Decimal("0.001")}, {"text": "  "}],
    ids=["restricted", "too cheap", "empty"],
)
async def test_what_is_not_to_be_asked_leaves_no_trace(process, provider, bench, fields):
    assert await process.ask(**fields) == VoteResult()
    assert (provider.calls, bench.log.published) == ([], [])


async def test_who_can_pay_for_it_is_asked_about(process):
    assert (await process.ask(max_cost_usd=Decimal(1))).vote is not None


async def test_who_lost_the_request_sends_nothing(process, provider, bench):
    with pytest.raises(PartitionLostError):
        await process.ask(current=lambda: False)
    assert (provider.calls, bench.log.published) == ([], [])


async def test_who_loses_all_of_a_batch_right_before_the_call_sends_nothing(process, provider, bench):
    current = [True]
    complete = provider.complete

    async def stopped_for_long(call):
        current[0] = False
        return await complete(call)

    provider.complete = stopped_for_long
    asking = [process.ask(name, current=lambda: current[0]) for name in ("r1", "r2")]
    assert [type(one) for one in await asyncio.gather(*asking, return_exceptions=True)] == [PartitionLostError] * 2
    assert (provider.calls, ends(bench), state(bench, "classify")) == ([], [], BreakerState.CLOSED)


async def test_who_loses_the_request_during_the_call_journals_the_answer_and_publishes_nothing(
    process, provider, bench
):
    current = [True]

    async def on_the_wire():
        current[0] = False

    provider.on_call = on_the_wire
    with pytest.raises(PartitionLostError):
        await process.ask(current=lambda: current[0])
    assert ends(bench)[0].cost_usd == CALL_COST
    assert (await process.ask()).vote.probabilities == HARD_VOTE


async def test_a_copy_of_the_current_generation_does_not_inherit_the_loss_of_an_earlier_one(start, provider, bench):
    process = await start(dataclasses.replace(bench, heartbeat=GroupHeartbeat(1000)))
    former = asyncio.create_task(process.ask(current=lambda: False))
    await asyncio.sleep(0)
    current = asyncio.create_task(process.ask())
    await asyncio.sleep(0)
    process.bench.heartbeat.beat()
    with pytest.raises(PartitionLostError):
        await former
    assert (await current).vote is not None


async def test_a_bug_after_the_call_has_left_ends_everybody_in_the_batch(process, provider, bench):
    """The call may have been paid for, and a call without an end would hide that."""
    provider.script = [RuntimeError("bug"), answer(HARD)]
    found = await asyncio.gather(process.ask("r1"), process.ask("r2"))
    assert [asked.missing for asked in found] == ["malformed", "malformed"]
    assert len(ends(bench)) == 2
    assert (await process.ask("r3")).vote is not None


async def test_the_route_begins_with_the_vote(process, bench):
    request = new_request()
    outputs = await classify.handler(request, bench.context("classify", votes=process.votes))
    [task] = [output.record for output in outputs if isinstance(output.record, TierTask)]
    assert (task.cost_usd, task.calls_for_an_answer, task.tries("infer:1")) == (CALL_COST, 0, 0)
    assert task.decision.classifier.endswith(VERSION)
    assert task.decision.tier == 2


async def test_a_missing_vote_is_told_and_the_local_classifier_decides(process, provider, bench):
    provider.script = [LATE]
    outputs = await classify.handler(new_request(), bench.context("classify", votes=process.votes))
    [task] = [output.record for output in outputs if isinstance(output.record, TierTask)]
    assert (task.tier, task.attempts[0].outcome, "classify/1" in task.decision.classifier) == (1, "timeout", False)
    assert "no vote: timeout" in task.hops[0].detail
