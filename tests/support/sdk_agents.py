"""An agent as users write it, a plain loop over a vendor's SDK, for each of the simulator's protocols."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import groq
import openai

from tierstream.simulator import RunningSimulator

MODELS = {"groq": "openai/gpt-oss-20b", "openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
LOOK = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "depth": {"type": "integer", "minimum": 1}},
    "required": ["path", "depth"],
    "additionalProperties": False,
}
COUNT = {"type": "object", "properties": {"unit": {"enum": ["lines", "words"]}, "of": {"type": "string"}}}
TOOLS = {"look": LOOK, "count_up": COUNT}


@dataclass
class Call:
    id: str
    name: str
    arguments: str


@dataclass
class Turn:
    """What came back: `message` is what goes into the history, `pieces` how many events the arguments came in."""

    text: str
    calls: list[Call]
    finish: str | None
    usage: Any
    message: dict[str, Any]
    pieces: int = 0
    reasoning: str = ""


@dataclass
class ChatAgent:
    """OpenAI's and Groq's protocol."""

    provider: str
    sdk: Any
    errors: Any
    history: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, question: str) -> None:
        self.history.append({"role": "user", "content": question})

    def give(self, results: list[tuple[str, Any]]) -> None:
        self.history += [{"role": "tool", "tool_call_id": call_id, "content": text} for call_id, text in results]

    def tools(self, schemas: dict[str, Any]) -> dict[str, Any]:
        return {
            "tools": [
                {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}
                for name, schema in schemas.items()
            ]
        }

    async def send(self, *, stream: bool = False, **options: Any) -> Turn:
        body = {"model": MODELS[self.provider], "messages": self.history, **options}
        if not stream:
            response = await self.sdk.chat.completions.create(**body)
            choice = response.choices[0]
            calls = [Call(c.id, c.function.name, c.function.arguments) for c in choice.message.tool_calls or ()]
            reasoning = getattr(choice.message, "reasoning", None) or ""
            return self._turn(choice.message.content or "", calls, choice.finish_reason, response.usage, 0, reasoning)
        if self.provider == "openai":
            body["stream_options"] = {"include_usage": True}
        return await self._streamed(await self.sdk.chat.completions.create(stream=True, **body))

    async def _streamed(self, stream: Any) -> Turn:
        text, reasoning, finish, usage, pieces = "", "", None, None, 0
        calls: list[Call] = []
        async for chunk in stream:
            usage = (chunk.x_groq.usage if self.provider == "groq" and chunk.x_groq else chunk.usage) or usage
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                text += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning", None) or ""
                for delta in choice.delta.tool_calls or ():
                    if delta.index == len(calls):
                        calls.append(Call(delta.id, delta.function.name, ""))
                    calls[delta.index].arguments += delta.function.arguments
                    pieces += 1
        return self._turn(text, calls, finish, usage, pieces, reasoning)

    def _turn(self, text: str, calls: list[Call], finish: str | None, usage: Any, pieces: int, reasoning: str) -> Turn:
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [
                {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in calls
            ]
        return Turn(text, calls, finish, usage, message, pieces, reasoning)


@dataclass
class MessagesAgent(ChatAgent):
    """Anthropic's protocol."""

    def give(self, results: list[tuple[str, Any]]) -> None:
        blocks = [{"type": "tool_result", "tool_use_id": call_id, "content": text} for call_id, text in results]
        self.history.append({"role": "user", "content": blocks})

    def tools(self, schemas: dict[str, Any]) -> dict[str, Any]:
        return {"tools": [{"name": n, "description": f"Does {n}.", "input_schema": s} for n, s in schemas.items()]}

    async def send(self, *, stream: bool = False, **options: Any) -> Turn:
        body = {"model": MODELS[self.provider], "messages": self.history, "max_tokens": 2000, **options}
        pieces = 0
        if stream:
            async with self.sdk.messages.stream(**body) as events:
                async for event in events:
                    pieces += event.type == "content_block_delta" and event.delta.type == "input_json_delta"
                message = await events.get_final_message()
        else:
            message = await self.sdk.messages.create(**body)
        content = [block.model_dump(exclude_none=True) for block in message.content]
        for block in content:
            block.pop("parsed_output", None)
        calls = [Call(b["id"], b["name"], json.dumps(b["input"])) for b in content if b["type"] == "tool_use"]
        text = "".join(block["text"] for block in content if block["type"] == "text")
        thinking = "".join(block["thinking"] for block in content if block["type"] == "thinking")
        sent_back = {"role": "assistant", "content": content}
        return Turn(text, calls, message.stop_reason, message.usage, sent_back, pieces, thinking)


@asynccontextmanager
async def sdk_agent(simulator: RunningSimulator, provider: str) -> AsyncIterator[ChatAgent]:
    """An agent with nothing in its history."""
    options = {"api_key": "any", "base_url": simulator.base_url(provider), "max_retries": 0}
    makers: dict[str, Callable[[], Any]] = {
        "groq": lambda: groq.AsyncGroq(**options),
        "openai": lambda: openai.AsyncOpenAI(**options),
        "anthropic": lambda: anthropic.AsyncAnthropic(**options),
    }
    modules = {"groq": groq, "openai": openai, "anthropic": anthropic}
    kind = MessagesAgent if provider == "anthropic" else ChatAgent
    async with makers[provider]() as sdk:
        yield kind(provider, sdk, modules[provider])
