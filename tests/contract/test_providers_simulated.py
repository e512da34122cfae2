"""Every SDK against the provider simulator, and against a server that breaks the protocol."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from aiohttp import web
from support.provider_calls import PROMPT, Handler, Listener, answering, built, call_of, settings_with_all
from support.shipped_providers import NAMES

from streams.config.settings import Settings
from streams.providers.base import ErrorKind, Provider, ProviderError
from tierstream.simulator import RunningSimulator, running_simulator
from topics.messages import Message

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    for variable in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")
    return settings_with_all()


@dataclass
class Simulated:
    simulator: RunningSimulator
    providers: dict[str, Provider]
    models: dict[str, str]

    async def ask(self, name: str, **fields):
        return await self.providers[name].complete(call_of(**{"model": self.models[name], **fields}))

    async def fail(self, name: str, **fields) -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await self.ask(name, **fields)
        assert "SECRET" not in str(caught.value)
        return caught.value


@pytest.fixture
async def simulated(settings) -> AsyncIterator[Simulated]:
    async with running_simulator(time_scale=0) as simulator, built(settings, simulator.url) as providers:
        models = {model.provider: model.model for model in settings.tiers[0].models}
        yield Simulated(simulator, providers, models)


@each
async def test_plain_answer(simulated, name):
    call_id = uuid4()
    reply = await simulated.ask(name, call_id=call_id)
    assert reply.content
    assert reply.finish_reason == "stop"
    assert reply.usage.source == "provider"
    [seen] = simulated.simulator.calls
    assert seen["call_id"] == str(call_id)
    assert seen["usage"] == {
        "input_tokens": reply.usage.input,
        "output_tokens": reply.usage.output,
        "cached_tokens": reply.usage.cached,
        "reasoning_tokens": reply.usage.reasoning,
        "cache_written_tokens": reply.usage.cache_written,
    }


@each
async def test_json_schema(simulated, name):
    reply = await simulated.ask(name, response_schema=SCHEMA)
    assert isinstance(json.loads(reply.content)["n"], int)


@each
async def test_limit_of_tokens(simulated, name):
    reply = await simulated.ask(name, max_tokens=3, messages=(Message(role="user", content=PROMPT * 40),))
    assert reply.finish_reason == "length"
    assert reply.usage.output <= 3


@each
async def test_rate_limit_says_when_to_come_back(simulated, name):
    simulated.simulator.set_behaviour(rate_429=1, retry_after_s=1.5)
    error = await simulated.fail(name)
    assert (error.kind, error.status, error.retry_after_ms) == (ErrorKind.RATE_LIMITED, 429, 1500)
    assert len(simulated.simulator.calls) == 1


@each
@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("rate_500", ErrorKind.SERVER_ERROR, 500),
        ("rate_401", ErrorKind.BAD_KEY, 401),
        ("rate_503", ErrorKind.OVERLOADED, 503),
        ("rate_cut", ErrorKind.CUT, None),
        ("rate_malformed", ErrorKind.MALFORMED, None),
        ("rate_empty", ErrorKind.EMPTY, None),
    ],
)
async def test_faults(simulated, name, fault, kind, status):
    simulated.simulator.set_behaviour(**{fault: 1})
    error = await simulated.fail(name)
    assert (error.kind, error.status) == (kind, status)
    assert (error.usage is not None) == (kind is ErrorKind.EMPTY)
    assert len(simulated.simulator.calls) == 1


@each
async def test_streamed_answer_is_the_whole_answer(simulated, name):
    listener = Listener()
    streamed = await simulated.ask(name, on_piece=listener)
    whole = await simulated.ask(name)
    assert "".join(listener.pieces) == streamed.content == whole.content
    assert len(listener.pieces) > 1
    assert (streamed.finish_reason, streamed.usage) == (whole.finish_reason, whole.usage)
    assert streamed.usage.source == "provider"
    assert streamed.first_token_ms > 0
    assert whole.first_token_ms is None
    assert [call["stream"] for call in simulated.simulator.calls] == [True, False]
    first, second = (call["usage"] for call in simulated.simulator.calls)
    assert first == second


@each
@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("rate_cut", {ErrorKind.CUT}),
        ("rate_malformed", {ErrorKind.MALFORMED}),
        ("rate_stream_error", {ErrorKind.SERVER_ERROR, ErrorKind.OVERLOADED}),
    ],
)
async def test_stream_that_breaks_midway_may_be_billed(simulated, name, fault, kinds):
    simulated.simulator.set_behaviour(**{fault: 1})
    listener = Listener()
    error = await simulated.fail(name, on_piece=listener)
    assert error.kind in kinds
    assert listener.pieces
    assert error.usage.source == "estimated"
    assert error.usage.input > 0
    assert error.usage.output >= sum(map(len, listener.pieces)) // 4
    assert simulated.simulator.calls[0]["usage"] is None


@each
async def test_empty_stream(simulated, name):
    simulated.simulator.set_behaviour(rate_empty=1)
    listener = Listener()
    error = await simulated.fail(name, on_piece=listener)
    assert (error.kind, error.usage.source, listener.pieces) == (ErrorKind.EMPTY, "provider", [])


@each
@pytest.mark.parametrize("streamed", [False, True])
async def test_limits_are_told(simulated, name, streamed):
    simulated.simulator.set_behaviour(requests_per_minute=2, tokens_per_minute=100_000)
    fields = {"on_piece": Listener()} if streamed else {}
    limits = (await simulated.ask(name, **fields)).limits
    assert limits.remaining_requests == 1
    assert 0 < limits.remaining_tokens < 100_000
    assert 0 <= limits.requests_reset_s <= 30
    assert 0 <= limits.tokens_reset_s <= 60
    await simulated.ask(name, **fields)
    error = await simulated.fail(name, **fields)
    assert (error.kind, error.limits.remaining_requests) == (ErrorKind.RATE_LIMITED, 0)
    assert 0 < error.retry_after_ms <= 30_000


@each
async def test_dropped_before_any_answer(simulated, name):
    simulated.simulator.set_behaviour(down=True)
    assert (await simulated.fail(name)).kind is ErrorKind.CUT


@each
async def test_hang_ends_with_the_time(simulated, name):
    simulated.simulator.set_behaviour(rate_hang=1)
    assert (await simulated.fail(name, timeout_s=0.05)).kind is ErrorKind.TIMEOUT


@each
async def test_unknown_model(simulated, name):
    error = await simulated.fail(name, model="no-such-model")
    assert (error.kind, error.status) == (ErrorKind.MODEL_NOT_FOUND, 404)


@each
async def test_too_long(simulated, name):
    simulated.simulator.set_behaviour(context_window=4)
    assert (await simulated.fail(name)).kind is ErrorKind.CONTEXT_TOO_LONG


@each
async def test_nobody_listens(settings, name):
    async with running_simulator(time_scale=0) as gone:
        url = gone.url
    async with built(settings, url) as providers:
        with pytest.raises(ProviderError) as caught:
            await providers[name].complete(call_of("m"))
    assert caught.value.kind is ErrorKind.CONNECTION


@each
async def test_nothing_reaches_a_log(simulated, name, caplog):
    for logger in ("", "openai", "groq", "anthropic"):
        caplog.set_level(logging.DEBUG, logger)
    await simulated.ask(name, on_piece=Listener())
    reply = await simulated.ask(name)
    assert "SECRETPROMPT" not in caplog.text
    assert reply.content not in caplog.text


async def outcome_of(settings: Settings, name: str, handler: Handler, **fields) -> ProviderError:
    async with answering(settings, handler) as providers:
        with pytest.raises(ProviderError) as caught:
            await providers[name].complete(call_of("m", **fields))
    assert "SECRET" not in str(caught.value)
    return caught.value


OUT_OF_FORM = (
    "{}",
    "null",
    '"SECRET"',
    '{"choices": []}',
    '{"choices": [{"message": {"content": ["SECRET"]}}]}',
    '{"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": -1, "completion_tokens": 1}}',
    '{"content": "SECRET"}',
    '{"content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": "SECRET", "output_tokens": 1}}',
    "<html>SECRET</html>",
    "",
)


@each
async def test_responses_out_of_form(settings, name):
    bodies = iter(OUT_OF_FORM)

    async def handle(request: web.Request) -> web.Response:
        return web.Response(text=next(bodies), content_type="application/json")

    async with answering(settings, handle) as providers:
        for body in OUT_OF_FORM:
            with pytest.raises(ProviderError) as caught:
                await providers[name].complete(call_of("m"))
            assert caught.value.kind is ErrorKind.MALFORMED, body
            assert "SECRET" not in str(caught.value)


@each
async def test_not_http(settings, name):
    async def handle(request: web.Request) -> web.Response:
        request.transport.write(b"SECRET is not HTTP\r\n\r\n")
        request.transport.close()
        return web.Response()

    assert (await outcome_of(settings, name, handle)).kind in {ErrorKind.MALFORMED, ErrorKind.CUT}


@each
async def test_trickle_ends_with_the_time(settings, name):
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    assert (await outcome_of(settings, name, handle, timeout_s=0.1)).kind is ErrorKind.TIMEOUT


@each
@pytest.mark.parametrize(("status", "kind"), [(401, ErrorKind.BAD_KEY), (403, ErrorKind.BAD_KEY)])
async def test_refused_key(settings, name, status, kind):
    async def handle(request: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "SECRET key"}}, status=status)

    error = await outcome_of(settings, name, handle)
    assert (error.kind, error.status) == (kind, status)


@each
async def test_extra_wins_and_objects_are_merged(settings, name):
    seen: list[dict] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(await request.json())
        return web.json_response({}, status=500)

    field = "output_config" if name == "anthropic" else "response_format"
    extra = {"model": "other", field: {"effort": "low"}, "service_tier": "flex"}
    await outcome_of(settings, name, handle, response_schema=SCHEMA, extra=extra)
    [body] = seen
    assert (body["model"], body["service_tier"], body[field]["effort"]) == ("other", "flex", "low")
    assert len(body[field]) > 1
