"""The real SDKs against the simulator, unchanged: replies, usage, and each way to fail."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import groq
import httpx
import httpx2
import openai
import pytest

from tierstream.simulator import RunningSimulator, running_simulator
from tierstream.simulator.wire_protocols import WIRE_PROTOCOLS

PROVIDERS = {"groq": "openai/gpt-oss-20b", "openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
HELLO = [{"role": "user", "content": "Say hello."}]


@dataclass(frozen=True)
class Seen:
    text: str
    finish: str | None
    usage: dict[str, int] | None


@dataclass(frozen=True)
class Client:
    """One SDK behind the few calls that the tests need."""

    provider: str
    sdk: Any
    errors: Any

    async def send(self, *, stream: bool = False, **options: Any) -> Seen:
        options = {"model": PROVIDERS[self.provider], "messages": HELLO, "stream": stream, **options}
        if self.provider == "anthropic":
            response = await self.sdk.messages.create(**{"max_tokens": 1000, **options})
            return await (self._anthropic_stream(response) if stream else self._anthropic(response))
        if stream and self.provider == "openai":
            options["stream_options"] = {"include_usage": True}
        response = await self.sdk.chat.completions.create(**options)
        return await (self._chat_stream(response) if stream else self._chat(response))

    async def _anthropic(self, message: Any) -> Seen:
        text = "".join(block.text for block in message.content)
        return Seen(text, message.stop_reason, anthropic_usage(message.usage))

    async def _anthropic_stream(self, stream: Any) -> Seen:
        kinds, text, finish, usage = [], "", None, None
        async for event in stream:
            kinds.append(event.type)
            if event.type == "content_block_delta":
                text += event.delta.text
            elif event.type == "message_delta":
                finish, usage = event.delta.stop_reason, anthropic_usage(event.usage)
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        return Seen(text, finish, usage)

    async def _chat(self, completion: Any) -> Seen:
        choice = completion.choices[0]
        return Seen(choice.message.content, choice.finish_reason, chat_usage(completion.usage))

    async def _chat_stream(self, stream: Any) -> Seen:
        text, finish, usage = "", None, None
        async for chunk in stream:
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or finish
            told = chunk.x_groq.usage if self.provider == "groq" and chunk.x_groq else chunk.usage
            usage = chat_usage(told) if told else usage
        return Seen(text, finish, usage)


def chat_usage(usage: Any) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cached_tokens": usage.prompt_tokens_details.cached_tokens,
        "reasoning_tokens": usage.completion_tokens_details.reasoning_tokens,
        "cache_written_tokens": 0,
    }


def anthropic_usage(usage: Any) -> dict[str, int]:
    return {
        "input_tokens": usage.input_tokens + usage.cache_read_input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cache_read_input_tokens,
        "reasoning_tokens": 0,
        "cache_written_tokens": usage.cache_creation_input_tokens,
    }


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "usage.jsonl"


@pytest.fixture
async def sim(log_path: Path) -> AsyncIterator[RunningSimulator]:
    script = [{"prompt": "Say hello.", "label": 1, "answer": "Hello to you and to everyone who reads this."}]
    async with running_simulator(script=script, usage_log=log_path, time_scale=0) as simulator:
        yield simulator


@pytest.fixture(params=PROVIDERS)
async def client(request: pytest.FixtureRequest, sim: RunningSimulator) -> AsyncIterator[Client]:
    provider = request.param
    options = {"api_key": "any", "base_url": sim.base_url(provider), "max_retries": 0}
    makers: dict[str, Callable[[], Any]] = {
        "groq": lambda: groq.AsyncGroq(http_client=groq.DefaultAioHttpClient(), **options),
        "openai": lambda: openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient(), **options),
        "anthropic": lambda: anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient(), **options),
    }
    modules = {"groq": groq, "openai": openai, "anthropic": anthropic}
    async with makers[provider]() as sdk:
        yield Client(provider, sdk, modules[provider])


def test_every_wire_protocol_is_spoken_with_its_vendors_sdk() -> None:
    missing = WIRE_PROTOCOLS.keys() - PROVIDERS.keys()
    assert not missing, f"tests/contract/test_simulator_sdks.py: PROVIDERS, makers and modules lack {missing}"


@pytest.mark.parametrize("stream", [False, True])
async def test_reply_and_usage_agree_with_the_log(
    sim: RunningSimulator, client: Client, log_path: Path, stream: bool
) -> None:
    seen = await client.send(stream=stream, extra_headers={"X-Client-Request-Id": "attempt-1"})
    assert seen.text == "Hello to you and to everyone who reads this."
    assert seen.finish in {"stop", "end_turn"}
    (line,) = lines_of(log_path)
    record = json.loads(line)
    assert record == sim.calls[0]
    assert record["usage"] == seen.usage
    assert (record["call_id"], record["status"], record["stream"]) == ("attempt-1", 200, stream)
    assert (record["provider"], record["model"]) == (client.provider, PROVIDERS[client.provider])
    assert "hello" not in line.lower()


@pytest.mark.parametrize("stream", [False, True])
async def test_answer_is_cut_at_max_tokens(client: Client, stream: bool) -> None:
    seen = await client.send(stream=stream, max_tokens=5)
    assert seen.finish in {"length", "max_tokens"}
    assert seen.usage is not None
    assert seen.usage["output_tokens"] == 5
    assert "Hello to you and to everyone".startswith(seen.text)


async def test_long_system_prompt_is_cached_the_second_time(client: Client) -> None:
    long = "policy " * 1100
    if client.provider == "anthropic":
        options: dict[str, Any] = {"system": [{"type": "text", "text": long}]}
    else:
        options = {"messages": [{"role": "system", "content": long}, *HELLO]}
    first, second = (await client.send(**options)).usage, (await client.send(**options)).usage
    assert first is not None
    assert second is not None
    assert (first["cached_tokens"], first["input_tokens"]) == (0, second["input_tokens"])
    assert 1100 <= second["cached_tokens"] < second["input_tokens"]


@pytest.mark.parametrize("stream", [False, True])
async def test_429_names_when_to_come_back(sim: RunningSimulator, client: Client, stream: bool) -> None:
    sim.set_behaviour(client.provider, rate_429=1, retry_after_s=2.5)
    with pytest.raises(client.errors.RateLimitError) as refused:
        await client.send(stream=stream)
    assert refused.value.response.headers["retry-after"] == "2.5"
    assert (sim.calls[0]["status"], sim.calls[0]["usage"], sim.calls[0]["retry_after_s"]) == (429, None, 2.5)


async def test_requests_per_minute_are_limited(sim: RunningSimulator, client: Client) -> None:
    sim.set_behaviour(client.provider, requests_per_minute=2)
    await client.send()
    await client.send()
    with pytest.raises(client.errors.RateLimitError) as refused:
        await client.send()
    headers = refused.value.response.headers
    assert 0 < float(headers["retry-after"]) <= 30
    names = {"anthropic": "anthropic-ratelimit-requests-remaining"}
    assert headers[names.get(client.provider, "x-ratelimit-remaining-requests")] == "0"


async def test_tokens_per_minute_are_limited(sim: RunningSimulator, client: Client) -> None:
    sim.set_behaviour(client.provider, tokens_per_minute=10)
    await client.send()
    with pytest.raises(client.errors.RateLimitError):
        await client.send()


@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("stream", [False, True])
async def test_server_errors(sim: RunningSimulator, client: Client, status: int, stream: bool) -> None:
    sim.set_behaviour(client.provider, **{f"rate_{status}": 1})
    with pytest.raises(client.errors.InternalServerError) as refused:
        await client.send(stream=stream)
    assert refused.value.status_code == status == sim.calls[0]["status"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("behaviour", "status"), [({"rate_cut": 1}, "cut"), ({"down": True}, "dropped")])
async def test_broken_connections(
    sim: RunningSimulator, client: Client, behaviour: dict[str, Any], status: str, stream: bool
) -> None:
    sim.set_behaviour(client.provider, **behaviour)
    # Two of the SDKs let the transport's own error through once a stream has begun.
    with pytest.raises((client.errors.APIConnectionError, httpx.ReadError, httpx2.ReadError)):
        await client.send(stream=stream)
    assert (sim.calls[0]["status"], sim.calls[0]["usage"]) == (status, None)


@pytest.mark.parametrize("stream", [False, True])
async def test_malformed_body(sim: RunningSimulator, client: Client, stream: bool) -> None:
    sim.set_behaviour(client.provider, rate_malformed=1)
    with pytest.raises(json.JSONDecodeError):
        await client.send(stream=stream)
    assert (sim.calls[0]["status"], sim.calls[0]["fault"], sim.calls[0]["usage"]) == (200, "malformed", None)


async def test_error_in_the_stream(sim: RunningSimulator, client: Client) -> None:
    sim.set_behaviour(client.provider, rate_stream_error=1)
    with pytest.raises(client.errors.APIError):
        await client.send(stream=True)
    assert (sim.calls[0]["status"], sim.calls[0]["fault"], sim.calls[0]["usage"]) == (200, "stream_error", None)
    assert (await client.send()).text


async def test_empty_answer(sim: RunningSimulator, client: Client) -> None:
    sim.set_behaviour(client.provider, rate_empty=1)
    assert (await client.send()).text == ""


@pytest.mark.parametrize("stream", [False, True])
async def test_hang_until_the_client_gives_up(sim: RunningSimulator, client: Client, stream: bool) -> None:
    sim.set_behaviour(client.provider, rate_hang=1)
    with pytest.raises(client.errors.APITimeoutError):
        # Long enough to be there before it gives up, also on a busy machine: else nothing would be served.
        await client.send(stream=stream, timeout=1)
    (call,) = await sim.served(1)
    assert (call["status"], call["usage"]) == ("hang", None)


async def test_missing_key_and_unknown_model(sim: RunningSimulator, client: Client) -> None:
    blank = {"Authorization": "Bearer ", "x-api-key": " "}
    with pytest.raises(client.errors.AuthenticationError):
        await client.send(extra_headers=blank)
    with pytest.raises(client.errors.NotFoundError) as refused:
        await client.send(model="gpt-0")
    assert "gpt-0" in str(refused.value)
    assert [call["status"] for call in sim.calls] == [401, 404]


async def test_invalid_requests(sim: RunningSimulator, client: Client) -> None:
    sim.set_behaviour(client.provider, context_window=50)
    too_long = [{"role": "user", "content": "word " * 60}]
    wrong: list[Callable[[], Awaitable[Any]]] = [
        lambda: client.send(messages=[]),
        lambda: client.send(messages=too_long),
        lambda: client.send(model=""),
    ]
    for send in wrong:
        with pytest.raises(client.errors.BadRequestError):
            await send()
    assert [call["status"] for call in sim.calls] == [400, 400, 400]


async def test_models_are_listed(client: Client) -> None:
    page = await client.sdk.models.list()
    assert PROVIDERS[client.provider] in {model.id for model in page.data}


async def test_unknown_prompt_gets_an_instance_of_the_schema(client: Client) -> None:
    schema = {
        "type": "object",
        "properties": {"tier": {"enum": ["low", "high"]}, "score": {"type": "number"}},
        "required": ["tier", "score"],
        "additionalProperties": False,
    }
    if client.provider == "anthropic":
        options: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    else:
        wanted = {"type": "json_schema", "json_schema": {"name": "tier", "schema": schema, "strict": True}}
        options = {"response_format": wanted}
    seen = await client.send(messages=[{"role": "user", "content": "Which tier?"}], **options)
    assert json.loads(seen.text) == {"tier": "low", "score": 0}


async def test_malformed_schema_is_refused(client: Client) -> None:
    schema = {"type": "object", "required": 5}
    if client.provider == "anthropic":
        options: dict[str, Any] = {"output_config": {"format": {"type": "json_schema", "schema": schema}}}
    else:
        options = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    with pytest.raises(client.errors.BadRequestError):
        await client.send(messages=[{"role": "user", "content": "Which tier?"}], **options)
