"""Answers that call tools and think, whole and streamed, as each vendor documents that it sends them.

The bodies are written by hand after the vendors' pages on tools and reasoning, with all shapes of one in each:
https://platform.openai.com/docs/guides/function-calling, https://console.groq.com/docs/tool-use and .../docs/reasoning,
https://api-docs.deepseek.com/guides/reasoning_model (`reasoning_content`),
https://platform.claude.com/docs/en/build-with-claude/streaming and .../thinking-tool-workflows.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from support.provider_calls import Listener, answering, call_of, settings_with_all
from support.shipped_providers import NAMES
from support.tool_loop import thinking

from streams.config.settings import Settings
from streams.providers.base import ChatReply, ErrorKind, ProviderError
from topics.answer_assembly import AnswerAssembly
from topics.journal import Usage
from topics.messages import Message

BODIES = Path(__file__).parent / "recorded"
TEXT = {"type": "text", "text": "I look."}


def place(call_id):
    return {"type": "tool_call", "id": call_id}


@dataclass(frozen=True)
class Expected:
    """What every answer says, and what one vendor tells of it besides."""

    prefix: str
    parts: list | None


THOUGHT = [{"type": "thinking", "thinking": "Look first."}, TEXT, place("call_Gh6"), place("call_Jw9")]
EXPECTED = {
    "openai": Expected("call", None),
    "groq": Expected("call", THOUGHT),
    "together": Expected("call", THOUGHT),
    "anthropic": Expected(
        "toolu",
        [
            thinking("Look first.", "EqQBCkYI=="),
            {"type": "redacted_thinking", "data": "EmwKAhgB=="},
            TEXT,
            place("toolu_Gh6"),
            thinking("", "EpQCCkYI=="),
            place("toolu_Jw9"),
        ],
    ),
}

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return settings_with_all()


def body(name: str, form: str) -> bytes:
    return (BODIES / f"{name}_tools.{form}").read_bytes()


async def ask(settings: Settings, name: str, content: bytes, listener: Listener | None) -> ChatReply:
    kind = "application/json" if content.startswith(b"{") else "text/event-stream"

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind)

    async with answering(settings, handle) as providers:
        return await providers[name].complete(call_of("m", on_piece=listener))


def check(name: str, reply: ChatReply) -> None:
    expected = EXPECTED[name]
    assert reply.content == "I look."
    assert [(call.id, call.function.name, json.loads(call.function.arguments)) for call in reply.tool_calls] == [
        (f"{expected.prefix}_Gh6", "look", {"at": "door"}),
        (f"{expected.prefix}_Jw9", "listen", {}),
    ]
    parts = None if reply.parts is None else [part.model_dump() for part in reply.parts]
    assert parts == expected.parts
    assert (reply.finish_reason, reply.usage) == ("tool_calls", Usage(input=117, output=46))


def test_every_vendor_has_such_answers():
    assert set(NAMES) == EXPECTED.keys()


@each
async def test_whole_answer(settings, name):
    check(name, await ask(settings, name, body(name, "json"), None))


@each
@pytest.mark.parametrize("form", ["json", "sse"])
async def test_stream(settings, name, form):
    listener = Listener()
    reply = await ask(settings, name, body(name, form), listener)
    check(name, reply)
    shown = AnswerAssembly()
    for piece in listener.pieces:
        shown.add(piece)
    assert (shown.text, shown.tool_calls, shown.parts) == (reply.content, reply.tool_calls, reply.parts)


@each
async def test_a_stream_that_breaks_off_in_a_call_is_billed_for_all_that_was_written(settings, name):
    stream = body(name, "sse")
    listener = Listener()
    with pytest.raises(ProviderError) as caught:
        await ask(settings, name, stream[: stream.rindex(b"\n\n", 0, stream.index(b"listen")) + 2], listener)
    assert caught.value.kind is ErrorKind.CUT
    written = AnswerAssembly()
    for piece in listener.pieces:
        written.add(piece)
    assert caught.value.usage.output == -(-len(written.written) // 4)
    assert written.written.endswith('I look.look{"at":"door"}')


@each
async def test_calls_alone_are_an_answer(settings, name):
    for form in ("json", "sse"):
        content = body(name, form).replace(b"I look.", b"").replace(b'"I "', b'""').replace(b'"look."', b'""')
        listener = Listener() if form == "sse" else None
        reply = await ask(settings, name, content, listener)
        assert (reply.content, len(reply.tool_calls), reply.finish_reason) == ("", 2, "tool_calls")


@each
async def test_a_call_that_no_record_holds_is_billed(settings, name):
    content = body(name, "json").replace(b'"look"', b'"' + b"x" * 300 + b'"')
    with pytest.raises(ProviderError) as caught:
        await ask(settings, name, content, None)
    assert (caught.value.kind, caught.value.usage) == (ErrorKind.MALFORMED, Usage(input=117, output=46))


@each
async def test_an_answer_goes_back_as_it_came(settings, name):
    reply = await ask(settings, name, body(name, "json"), None)
    turn = Message(role="assistant", content=reply.parts or reply.content, tool_calls=reply.tool_calls)
    bodies = []

    async def handle(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.Response(body=body(name, "json"), content_type="application/json")

    messages = [Message(role="user", content="look"), turn]
    messages += [Message(role="tool", content="a cat", tool_call_id=call.id) for call in reply.tool_calls]
    async with answering(settings, handle) as providers:
        await providers[name].complete(call_of("m", messages=tuple(messages)))
    sent, came = bodies[0]["messages"][1], json.loads(body(name, "json"))
    if name == "anthropic":
        known = {"citations", "caller"}
        assert sent["content"] == [
            {field: value for field, value in block.items() if field not in known} for block in came["content"]
        ]
    else:
        message = came["choices"][0]["message"]
        calls = [{field: call[field] for field in ("id", "type", "function")} for call in message["tool_calls"]]
        assert sent == {"role": "assistant", "content": message["content"], "tool_calls": calls}


async def test_log_probabilities_are_those_of_all_chunks(settings):
    whole = await ask(settings, "openai", body("openai", "json"), None)
    streamed = await ask(settings, "openai", body("openai", "sse"), Listener())
    assert whole.logprobs == streamed.logprobs
    assert [token["token"] for token in whole.logprobs["content"]] == ["I ", "look."]
