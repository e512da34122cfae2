"""Answers as the door gets them: pieces, and the Result that is made of the same ones."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar
from uuid import UUID

from hypothesis import strategies as st
from support.record_strategies import texts

from tierstream.serve.surface import Asked, Caller, DoorError, Target
from topics.answer_assembly import AnswerAssembly
from topics.events import Delta
from topics.journal import Usage
from topics.requests import Request
from topics.results import Result, ResultStatus
from topics.tasks import Source

SETTLED = datetime(2026, 11, 1, 12, tzinfo=UTC)
SETTLED_S = int(SETTLED.timestamp())
USAGE = Usage(input=30, output=12, cached=10, cache_written=5, reasoning=4)
QUESTION = Request(request_id="r1", messages=[{"role": "user", "content": "Which way?"}])
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class KnownTargets:
    """A deployment with two tiers and one model by name."""

    _TARGETS: ClassVar = {
        "auto": Target("auto"),
        "tier-2": Target("tier-2", min_tier=2, max_tier=2),
        "groq/llama": Target("groq/llama", model="groq/llama"),
        "support": Target("support", feature="support"),
    }

    def target(self, name):
        if name not in self._TARGETS:
            raise DoorError(404, "model_not_found", "no model has the name", param="model")
        return self._TARGETS[name]


def read(surface, body, *, caller=None, headers=None):
    return surface.read(
        body,
        {"anthropic-version": "2023-06-01"} if headers is None else headers,
        request_id="r1",
        caller=caller or Caller(),
        targets=KnownTargets(),
        now_s=1_700_000_000,
    )


def request_or_status(surface, body):
    """Return what a body is read as, or the status with which it is refused."""
    try:
        return read(surface, body).request
    except DoorError as error:
        return error.status


def is_request_or_refused(surface, body):
    """Tell whether a body is read as a request that the topic takes, or refused as one that is wrong."""
    outcome = request_or_status(surface, body)
    return outcome == 400 or Request.model_validate_json(outcome.model_dump_json(), strict=True) == outcome


def asked(request=QUESTION, **more):
    return Asked(request=request, target=Target("auto"), streams=False, created_s=SETTLED_S - 9, token="t0k", **more)


def call(index, text="", **named):
    return Delta(kind="tool_call", index=index, text=text, **named)


def result_of(pieces, **fields):
    """Return the result whose answer is made of these pieces."""
    answer = AnswerAssembly()
    for piece in pieces:
        answer.add(piece)
    return Result(
        **{
            "request_id": "r1",
            "status": ResultStatus.OK,
            "attempt_id": UUID(int=1),
            "content": answer.text,
            "tool_calls": answer.tool_calls,
            "parts": answer.parts,
            "tier": 2,
            "provider": "groq",
            "model": "llama",
            "finish_reason": "tool_calls" if answer.tool_calls else "stop",
            "usage": USAGE,
            "cost_usd": Decimal("0.00012"),
            "source": Source(topic="llm.requests", partition=3, offset=41, timestamp_ms=0),
            "latency_ms": 12.5,
            "settled_at": SETTLED,
            **fields,
        }
    )


def written(writer, pieces, result):
    return b"".join([writer.begin(), writer.keep_alive(), *map(writer.piece, pieces), writer.finish(result)])


def events_of(stream):
    """Return the data of server-sent events; texts such as `[DONE]` stay as they are."""
    lines = [line.removeprefix(b"data: ") for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) if line.startswith(b"{") else line.decode() for line in lines]


said = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_arguments = st.dictionaries(texts, st.integers(-99, 99) | texts | st.none(), max_size=3).map(json.dumps)


def _call_pieces(number, arguments, name):
    half = len(arguments) // 2
    return [call(number, arguments[:half], id=f"call_{number}", name=name), call(number, arguments[half:])]


@st.composite
def answers(draw, *, thinking=True):
    """Pieces of an answer with text, thinking and calls in any order, in which no piece is empty."""
    kinds = st.sampled_from(("text", "call", "signed", "unsigned", "redacted") if thinking else ("text", "call"))
    pieces, calls = [], 0
    for kind in draw(st.lists(kinds, max_size=6)):
        match kind:
            case "text":
                pieces += draw(st.lists(said, min_size=1, max_size=3))
            case "call":
                name = draw(st.text("abc_", min_size=1, max_size=6))
                pieces += _call_pieces(calls, draw(_arguments), name)
                calls += 1
            case "redacted":
                pieces.append(Delta(kind="redacted", text=draw(said)))
            case _:
                pieces += [Delta(kind="reasoning", text=text) for text in draw(st.lists(said, min_size=1, max_size=2))]
                if kind == "signed":
                    pieces.append(Delta(kind="signature", text=draw(said)))
    return pieces
