"""Bulk requests are answered by batches of their providers: at half the price, once each, whatever is killed."""

import asyncio
import os
import signal

import pytest
from support.bulk_requests import (
    assert_submitted_once,
    batch_calls,
    bulk_requests,
    config,
    made_at_provider,
    submissions,
)

from streams.calls.pricing import PriceBook
from streams.kafka.publisher import Output, Publisher
from tierstream.client.record_reader import RecordReader
from tierstream.simulator.server import running_simulator
from tierstream.verify.verification import VerifyOptions, verify
from topics.events import StatusKind
from topics.feedback import Cancellation
from topics.registry import FEEDBACK, STATUS


@pytest.fixture
async def simulator():
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=1, tokens_per_second=100_000, jitter=0, judge_error_rate=0, batch_s=1)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": config(wait_s=1)}


async def test_each_provider_answers_its_batches_at_half_the_price(deployment, simulator):
    await deployment.start_worker()
    asked = [one for tier in (1, 2, 3) for one in bulk_requests(12, tier=tier)]
    await deployment.send(asked)
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    calls = await batch_calls(deployment)
    assert calls.keys() == results.keys()
    prices = PriceBook(deployment.settings.prices, deployment.settings.providers)
    for call in calls.values():
        usual = prices.rates(call.provider, call.model, call.started_at, call.usage).cost(call.usage)
        assert call.cost_usd == usual / 2
        assert results[call.request_id].cost_usd == call.cost_usd
    planned, submitted, ended = await submissions(deployment)
    assert {one.provider for one in planned} == {"groq", "openai", "anthropic"}
    assert len(planned) == len(submitted) == len(ended) == len(simulator.batches)
    assert {one.batch_id for one in submitted} == {call.provider_batch for call in calls.values()}


@pytest.mark.slow
async def test_nothing_is_submitted_twice_though_workers_die_as_soon_as_a_provider_has_a_batch(deployment, simulator):
    simulator.set_behaviour(batch_s=3)
    worker = await deployment.start_worker()
    asked = [one for tier in (1, 2, 3) for one in bulk_requests(40, tier=tier)]
    sending = asyncio.create_task(deployment.send(asked))
    for kills in range(1, 7):
        await made_at_provider(simulator, kills)
        deployment.unwatch(worker).kill()
        worker = await deployment.start_worker()
    await sending
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    calls = await batch_calls(deployment)
    assert calls.keys() == results.keys()
    await assert_submitted_once(deployment, simulator)
    verification = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert verification.findings.ok, verification.findings.as_json()


@pytest.mark.slow
async def test_a_submission_whose_answer_was_lost_is_looked_up(deployment, simulator):
    simulator.set_behaviour(submit_cut=1, batch_s=2)
    await deployment.start_worker()
    asked = [one for tier in (1, 2, 3) for one in bulk_requests(9, tier=tier)]
    await deployment.send(asked)
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    assert (await batch_calls(deployment)).keys() == results.keys()
    await assert_submitted_once(deployment, simulator)
    _, submitted, _ = await submissions(deployment)
    assert all(one.found for one in submitted)


@pytest.mark.slow
async def test_what_a_batch_does_not_answer_in_time_is_asked_at_the_usual_price(deployment, simulator):
    simulator.set_behaviour(batch_s=600)
    await deployment.start_worker()
    asked = bulk_requests(12, timeout_ms=26_000)
    await deployment.send(asked)
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    assert {batch["status"] for batch in simulator.batches} == {"cancelled"}
    for result in results.values():
        assert [attempt.outcome for attempt in result.route] == ["batch_ended", "ok"]
        assert [attempt.model for attempt in result.route] == ["openai/gpt-oss-20b"] * 2
        assert result.route[0].cost_usd == 0
    await assert_submitted_once(deployment, simulator)


async def test_a_refused_batch_is_asked_call_by_call(deployment, simulator):
    simulator.set_behaviour(batch_refused=1)
    await deployment.start_worker()
    asked = bulk_requests(6)
    await deployment.send(asked)
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    _, _, ended = await submissions(deployment)
    assert {one.status for one in ended} == {"refused"}
    assert len(await batch_calls(deployment)) == 0


async def test_cancelled_requests_do_not_wait_for_their_batch(deployment, simulator):
    simulator.set_behaviour(batch_s=600)
    await deployment.start_worker()
    asked = bulk_requests(12)
    await deployment.send(asked)
    await made_at_provider(simulator, 1)
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(FEEDBACK, Cancellation(request_id=one.request_id)) for one in asked])
    results = await deployment.settled([one.request_id for one in asked])

    assert {(result.status, result.error.code) for result in results.values()} == {("rejected", "cancelled")}
    assert {batch["status"] for batch in await simulator.ended_batches(len(simulator.batches))} == {"cancelled"}


@pytest.mark.slow
async def test_copies_of_a_request_that_waits_are_answered_with_it(deployment, simulator):
    simulator.set_behaviour(batch_s=3)
    await deployment.start_worker()
    asked = bulk_requests(6)
    await deployment.send(asked)
    await made_at_provider(simulator, 1)
    await deployment.send(asked)
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    assert len(simulator.calls) == len(asked)
    await assert_submitted_once(deployment, simulator)


@pytest.mark.slow
@pytest.mark.parametrize("is_submitted", [False, True], ids=["waiting", "submitted"])
async def test_a_worker_that_was_stopped_submits_nothing_of_what_another_one_serves(
    deployment, simulator, is_submitted
):
    simulator.set_behaviour(batch_s=12)
    stalled = await deployment.start_worker()
    asked = bulk_requests(30)
    await deployment.send(asked)
    if is_submitted:
        await made_at_provider(simulator, 3)
    else:
        await batched(deployment, len(asked))
    os.kill(deployment.unwatch(stalled).pid, signal.SIGSTOP)
    await deployment.start_worker()
    await made_at_provider(simulator, 3)
    os.kill(stalled.pid, signal.SIGCONT)
    results = await deployment.settled([one.request_id for one in asked])

    assert {result.status for result in results.values()} == {"ok"}
    assert (await batch_calls(deployment)).keys() == results.keys()
    await assert_submitted_once(deployment, simulator)


async def batched(deployment, total):
    """Wait until so many requests wait for a batch."""
    seen = 0
    async with RecordReader(STATUS, deployment.kafka, start="beginning") as reader:
        while seen < total:
            seen += sum(event.kind == StatusKind.BATCHED for one in await reader.poll() for event in one.events)
