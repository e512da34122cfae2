"""Tool loops: when one is open, and that what classifies a request reads nothing of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.record_strategies import texts
from support.tool_talk import LOOKUP, assistant, call, calls, result, talk, user

from streams.routing import conversation_features, tool_loops
from streams.routing.conversation_signals import signals
from streams.routing.prompt_prefix import prompt_prefix
from streams.routing.request_classifier import features
from streams.routing.request_classifier.classifier import RequestClassifier
from topics.messages import Message
from topics.requests import Request

CODE = '{"rows": [' + '{"a": [1, 2, {"b": null}]}, ' * 400 + "]}\n```python\nprove(theorem)\n```\nWHY?! Do it AGAIN!"
SYSTEM = Message(role="system", content="You are an agent.")


@pytest.mark.parametrize(
    ("messages", "is_open"),
    [
        ((user(),), False),
        ((SYSTEM,), False),
        ((user(), calls()), True),
        ((user(), calls(), result()), True),
        ((user(), calls(), result(), assistant()), False),
        ((user(), calls(), result(), assistant(), user()), False),
        ((user(), calls(), result(), user("<reminder>Be brief.</reminder>")), True),
        ((user(), calls(), result(), SYSTEM), True),
        ((result(), user()), True),
        ((user(), calls(), result(), calls(call("call_2")), result(call_id="call_2")), True),
    ],
)
def test_a_loop_is_open_until_the_model_answers(messages, is_open):
    assert tool_loops.is_open(messages) is is_open


def test_the_latest_calls_are_those_of_the_last_message_with_any():
    assert tool_loops.latest_calls((user(), assistant())) is None
    assert tool_loops.latest_calls((user(), calls(), result(), assistant(), user())) == 1
    assert tool_loops.latest_calls((user(), calls(), result(), calls(), result())) == 3


def test_where_there_is_nothing_but_steps_they_are_read():
    steps = (calls(), result("42"))
    assert tool_loops.said(steps) == steps
    assert features.see(talk(*steps)).words == ("0" * 2,)


GOLDEN = {
    "question": ("395f022fcf2a4bc0", "dc937b59892604f5", (None, 0)),
    "instructions": ("06bf2b31ebb52241", "128cc61eb8ced647", ("ca0fb6b048316f9f", 7)),
    "conversation": ("9e5186b7f7a6663d", "014072de731cef23", ("1d2a1f2cae69cfcd", 4)),
    "no user": ("5f5d0a2cea054395", "dc937b59892604f5", ("ef5a601c4c80e8c9", 3)),
}
"""What was seen of the conversations below before there were any tools."""
TEXT_ALONE = {
    "question": [("user", "What is 2 + 2?")],
    "instructions": [
        ("system", "Be brief. Answer in JSON."),
        ("user", "Wo ist Bestellung 4711?"),
        ("assistant", "Sie ist unterwegs."),
        ("user", "Das war nicht die Frage! Wo ist Bestellung 4711?"),
    ],
    "conversation": [
        ("developer", "You sell shoes."),
        ("user", "do you have size 44?"),
        ("assistant", "We do. Which color?"),
        ("user", "black"),
        ("assistant", "Black is sold out."),
        ("assistant", "Brown is there."),
        ("user", 'I said black. "Brown" won\'t do, look again?'),
    ],
    "no user": [("system", "Say hello."), ("assistant", "Hello!")],
}


def rounded(values) -> list[float]:
    return [round(float(value), 4) for value in values]


def seen_of(request: Request):
    seen = features.see(request)
    return seen.words, seen.pairs.tolist(), seen.edges.tolist(), seen.context.tolist(), rounded(seen.form)


def said_of(request: Request):
    seen = conversation_features.see(request.messages)
    return seen and (rounded(seen.form), [*seen.words], [*seen.first], [*seen.last], [*seen.answer])


def short(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", TEXT_ALONE)
def test_text_alone_is_read_as_ever(name):
    request = talk(*(Message(role=role, content=text) for role, text in TEXT_ALONE[name]), tools=())
    assert (short(seen_of(request)), short(said_of(request)), prompt_prefix(request)) == GOLDEN[name]


spoken = st.builds(lambda role, text: Message(role=role, content=text), st.sampled_from(("user", "assistant")), texts)
steps = st.sampled_from((calls(), calls(text="Let me look."), calls(call(arguments=CODE)), result(CODE), result("")))


@given(
    st.lists(st.sampled_from((SYSTEM,)), max_size=1),
    st.lists(spoken, min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 9), steps), max_size=6),
)
def test_what_is_read_of_a_conversation_is_what_was_said_whatever_tools_do(first, turns, added):
    plain = talk(*first, *turns, tools=())
    messages = [*plain.messages]
    for place, step in added:
        messages.insert(place, step)
    agent = talk(*messages)
    assert seen_of(agent) == seen_of(plain)
    assert said_of(agent) == said_of(plain)
    assert signals(agent) == signals(plain)


def test_the_scores_are_the_same_at_every_step_of_a_loop():
    read, question = RequestClassifier.shipped().read, (SYSTEM, user("Prove that it is on its way."))
    loop = (*question, calls(), result(CODE), calls(call("call_2")), result(CODE, "call_2"))
    found = [read(talk(*loop[:end]), 3) for end in range(2, len(loop) + 1)]
    assert all(reading == found[0] for reading in found)


def test_tools_are_a_part_of_the_prefix():
    plain, agent = talk(SYSTEM, user(), tools=()), talk(SYSTEM, user())
    assert prompt_prefix(agent)[0] not in {None, prompt_prefix(plain)[0]}
    assert prompt_prefix(agent)[1] > prompt_prefix(plain)[1]
    assert prompt_prefix(talk(user()))[0] is not None
    assert prompt_prefix(talk(SYSTEM, user("Another."), calls(), result())) == prompt_prefix(agent)


def test_where_a_provider_is_to_cache_does_not_change_the_prefix():
    marked = LOOKUP.model_validate({**LOOKUP.model_dump(), "cache_control": {"type": "ephemeral"}})
    assert prompt_prefix(talk(SYSTEM, user(), tools=(marked,))) == prompt_prefix(talk(SYSTEM, user()))
