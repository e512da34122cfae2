"""Batches of the simulator through the real SDKs, unchanged: what all vendors have in common."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import pytest
from support.sdk_batches import MODELS, Batches, Came, sdk_batches

from tierstream.simulator import RunningSimulator, running_simulator
from tierstream.simulator.wire_protocols import WIRE_PROTOCOLS

LONG = 3600.0
CANCELLED = {"batch_cancelled", "canceled"}
EXPIRED = {"batch_expired", "expired"}


def questions(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    return {name: {"messages": [{"role": "user", "content": f"Question {name}"}]} for name in names}


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    """Answers at once, but takes its time for batches where a test gives it some."""
    script = [{"prompt": f"Question {name}", "label": 1, "answer": f"Answer {name}"} for name in "abc"]
    async with running_simulator(script=script, time_scale=1) as simulator:
        simulator.set_behaviour(ttft_ms=0, jitter=0, tokens_per_second=1_000_000, batch_s=0)
        yield simulator


@pytest.fixture(params=MODELS)
async def batches(request: pytest.FixtureRequest, sim: RunningSimulator) -> AsyncIterator[Batches]:
    async with sdk_batches(sim, request.param) as made:
        yield made


def test_every_wire_protocol_has_batches() -> None:
    assert not WIRE_PROTOCOLS.keys() - MODELS.keys()


async def test_calls_are_answered_and_logged_like_any(sim: RunningSimulator, batches: Batches) -> None:
    made = await batches.submit(questions("abc"))
    (batch,) = await sim.ended_batches(1)
    results = await batches.results(made.id)
    assert {name: came.text for name, came in results.items()} == {name: f"Answer {name}" for name in "abc"}
    assert list(results) != ["a", "b", "c"]
    assert [call["call_id"] for call in sim.calls] == ["a", "b", "c"]
    for call in sim.calls:
        assert (call["batch"], call["status"], call["provider"]) == (made.id, 200, batches.provider)
        assert isinstance(call["usage"], dict)
        assert call["usage"]["input_tokens"] == results[str(call["call_id"])].input_tokens
    assert (batch["provider"], batch["id"], batch["status"]) == (batches.provider, made.id, "completed")
    assert (batch["custom_ids"], batch["answered"]) == (["a", "b", "c"], 3)


async def test_calls_that_come_alone_are_of_no_batch(sim: RunningSimulator) -> None:
    async with sdk_batches(sim, "openai") as batches:
        await batches.sdk.chat.completions.create(model=MODELS["openai"], **questions("a")["a"])
    assert sim.calls[0]["batch"] is None


async def test_a_batch_is_under_way_until_its_time_has_come(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(batch_s=10)
    made = await batches.submit(questions(str(n) for n in range(1000)))
    await sim.served(1)
    batch = await batches.look(made.id)
    if batches.provider == "anthropic":
        assert (made.processing_status, batch.processing_status) == ("in_progress", "in_progress")
        assert (batch.request_counts.processing, batch.request_counts.succeeded) == (1000, 0)
        assert (batch.results_url, batch.ended_at) == (None, None)
        assert (batch.expires_at - batch.created_at).total_seconds() == pytest.approx(24 * 3600)
    else:
        assert (made.status, made.request_counts.total) == ("validating", 0)
        assert (batch.status, batch.request_counts.total) == ("in_progress", 1000)
        assert 1 <= batch.request_counts.completed < 1000
        assert (batch.output_file_id, batch.completed_at) == (None, None)
        assert batch.expires_at == batch.created_at + 24 * 3600
    called_off = await batches.cancel(made.id)
    assert getattr(called_off, "processing_status", None) == "canceling" or called_off.status == "cancelling"
    await sim.ended_batches(1)
    results = (await batches.results(made.id)).values()
    answered = [came for came in results if came.error is None]
    assert len(results) == 1000
    assert 1 <= len(answered) == len(sim.calls) < 1000
    assert {came.error for came in results} - {None} <= CANCELLED


async def test_a_batch_that_is_called_off_at_once_has_no_answer(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(batch_s=LONG)
    made = await batches.submit(questions("ab"))
    await batches.cancel(made.id)
    (batch,) = await sim.ended_batches(1)
    assert (batch["status"], sim.calls) == ("cancelled", [])
    results = await batches.results(made.id)
    assert results.keys() == {"a", "b"}
    assert {came.error for came in results.values()} <= CANCELLED
    seen = await batches.look(made.id)
    if batches.provider == "anthropic":
        assert (seen.processing_status, seen.request_counts.canceled, seen.request_counts.processing) == ("ended", 2, 0)
        assert seen.cancel_initiated_at <= seen.ended_at
    else:
        assert (seen.status, seen.output_file_id) == ("cancelled", None)
        assert seen.cancelling_at <= seen.cancelled_at


async def test_a_batch_can_be_held_until_a_test_has_it_finished(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(batch_s=LONG)
    made = await batches.submit(questions("ab"))
    assert sim.batches[0]["status"] == "validating"
    sim.finish_batches()
    (batch,) = await sim.ended_batches(1)
    assert batch["status"] == "completed"
    assert (await batches.results(made.id))["a"].text == "Answer a"


async def test_what_has_ended_is_not_called_off(sim: RunningSimulator, batches: Batches) -> None:
    made = await batches.submit(questions("a"))
    await sim.ended_batches(1)
    with pytest.raises((batches.errors.ConflictError, batches.errors.BadRequestError)):
        await batches.cancel(made.id)
    assert (await batches.results(made.id))["a"].text == "Answer a"


async def test_calls_that_are_never_reached_expire(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(batch_lines_expire=0.5)
    made = await batches.submit(questions(str(n) for n in range(40)))
    (batch,) = await sim.ended_batches(1)
    results = await batches.results(made.id)
    expired = {name for name, came in results.items() if came.error in EXPIRED}
    assert len(results) == 40
    assert 5 < len(expired) < 35
    assert {call["call_id"] for call in sim.calls} == results.keys() - expired
    assert batch["status"] == "expired"
    seen = await batches.look(made.id)
    if batches.provider == "anthropic":
        assert (seen.request_counts.expired, seen.request_counts.succeeded) == (len(expired), 40 - len(expired))
    else:
        assert (seen.status, seen.request_counts.completed) == ("expired", 40 - len(expired))
        assert seen.expired_at is not None


async def test_a_cut_leaves_a_batch_that_nobody_was_told_of(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(submit_cut=1)
    with pytest.raises(batches.errors.APIConnectionError):
        await batches.submit(questions("ab"))
    (batch,) = await sim.ended_batches(1)
    assert batch["custom_ids"] == ["a", "b"]
    assert await batches.newest() == [batch["id"]]
    assert (await batches.results(str(batch["id"])))["b"].text == "Answer b"


async def test_there_is_no_room(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(batches_full=1, retry_after_s=1.5)
    with pytest.raises(batches.errors.RateLimitError) as refused:
        await batches.submit(questions("a"))
    assert refused.value.response.headers["retry-after"] == "1.5"
    assert sim.batches == []


async def test_a_model_that_is_down_takes_none(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(down=True)
    with pytest.raises(batches.errors.APIConnectionError):
        await batches.submit(questions("a"))
    assert sim.batches == []


@pytest.mark.parametrize(
    ("fault", "chat", "message"),
    [
        ("401", "401 invalid_request_error", "authentication_error"),
        ("429", "429 requests", "rate_limit_error"),
        ("500", "500 server_error", "api_error"),
        ("503", "503 server_error", "overloaded_error"),
    ],
)
async def test_calls_fail_like_any(
    sim: RunningSimulator, batches: Batches, fault: str, chat: str, message: str
) -> None:
    sim.set_behaviour(**{f"rate_{fault}": 1})
    made = await batches.submit(questions("a"))
    (batch,) = await sim.ended_batches(1)
    assert await batches.results(made.id) == {"a": Came(error=message if batches.provider == "anthropic" else chat)}
    assert (batch["status"], batch["answered"]) == ("completed", 0)
    assert (sim.calls[0]["status"], sim.calls[0]["usage"], sim.calls[0]["fault"]) == (int(fault), None, fault)


async def test_what_breaks_connections_breaks_no_call(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(rate_hang=0.4, rate_cut=0.3, rate_stream_error=0.3, requests_per_minute=1)
    made = await batches.submit(questions("abc"))
    await sim.ended_batches(1)
    assert {came.text for came in (await batches.results(made.id)).values()} == {"Answer a", "Answer b", "Answer c"}


async def test_empty_answers_and_halved_lines(sim: RunningSimulator, batches: Batches) -> None:
    sim.set_behaviour(rate_empty=1)
    empty = await batches.submit(questions("a"))
    await sim.ended_batches(1)
    assert (await batches.results(empty.id))["a"].text == ""
    sim.set_behaviour(rate_empty=0, rate_malformed=1)
    halved = await batches.submit(questions("a"))
    await sim.ended_batches(2)
    (line,) = await batches.raw_results(halved.id)
    with pytest.raises(ValueError, match=r".*"):
        json.loads(line)
    assert (sim.calls[1]["status"], sim.calls[1]["usage"]) == (200, None)


async def test_a_request_that_is_wrong_fails_alone(sim: RunningSimulator, batches: Batches) -> None:
    wrong = {"none": {"messages": []}, "streamed": {**questions("a")["a"], "stream": True}}
    made = await batches.submit({**questions("a"), **wrong})
    await sim.ended_batches(1)
    results = await batches.results(made.id)
    assert results["a"].text == "Answer a"
    for name in wrong:
        assert (results[name].error or "").removeprefix("400 ") == "invalid_request_error"


async def test_calls_share_the_prompt_cache(sim: RunningSimulator, batches: Batches) -> None:
    long = "policy " * 1100
    calls = questions("ab")
    for call in calls.values():
        if batches.provider == "anthropic":
            call["system"] = long
        else:
            call["messages"].insert(0, {"role": "system", "content": long})
    await batches.submit(calls)
    await sim.ended_batches(1)
    cached = [call["usage"]["cached_tokens"] for call in sim.calls if isinstance(call["usage"], dict)]
    assert cached[0] == 0
    assert cached[1] >= 1100


async def test_a_repeat_with_the_same_key_is_another_batch(sim: RunningSimulator, batches: Batches) -> None:
    key = {"Idempotency-Key": "once"}
    sdk = batches.sdk.with_options(default_headers=key)
    for _ in range(2):
        await type(batches)(batches.provider, sdk, batches.errors).submit(questions("a"))
    first, second = await sim.ended_batches(2)
    assert first["id"] != second["id"]
    assert [call["batch"] for call in sim.calls] == [first["id"], second["id"]]


async def test_batches_of_one_provider_are_unknown_to_others(sim: RunningSimulator) -> None:
    async with sdk_batches(sim, "openai") as of_openai, sdk_batches(sim, "groq") as of_groq:
        made = await of_openai.submit(questions("a"))
        assert await of_groq.newest() == []
        with pytest.raises(of_groq.errors.NotFoundError):
            await of_groq.look(made.id)


@pytest.mark.parametrize("path", ["groq/openai/v1/batches", "openai/v1/files", "anthropic/v1/messages/batches"])
async def test_a_key_is_needed(sim: RunningSimulator, path: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{sim.url}/{path}") as response:
        assert response.status == 401
        assert "error" in await response.json()


async def test_made_batches_are_told_over_http(sim: RunningSimulator, batches: Batches) -> None:
    await batches.submit(questions("a"))
    await sim.ended_batches(1)
    sim.set_behaviour(batch_s=LONG)
    await batches.submit(questions("b"))
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{sim.url}/batches") as response:
            assert await response.json() == {"batches": sim.batches}
        async with http.post(f"{sim.url}/batches/finish") as response:
            assert [batch["id"] for batch in (await response.json())["batches"]] == (await batches.newest())[::-1]
    assert [batch["status"] for batch in await sim.ended_batches(2)] == ["completed", "completed"]


async def test_faults_of_batches_repeat_with_the_seed_and_leave_those_of_calls_alone() -> None:
    seen = []
    for calls_before in (0, 3):
        async with running_simulator(time_scale=0) as sim, sdk_batches(sim, "anthropic") as batches:
            for _ in range(calls_before):
                await batches.sdk.messages.create(model=MODELS["anthropic"], max_tokens=9, **questions("a")["a"])
            sim.set_behaviour(batches_full=0.5)
            fates = []
            for _ in range(12):
                try:
                    await batches.submit(questions("a"))
                except batches.errors.RateLimitError:
                    fates.append("full")
                else:
                    fates.append("made")
            seen.append(fates)
    assert seen[0] == seen[1]
    assert set(seen[0]) == {"full", "made"}


async def test_a_simulator_stops_in_the_middle_of_a_batch() -> None:
    async with running_simulator(time_scale=1) as sim, sdk_batches(sim, "anthropic") as batches:
        sim.set_behaviour(batch_s=LONG)
        await batches.submit(questions("a"))
    assert sim.batches[0]["status"] == "validating"
