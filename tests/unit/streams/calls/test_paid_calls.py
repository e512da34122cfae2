"""Paid calls: the journal around them, sharing, recall, ownership, errors and prices."""

import asyncio
import dataclasses
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from support.in_memory import (
    BASE_MS,
    CALL_COST,
    SETTINGS,
    USAGE,
    Bench,
    FakeProvider,
    home_of,
    new_bench,
    new_request,
    new_task,
    provider_error,
    reply_of,
)
from support.tool_loop import PIECES, image, said, tool

from streams.admission import UnavailableError
from streams.calls.attempt_log import AttemptRef
from streams.calls.paid_calls import PaidCall
from streams.config.settings import Settings
from streams.kafka.heartbeat import GroupHeartbeat
from streams.kafka.lease import PartitionLostError
from streams.kafka.publisher import Output
from streams.providers.base import ChatReply, ErrorKind, Prompt
from topics.control import BreakerState
from topics.events import Chunk, Delta
from topics.journal import CallEnded, CallStarted, Purpose
from topics.messages import FunctionCall
from topics.registry import CALLS
from topics.requests import Params

STAGE = "infer:1"


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
async def bench(provider) -> Bench:
    return new_bench(Settings(**SETTINGS), fast=provider)


def paid_call(bench: Bench, *, n: int = 0, current=lambda: True, **fields) -> PaidCall:
    task = fields.pop("task", None) or new_task()
    return PaidCall(
        task=task,
        stage=STAGE,
        n=n,
        purpose=Purpose.INFER,
        model=bench.settings.tiers[0].models[0],
        prompt=Prompt(task.request.messages, fields.pop("params", task.request.params)),
        lease=bench.lease(task.request.request_id, current),
        **fields,
    )


def kinds(bench: Bench) -> list[type]:
    return [type(record) for record in bench.log.published]


async def test_it_is_journalled_before_and_after(bench, provider):
    async def on_the_wire() -> None:
        assert kinds(bench) == [CallStarted]
        bench.clock.advance(2)

    provider.on_call = on_the_wire
    call = paid_call(bench)
    ended = await bench.calls(STAGE).make(call)
    assert kinds(bench) == [CallStarted, CallEnded]
    started, written = bench.log.published
    assert written == ended
    assert (started.call_id, started.attempt_id) == (ended.call_id, call.attempt.attempt)
    assert (started.deadline, ended.provider_ms) == (call.task.deadline, 2000)
    assert (ended.content, ended.usage, ended.cost_usd) == ("an answer", USAGE, CALL_COST)
    assert ended.rates.source == "config"
    [sent] = provider.calls
    assert (sent.call_id, sent.model.model, sent.max_tokens, sent.timeout_s) == (started.call_id, "a", 1024, 30)


async def test_what_a_provider_needs_for_its_first_call_is_not_time_of_the_call(bench, provider, monkeypatch):
    async def prepare() -> None:
        assert kinds(bench) == []
        bench.clock.advance(2)

    monkeypatch.setattr(provider, "prepare", prepare)
    began = bench.clock()
    ended = await bench.calls(STAGE).make(paid_call(bench))
    assert ((ended.started_at - began).total_seconds(), ended.provider_ms) == (2, 0)


async def test_what_the_request_names_wins_and_time_ends_at_the_deadline(bench, provider):
    bench.clock.advance(50)
    await bench.calls(STAGE).make(paid_call(bench, params=Params(max_tokens=7)))
    assert (provider.calls[0].max_tokens, provider.calls[0].timeout_s) == (7, 10)


async def test_after_the_deadline_nothing_leaves_and_the_model_is_not_blamed(bench, provider):
    bench.clock.advance(60)
    for n in range(9):
        ended = await bench.calls(STAGE).make(paid_call(bench, n=n))
        assert (ended.error.kind, ended.cost_usd, provider.calls) == ("timeout", 0, [])
    assert kinds(bench)[:2] == [CallStarted, CallEnded]
    [shown] = [one for one in bench.engine.gate.snapshot() if one.target == "fast/a"]
    assert (shown.state, shown.failures) == (BreakerState.CLOSED, 0)


async def test_a_batch_of_which_some_are_lost_journals_the_others(bench, provider):
    current = {0: True, 1: True}
    wait_fresh, asked = bench.heartbeat.wait_fresh, []

    async def lost_while_waiting():
        asked.append(1)
        if len(asked) == 3:
            current[0] = False
        await wait_fresh()

    bench.heartbeat.wait_fresh = lost_while_waiting
    calls = bench.calls(STAGE)
    made = [calls.make(paid_call(bench, n=n, current=lambda n=n: current[n])) for n in current]
    lost, ended = await asyncio.gather(*made, return_exceptions=True)
    assert isinstance(lost, PartitionLostError)
    assert ended.content == "an answer"
    assert [record.n for record in bench.log.published] == [1, 1]


async def test_an_id_that_is_used_anew_after_the_window_gets_an_answer_of_its_own(bench, provider):
    provider.script = ["the old answer", "the new answer"]
    calls = bench.calls(STAGE)
    await calls.make(paid_call(bench))
    bench.clock.advance(3600)

    def later(ms):
        source = new_task().source.model_copy(update={"timestamp_ms": BASE_MS + ms})
        return paid_call(bench, task=new_task(source=source, deadline=bench.clock() + timedelta(seconds=60)))

    assert (await calls.make(later(3_600_000))).content == "the old answer"
    assert (await calls.make(later(3_600_001))).content == "the new answer"


async def test_copies_share_the_call_on_the_wire(bench, provider):
    provider.gate = asyncio.Event()
    calls = bench.calls(STAGE)
    copies = [asyncio.create_task(calls.make(paid_call(bench))) for _ in range(3)]
    other = asyncio.create_task(calls.make(paid_call(bench, n=1)))
    for _ in range(20):
        await asyncio.sleep(0)
    copies[0].cancel()
    provider.gate.set()
    first, *rest = await asyncio.gather(*copies, other, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert rest[0] == rest[1] != rest[2]
    assert len(provider.calls) == 2
    assert calls._attempts._running == {}


async def test_a_recalled_attempt_is_not_paid_again(bench, provider):
    ended = await bench.calls(STAGE).make(paid_call(bench))
    restarted = bench.calls(STAGE)
    assert await restarted.make(paid_call(bench)) == ended
    assert await restarted.recall(AttemptRef(home_of("r1"), ended.attempt_id, BASE_MS), new_request()) == ended
    assert len(provider.calls) == 1
    assert kinds(bench) == [CallStarted, CallEnded]


async def test_recall_alone_pays_nothing(bench, provider):
    call = paid_call(bench)
    assert await bench.calls(STAGE).recall(call.attempt, call.task.request) is None
    assert provider.calls == []


async def test_who_lost_the_partition_does_not_call(bench, provider):
    calls = bench.calls(STAGE)
    with pytest.raises(PartitionLostError):
        await calls.make(paid_call(bench, current=lambda: False))
    assert (provider.calls, bench.log.published) == ([], [])
    assert (await calls.make(paid_call(bench))).content == "an answer"


async def test_a_process_that_does_not_hear_from_its_group_waits(bench, provider):
    bench = dataclasses.replace(bench, heartbeat=GroupHeartbeat(1000))
    current = [True]
    making = asyncio.create_task(bench.calls(STAGE).make(paid_call(bench, current=lambda: current[0])))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not making.done()
    assert provider.calls == []
    current[0] = False
    bench.heartbeat.beat()
    with pytest.raises(PartitionLostError):
        await making
    assert (provider.calls, bench.log.published) == ([], [])


async def test_a_process_that_was_put_out_of_its_group_waits_for_nothing(bench, provider):
    """It joins again only when its work in hand has ended."""
    member = [True]
    bench = dataclasses.replace(bench, heartbeat=GroupHeartbeat(1000))
    bench.heartbeat.watch(lambda: member[0])
    making = asyncio.create_task(bench.calls(STAGE).make(paid_call(bench, current=lambda: bench.heartbeat.is_member)))
    await asyncio.sleep(0)
    member[0] = False
    with pytest.raises(PartitionLostError):
        await making
    assert provider.calls == []


async def test_who_loses_the_partition_right_before_the_call_sends_nothing(bench, provider):
    current = [True]

    async def stopped_for_long(call):
        current[0] = False
        await call.may_leave()

    provider.complete = stopped_for_long
    with pytest.raises(PartitionLostError):
        await bench.calls(STAGE).make(paid_call(bench, current=lambda: current[0]))
    assert kinds(bench) == [CallStarted]


async def test_a_copy_of_the_current_generation_does_not_inherit_the_loss_of_an_earlier_one(bench, provider):
    bench = dataclasses.replace(bench, heartbeat=GroupHeartbeat(1000))
    calls = bench.calls(STAGE)
    former = asyncio.create_task(calls.make(paid_call(bench, current=lambda: False)))
    await asyncio.sleep(0)
    current = asyncio.create_task(calls.make(paid_call(bench)))
    await asyncio.sleep(0)
    bench.heartbeat.beat()
    with pytest.raises(PartitionLostError):
        await former
    assert (await current).content == "an answer"
    assert len(provider.calls) == 1


@pytest.mark.parametrize(("usage", "cost"), [(None, Decimal(0)), (USAGE, CALL_COST)])
async def test_an_error_ends_the_call_with_what_it_cost(bench, provider, usage, cost):
    error = provider_error(ErrorKind.RATE_LIMITED, status=429, retry_after_ms=1500, usage=usage)
    provider.script = [error, "fine"]
    calls = bench.calls(STAGE)
    ended = await calls.make(paid_call(bench))
    assert (ended.error.kind, ended.error.status, ended.error.retry_after_ms) == ("rate_limited", 429, 1500)
    assert (ended.content, ended.usage, ended.cost_usd) == (None, usage, cost)
    assert await calls.make(paid_call(bench)) == ended
    with pytest.raises(UnavailableError, match=r"breaker_open, for another [01]\.\d s"):
        await calls.make(paid_call(bench, n=1))


async def test_a_half_character_does_not_lose_a_paid_answer(bench, provider):
    provider.script = [ChatReply("half \ud83d", "length", USAGE)]
    assert (await bench.calls(STAGE).make(paid_call(bench))).content == "half ?"
    assert kinds(bench) == [CallStarted, CallEnded]


@pytest.mark.parametrize("stream", [False, True])
async def test_half_characters_are_replaced_wherever_a_model_writes_them(bench, provider, stream):
    provider.script = [
        (
            Delta(kind="reasoning", text="\ud83d"),
            "\ud83d é",
            Delta(kind="tool_call", index=0, id="c1", name="look", text='{"a":"\ud83d"}'),
        )
    ]
    ended = await bench.calls(STAGE).make(paid_call(bench, stream=stream))
    assert (ended.content, ended.parts[0].thinking) == ("? é", "?")
    assert ended.tool_calls[0].function == FunctionCall(name="look", arguments='{"a":"?"}')
    assert CallEnded.model_validate_json(ended.model_dump_json()) == ended
    shown = [delta for chunk in bench.published(Chunk) for delta in chunk.deltas]
    assert [delta.text for delta in shown] == (["?", "? é", '{"a":"?"}'] if stream else [])


async def test_an_attempt_that_is_recalled_after_a_kill_made_the_same_calls(bench, provider):
    """The journal is all that another process knows of it."""
    provider.script = [replace(reply_of(PIECES), logprobs={"content": [{"token": "I", "logprob": -0.5}]})]
    ended = await bench.calls(STAGE).make(paid_call(bench))
    recalled = await bench.calls(STAGE, bench.attempts(answer_cache_bytes=0)).make(paid_call(bench))
    assert recalled == ended
    assert [call.id for call in recalled.tool_calls] == ["c1", "c2"]
    assert [part.type for part in recalled.parts[:2]] == ["thinking", "redacted_thinking"]
    assert recalled.logprobs == {"content": [{"token": "I", "logprob": -0.5}]}
    assert len(provider.calls) == 1


@pytest.mark.parametrize(
    ("asked", "tokens"),
    [
        ({}, 2 + 2 * 16),
        ({"tools": (tool(description="x" * 1000),)}, 500),
        ({"messages": (said("user", [image(f"data:image/png;base64,{'A' * 40_000}")]),)}, 5_000),
    ],
)
async def test_what_a_call_may_cost_counts_all_that_is_read(bench, provider, asked, tokens):
    model, caller = bench.settings.tiers[0].models[0], bench.engine.caller
    prompt = Prompt(**{"messages": (said("user", "hey!"),), "params": Params(max_tokens=1), **asked})
    most = caller.most_cost(model, prompt, bench.clock())
    assert Decimal(tokens) <= most * 1_000_000 <= Decimal(tokens + 1_000)
    assert caller.most_cost(model, prompt, bench.clock(), batch=True) == most / 2


async def test_what_is_announced_goes_out_with_the_start_and_only_if_the_call_is_made(bench, provider):
    announce = bench.context(STAGE).status("r1", 0)
    await bench.calls(STAGE).make(paid_call(bench, announce=(announce,)))
    assert bench.log.published[1] == announce.record
    await bench.calls(STAGE).make(paid_call(bench, announce=(announce,)))
    assert len(bench.log.published) == 3


async def test_a_crash_after_the_call_has_left_ends_it(bench, provider, caplog):
    """It may have been paid for, and a call without an end would hide that."""
    provider.script = [RuntimeError("bug with a secret"), "fine"]
    ended = await bench.calls(STAGE).make(paid_call(bench))
    assert (ended.error.kind, ended.error.message) == ("malformed", "the answer could not be read: RuntimeError")
    assert kinds(bench) == [CallStarted, CallEnded]
    assert "could not be read: RuntimeError in _step" in caplog.text or "RuntimeError in complete" in caplog.text
    assert "secret" not in caplog.text


async def test_a_crash_before_the_call_has_left_reaches_the_handler_and_is_not_remembered(bench, provider):
    async def crash(call):
        raise RuntimeError("bug")

    complete, provider.complete = provider.complete, crash
    calls = bench.calls(STAGE)
    with pytest.raises(RuntimeError, match="bug"):
        await calls.make(paid_call(bench))
    provider.complete = complete
    assert (await calls.make(paid_call(bench))).content == "an answer"


async def test_an_answer_that_cannot_be_recorded_ends_the_call(bench, provider):
    provider.script = [ChatReply("fine", "stop", USAGE.model_construct(input=1, output=-5))]
    ended = await bench.calls(STAGE).make(paid_call(bench))
    assert (ended.error.kind, ended.content, ended.cost_usd) == ("malformed", None, 0)
    assert kinds(bench) == [CallStarted, CallEnded]


async def test_the_task_names_the_attempt(bench):
    task = new_task().model_copy(update={"revision": 3})
    call = paid_call(bench, task=task)
    assert call.attempt != paid_call(bench).attempt
    assert call.attempt == paid_call(bench, task=task.model_copy(update={"why": "other"})).attempt


async def test_a_call_that_a_stopped_process_ends_at_the_last_moment_is_not_paid_again(bench, provider):
    call = paid_call(bench)
    ended = await bench.calls(STAGE).make(call)
    bench.log.stored.clear()
    started, theirs = list(bench.log.published)
    bench.log.append(Output(CALLS, started))
    ours = bench.calls(STAGE, bench.attempts(STAGE))
    publish = bench.log.publish

    async def publish_after_them(outputs, *, trace=None):
        if isinstance(outputs[0].record, CallStarted):
            bench.log.append(Output(CALLS, theirs))
        return await publish(outputs, trace=trace)

    bench.log.publish = publish_after_them
    assert await ours.make(call) == ended
    assert len(provider.calls) == 1


async def test_a_call_whose_breaker_opens_before_it_leaves_is_not_sent(bench, provider):
    publish = bench.log.publish

    async def publish_and_open(outputs, *, trace=None):
        bench.engine.gate.order("fast/a", "open")
        return await publish(outputs, trace=trace)

    bench.log.publish = publish_and_open
    ended = await bench.calls(STAGE).make(paid_call(bench))
    assert (ended.error.kind, ended.cost_usd) == ("rate_limited", 0)
    assert provider.calls == []


async def test_nobody_waits_for_a_shared_call_that_ended_before_it_left(bench, provider):
    """Members journal their part when the call leaves, so a call that does not leave must let them go."""
    opened = []
    publish = bench.log.publish

    async def publish_and_open_once(outputs, *, trace=None):
        if not opened and isinstance(outputs[0].record, CallStarted):
            opened.append(bench.engine.gate.order("fast/a", "open"))
        return await publish(outputs, trace=trace)

    bench.log.publish = publish_and_open_once
    requests = [new_request(request_id=f"r{n}", user_id="ann", params=Params(temperature=0)) for n in range(3)]
    calls = bench.calls(STAGE)
    made = await asyncio.gather(
        *(calls.make(paid_call(bench, task=new_task(request))) for request in requests), return_exceptions=True
    )
    assert isinstance(made[0], CallEnded)
    assert [type(one) for one in made[1:]] == [UnavailableError, UnavailableError]
    assert provider.calls == []
