"""Calls of tools: whether they can be made, are what was asked for, and lead anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asked import asked, called, conversation

from streams.validation.finished import Finished
from streams.validation.tool_calls import breaks_choice, breaks_parameters, calls_unknown_tool, repeats_call

NAMED = {"type": "function", "function": {"name": "look"}}


def tool(name: str, parameters=None):
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [tool("look"), tool("weather", CITY)]


@pytest.mark.parametrize(
    ("choice", "calls", "fails"),
    [
        (None, (), False),
        ("auto", ("look {}",), False),
        ("none", (), False),
        ("none", ("look {}",), True),
        ("required", (), True),
        ("required", ("look {}",), False),
        (NAMED, (), True),
        (NAMED, ("weather {}",), True),
        (NAMED, ("look {}", "weather {}"), True),
        (NAMED, ("look {}",), False),
    ],
)
def test_whether_it_had_to_call(choice, calls, fails):
    request = asked("?", tools=TOOLS, tool_choice=choice)
    assert breaks_choice(Finished(request, "", "tool_calls", called(*calls))) is fails


@pytest.mark.parametrize(("call", "fails"), [("look {}", False), ("Look {}", True), ("delete {}", True)])
def test_a_tool_that_was_not_offered(call, fails):
    assert calls_unknown_tool(Finished(asked("?", tools=TOOLS), "", "tool_calls", called("look {}", call))) is fails
    assert calls_unknown_tool(Finished(asked("?"), "", "tool_calls", called(call)))


@pytest.mark.parametrize(
    ("call", "fails"),
    [
        ("look {}", False),
        ("look", False),
        ("look  ", False),
        ('look {"a": 1}', True),
        ("look []", True),
        ("look null", True),
        ('weather {"city": "Oslo"}', False),
        ('weather {"city": "Oslo", "unit": "c"}', False),
        ("weather {}", True),
        ("weather", True),
        ('weather {"city": 1}', True),
        ('weather {"city": "Os', True),
        ('weather ["Oslo"]', True),
        ('weather ```{"city": "Oslo"}```', True),
        ('weather {"city": NaN}', True),
    ],
)
def test_arguments_that_the_tool_does_not_take(call, fails):
    assert breaks_parameters(Finished(asked("?", tools=TOOLS), "", "tool_calls", called(call))) is fails


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "object", "properties": {"n": {"type": "integer", "exclusiveMinimum": True}}},
        {"$ref": "https://example.org/schema.json"},
        {"type": "nothing"},
    ],
)
def test_of_a_schema_that_can_not_be_used_any_object_will_do(parameters):
    request = asked("?", tools=[tool("look", parameters)])
    assert not breaks_parameters(Finished(request, "", "tool_calls", called('look {"n": "x"}')))
    assert breaks_parameters(Finished(request, "", "tool_calls", called("look 1")))


def test_older_schemas_are_read_too():
    old = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"city": {"type": "string"}},
        "properties": {"city": {"$ref": "#/definitions/city"}},
    }
    request = asked("?", tools=[tool("look", old)])
    assert not breaks_parameters(Finished(request, "", "tool_calls", called('look {"city": "Oslo"}')))
    assert breaks_parameters(Finished(request, "", "tool_calls", called('look {"city": 1}')))


RUN = ("run", '{"test": "a"}', "1 failed")
EDITS = [("edit", f'{{"line": {n}}}', "done") for n in range(3)]


@pytest.mark.parametrize(
    ("steps", "calls", "fails"),
    [
        ((), ('run {"test": "a"}',), False),
        ((RUN,), ('run {"test": "a"}',), False),
        ((RUN, RUN), ('run {"test": "a"}',), True),
        ((RUN, RUN), ('run {"test":"a"}',), True),
        ((RUN, RUN), ('run {"test": "b"}',), False),
        ((RUN, RUN), ('edit {"test": "a"}',), False),
        ((), ('run {"test": "a", "n": 1}', 'run {"n": 1, "test": "a"}'), True),
        ((), ('run {"test": "a"}', 'run {"test": "b"}'), False),
        ((RUN, EDITS[0], RUN, EDITS[1], RUN, EDITS[2]), ('run {"test": "a"}',), False),
        ((RUN, EDITS[0], RUN, EDITS[0], RUN), ('edit {"line": 0}',), True),
        ((RUN, EDITS[0], RUN, EDITS[0], RUN, EDITS[0]), ('edit {"line": 1}',), False),
        (tuple(("poll", "{}", f"{n} %") for n in range(9)), ("poll {}",), False),
        ((("poll", "{}", "50 %"), ("poll", "{}", "50 %")), ("poll {}",), True),
        ((("say", "{broken", "no"), ("say", "{broken", "no")), ("say {broken",), True),
    ],
)
def test_a_call_that_leads_nowhere(steps, calls, fails):
    request = conversation("Make the tests pass.", *steps)
    assert repeats_call(Finished(request, "", "tool_calls", called(*calls))) is fails


def test_what_was_called_before_the_user_spoke_again_does_not_count():
    before = conversation("Run it.", RUN, RUN)
    again = before.model_copy(update={"messages": (*before.messages, before.messages[0])})
    assert not repeats_call(Finished(again, "", "tool_calls", called('run {"test": "a"}')))


steps = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(("{}", "1")), st.sampled_from("xy")), max_size=8)


@given(steps, st.sampled_from("ab"), st.sampled_from(("{}", "1")))
def test_only_what_was_made_twice_with_the_same_result_is_a_repetition(made, name, arguments):
    fails = repeats_call(Finished(conversation("?", *made), "", "tool_calls", called(f"{name} {arguments}")))
    results = [result for tool_name, given_to, result in made if (tool_name, given_to) == (name, arguments)]
    assert not fails or (len(results) > 1 and results[-1] == results[-2])
