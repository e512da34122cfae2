"""Batches as users make them with the vendors' SDKs, behind the few calls that tests of the simulator need."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import groq
import httpx2
import openai
from pydantic import BaseModel

from tierstream.simulator import RunningSimulator

MODELS = {"groq": "openai/gpt-oss-20b", "openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}


def chat_line(custom_id: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}


def jsonl(*lines: Any) -> bytes:
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)


def checked(value: BaseModel) -> Any:
    """An object of an SDK, which builds them of anything, if all in it is as its type says."""
    type(value).model_validate(value.model_dump(), strict=True)
    return value


@dataclass(frozen=True)
class Came:
    """How a call came out: an answer with its tokens, or what kind of error."""

    text: str | None = None
    input_tokens: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class ChatBatches:
    """OpenAI's and Groq's API."""

    provider: str
    sdk: Any
    errors: Any

    async def upload(self, content: bytes, name: str = "in.jsonl", **options: Any) -> str:
        return str(checked(await self.sdk.files.create(file=(name, content), purpose="batch", **options)).id)

    async def create(self, file_id: str, **options: Any) -> Any:
        options = {"endpoint": "/v1/chat/completions", "completion_window": "24h", **options}
        return checked(await self.sdk.batches.create(input_file_id=file_id, **options))

    async def submit(self, calls: Mapping[str, Mapping[str, Any]], **options: Any) -> Any:
        lines = [chat_line(custom_id, model=MODELS[self.provider], **body) for custom_id, body in calls.items()]
        return await self.create(await self.upload(jsonl(*lines)), **options)

    async def look(self, batch_id: str) -> Any:
        return checked(await self.sdk.batches.retrieve(batch_id))

    async def cancel(self, batch_id: str) -> Any:
        return checked(await self.sdk.batches.cancel(batch_id))

    async def newest(self) -> list[str]:
        return [batch.id for batch in (await self.sdk.batches.list()).data]

    async def read(self, file_id: str) -> list[bytes]:
        content = await self.sdk.files.content(file_id)
        whole: bytes = await content.read() if self.provider == "groq" else content.content
        return whole.splitlines()

    async def raw_results(self, batch_id: str) -> list[bytes]:
        batch = await self.look(batch_id)
        return [line for file in (batch.output_file_id, batch.error_file_id) if file for line in await self.read(file)]

    async def results(self, batch_id: str) -> dict[str, Came]:
        return dict(map(_chat_result, await self.raw_results(batch_id)))


def _chat_result(raw: bytes) -> tuple[str, Came]:
    line = json.loads(raw)
    assert set(line) == {"id", "custom_id", "response", "error"}
    if line["error"]:
        assert line["response"] is None
        return line["custom_id"], Came(error=line["error"]["code"])
    body = line["response"]["body"]
    if line["response"]["status_code"] != 200:
        return line["custom_id"], Came(error=f"{line['response']['status_code']} {body['error']['type']}")
    completion = openai.types.chat.ChatCompletion.model_validate(body)
    assert completion.usage
    return line["custom_id"], Came(completion.choices[0].message.content, completion.usage.prompt_tokens)


@dataclass(frozen=True)
class MessageBatches:
    """Anthropic's API."""

    provider: str
    sdk: Any
    errors: Any

    async def create(self, requests: Any) -> Any:
        return checked(await self.sdk.messages.batches.create(requests=requests))

    async def submit(self, calls: Mapping[str, Mapping[str, Any]]) -> Any:
        common = {"model": MODELS[self.provider], "max_tokens": 1000}
        return await self.create([{"custom_id": name, "params": {**common, **body}} for name, body in calls.items()])

    async def look(self, batch_id: str) -> Any:
        return checked(await self.sdk.messages.batches.retrieve(batch_id))

    async def cancel(self, batch_id: str) -> Any:
        return checked(await self.sdk.messages.batches.cancel(batch_id))

    async def newest(self) -> list[str]:
        return [batch.id for batch in (await self.sdk.messages.batches.list()).data]

    async def raw_results(self, batch_id: str) -> list[bytes]:
        response = await self.sdk.get(f"/v1/messages/batches/{batch_id}/results", cast_to=httpx2.Response)
        return bytes(await response.aread()).splitlines()

    async def results(self, batch_id: str) -> dict[str, Came]:
        return {line.custom_id: _message_result(checked(line)) async for line in await self._results(batch_id)}

    async def _results(self, batch_id: str) -> Any:
        return await self.sdk.messages.batches.results(batch_id)


def _message_result(line: Any) -> Came:
    result = line.result
    match result.type:
        case "succeeded":
            usage = result.message.usage
            tokens = usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens
            return Came("".join(block.text for block in result.message.content), tokens)
        case "errored":
            return Came(error=f"{result.error.error.type}")
        case other:
            return Came(error=other)


Batches = ChatBatches | MessageBatches


@asynccontextmanager
async def sdk_batches(simulator: RunningSimulator, provider: str) -> AsyncIterator[Batches]:
    """The batches of one provider through its vendor's SDK, which repeats nothing."""
    options: dict[str, Any] = {"api_key": "any", "base_url": simulator.base_url(provider), "max_retries": 0}
    makers: dict[str, Callable[[], Batches]] = {
        "groq": lambda: ChatBatches("groq", groq.AsyncGroq(http_client=groq.DefaultAioHttpClient(), **options), groq),
        "openai": lambda: ChatBatches(
            "openai", openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient(), **options), openai
        ),
        "anthropic": lambda: MessageBatches(
            "anthropic", anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient(), **options), anthropic
        ),
    }
    batches = makers[provider]()
    async with batches.sdk:
        yield batches
