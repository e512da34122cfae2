"""The memory of conversations: whose calls a request goes on from, and what is told of an answer."""

import dataclasses
import logging
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import BASE, BASE_MS, SETTINGS, Bench, new_bench
from support.record_strategies import conversations
from support.tool_talk import assistant, call, calls, result, talk, user

from streams.config.settings import Settings
from streams.kafka.publisher import Output
from streams.routing.affinity import Standing
from streams.runtime.conversations import Conversations
from topics.conversations import Conversation, conversation_key
from topics.journal import Usage
from topics.messages import Message
from topics.registry import CONVERSATIONS

WINDOW_MS = 3_600_000
USED = Usage(input=900, cached=500, cache_written=300, output=40)


@pytest.fixture
async def bench() -> Bench:
    return new_bench(Settings(**SETTINGS))


def made(*answered: Any, user_id: str | None = None, **fields: Any) -> Conversation:
    known = {"provider": "fast", "model": "a", "tier": 1, "usage": USED, "at": BASE}
    return Conversation(key=conversation_key(user_id, answered or (call(),)), **known | fields)


async def standing(bench: Bench, *messages: Message, at_ms: int = BASE_MS, **fields: Any) -> Standing | None:
    """What a process says that starts now."""
    memory = Conversations(bench.settings, bench.clock, bench.log)
    bench.feed(memory)
    await memory._log.catch_up(range(bench.log.partitions))
    return memory.standing(talk(*messages or (user(), calls(), result()), **fields), at_ms)


def write(bench: Bench, *records: Conversation) -> None:
    for record in records:
        bench.log.append(Output(CONVERSATIONS, record))


async def test_it_knows_who_made_the_calls_and_what_that_came_to(bench):
    assert await standing(bench) is None
    write(bench, made())
    assert await standing(bench) == Standing("fast/a", 1, BASE_MS, prompt=900, cached=800, answer=40)


async def test_the_request_that_goes_on_may_be_followed_by_anything(bench):
    write(bench, made())
    assert await standing(bench, user(), calls(), result(), assistant(), user()) is not None
    assert await standing(bench, calls(), result(), user()) is not None
    assert await standing(bench, user(), assistant()) is None


async def test_the_latest_calls_count(bench):
    write(bench, made(), made(call("call_2"), provider="trusted", model="c", tier=2))
    loop = (user(), calls(), result(), calls(call("call_2")), result(call_id="call_2"))
    found = await standing(bench, *loop)
    assert found is not None
    assert (found.ref, found.tier) == ("trusted/c", 2)


@pytest.mark.parametrize("is_split", [True, False])
async def test_calls_that_were_made_together_may_come_back_one_by_one(bench, is_split):
    both = (call("call_1"), call("call_2"))
    write(bench, made(*both))
    asked = [calls(one) for one in both] if is_split else [calls(*both)]
    assert await standing(bench, user(), *asked, result(), result(call_id="call_2")) is not None


async def test_users_functions_and_ids_keep_conversations_apart(bench):
    write(bench, made(user_id="ann"))
    assert await standing(bench) is None
    assert await standing(bench, user_id="bob") is None
    assert await standing(bench, user_id="ann") is not None
    for other in (call(name="another"), call("call_3")):
        assert await standing(bench, user(), calls(other), result(), user_id="ann") is None


async def test_of_calls_with_the_same_id_the_later_answer_counts(bench):
    later = made(provider="trusted", model="c", tier=2, at=BASE + timedelta(minutes=20))
    write(bench, later, made())
    found = await standing(bench)
    assert found is not None
    assert found.ref == "trusted/c"


async def test_it_is_forgotten_after_the_window(bench):
    write(bench, made())
    assert await standing(bench, at_ms=BASE_MS + WINDOW_MS) is not None
    assert await standing(bench, at_ms=BASE_MS + WINDOW_MS + 1) is None
    bench.clock.advance(3 * WINDOW_MS / 1000)
    later = made(call("call_2"), at=bench.clock())
    write(bench, later)
    memory = Conversations(bench.settings, bench.clock, bench.log)
    bench.feed(memory)
    await memory._log.catch_up(range(bench.log.partitions))
    assert len(memory) == 1


async def test_what_is_written_while_it_runs_is_known(bench):
    write(bench, made())
    await bench.engine.conversations._log.catch_up(range(bench.log.partitions))
    assert bench.engine.conversations.standing(talk(user(), calls(), result()), BASE_MS) is not None


async def test_a_value_that_is_none_is_passed_over(bench, caplog):
    write(bench, made())
    [stored] = [one for (topic, _), kept in bench.log.stored.items() if "conversations" in topic for one in kept]
    memory = Conversations(bench.settings, bench.clock, bench.log)
    with caplog.at_level(logging.ERROR):
        memory.note(dataclasses.replace(stored, value=b'{"key": "x"}'))
    assert len(memory) == 0
    assert "can't be read" in caplog.text


@given(st.lists(conversations, max_size=20))
def test_any_answers_can_be_remembered(records):
    settings = Settings(**SETTINGS)
    memory = Conversations(settings, lambda: BASE, object())
    for record in records:
        encoded = Output(CONVERSATIONS, record).encoded
        memory.note(Raw(encoded.value, tuple(encoded.headers)))
    assert len(memory) <= len(records)


@dataclasses.dataclass(frozen=True)
class Raw:
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    offset: int = 0
