"""The free checks together: which one an answer fails, and that any text can be checked."""

from importlib import import_module
from pkgutil import iter_modules

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asked import asked, called, conversation

from streams import validation
from streams.validation.checks import CHECKS, failed_check
from streams.validation.finished import Finished

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
NAMED_SCHEMA = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
WHY = "Why is it so?"
GERMAN = "Wie lang ist die Donau und wo fließt sie?"
LEASE = "Lease.\n1. Rent: £900.\n2. Deposit: £1,800.\n\nWhat does it say of pets?"


CASES = [
    ("4", "stop", {}, None),
    ("", "stop", {}, "empty"),
    (" \n\t", "length", {}, "empty"),
    ("no", "content_filter", {}, "filtered"),
    ("half a sen", "length", {}, "truncated"),
    ("half a sen", "length", {"params": {"max_tokens": 5}}, None),
    ("I don't know, as", "length", {"params": {"max_tokens": 5}}, None),
    ('{"name": "A"}', "stop", {"response_schema": PERSON}, None),
    ('```json\n{"name": "A"}\n```', "stop", {"response_schema": PERSON}, None),
    ('{"name": 1}', "stop", {"response_schema": PERSON}, "schema"),
    ("I don't know", "stop", {"response_schema": PERSON}, "schema"),
    ('{"name": "A"', "length", {"response_schema": PERSON, "params": {"max_tokens": 5}}, "schema"),
    ('{"name": "I don\'t know"}', "stop", {"response_schema": PERSON}, None),
    ("I'm not sure about that.", "stop", {}, "hedge"),
    ("I’m unable to help with this.", "stop", {}, "hedge"),
    ("As an AI language model I have no opinions.", "stop", {}, "hedge"),
    ("Das weiß ich leider nicht.", "stop", {}, "hedge"),
    ("我不知道。", "stop", {}, "hedge"),
    ("The limit is unknown; " + "details follow. " * 40 + "I don't know more.", "stop", {}, None),
    ("I know the answer: 4", "stop", {}, None),
    ("It is made in two steps. First you mix the", "stop", {}, "broken_off"),
    ("It is so, and so it is. " * 20, "stop", {}, "loop"),
    ("The river is very long and it flows into the Black Sea.", "stop", {"question": GERMAN}, "language"),
    ("12 × 12 = 154", "stop", {}, "arithmetic"),
    ("Under clause 7 two cats are allowed.", "stop", {"question": LEASE}, "unsupported"),
]


LOOK = {"type": "function", "function": {"name": "look", "parameters": {"required": ["at"]}}}
CALL_CASES = [
    ("", ('look {"at": 1}',), {}, None),
    ("I can't say yet. Let me look at the", ('look {"at": 1}',), {}, None),
    ("", ("find {}",), {}, "unknown_tool"),
    ("", ("look {}",), {}, "tool_arguments"),
    ("", ('look {"at": 1}', 'look {"at":1}'), {}, "repeated_call"),
    ("", ('look {"at": 1}',), {"tool_choice": "none"}, "tool_choice"),
    ("", ('look {"at": 1}',), {"response_schema": PERSON}, None),
    ("It is so.", (), {"response_format": {"type": "json_object"}}, "schema"),
    ('{"a": 1}', (), {"response_format": {"type": "json_object"}}, None),
    ("[1]", (), {"response_format": {"type": "json_object"}}, "schema"),
    ("[1]", (), {"response_schema": {}}, None),
    ("[1]", (), {"response_format": {"type": "json_schema", "json_schema": {"name": "any"}}}, "schema"),
    ('{"name": 1}', (), {"response_format": NAMED_SCHEMA}, "schema"),
    ('{"name": "A"}', (), {"response_format": NAMED_SCHEMA}, None),
]


@pytest.mark.parametrize(("content", "calls", "request_fields", "expected"), CALL_CASES)
def test_calls_are_checked_and_text_beside_them_is_a_preface(content, calls, request_fields, expected):
    request = asked(WHY, tools=[LOOK], **request_fields)
    assert failed_check(request, content, "tool_calls", called(*calls)) == expected


@pytest.mark.parametrize(("content", "finish_reason", "request_fields", "expected"), CASES)
def test_the_first_failed_check_is_named(content, finish_reason, request_fields, expected):
    assert failed_check(asked(**{"question": WHY, **request_fields}), content, finish_reason) == expected


def test_every_check_is_registered_and_has_a_case():
    modules = [import_module(f"streams.validation.{module.name}") for module in iter_modules(validation.__path__)]
    written = {
        one
        for module in modules
        for one in vars(module).values()
        if getattr(one, "__annotations__", {}) == {"answer": Finished, "return": bool}
        and not one.__name__.startswith("_")
    }
    forgotten = sorted(f"{one.__module__}.{one.__name__}" for one in written - {*CHECKS.values()})
    assert not forgotten, f"nobody asks {forgotten}: each needs a line in CHECKS in streams/validation/checks.py"
    untested = CHECKS.keys() - {expected for *_, expected in (*CASES, *CALL_CASES)}
    assert not untested, f"no answer in CASES or CALL_CASES fails {untested}"


PIECES = st.sampled_from(
    (
        "```\n", "`", "{", '"', "}", "1. ", "- ", "| ", "\n", " = ", "+", "1,000.5", "£5", "12 May", "clause 9 ",
        "No. 4711 ", "Mr Ek ", "I can't", "nicht ", "не ", "我不", "です。", "the ", "und ", ". ", "?", "%", "\u2028",
        "\x00", "🙂", "ß", "İ", "第3条", "3 days ",
    )
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=60).map("".join))


@given(
    TEXTS,
    TEXTS,
    st.sampled_from(("stop", "length", "content_filter", "other")),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(("look", "find", "")), TEXTS), max_size=3),
)
def test_any_answer_can_be_checked_by_any_check(question, content, finish_reason, with_schema, calls):
    request = asked(question, response_schema=PERSON if with_schema else None, tools=[LOOK])
    made = called(*(f"{name} {arguments}" for name, arguments in calls))
    answer = Finished(request, content, finish_reason, made)
    found = [name for name, fails in CHECKS.items() if fails(answer)]
    assert failed_check(request, content, finish_reason, made) == next(iter(found), None)


LONG = [
    "a", "a ", "1 ", "1+", "1,", "1.1 ", '"', '\\"', "{", '{"a":', "`", "```\n", "\n", "- a\n", "| a |\n", "。",
    "第1条", "ä", "я ", "Mr A ", "$1 ", "Total: 1\n", "1+1=3 ", "clause 1 ", "Nr. 1A", "1 May ", "i ", "dir euch ",
    "A b. ", "1 000 ", "1\u00a0000", "no no. ",
]  # fmt: skip


@pytest.mark.parametrize("piece", LONG)
def test_a_megabyte_of_anything_is_read_in_linear_time(piece):
    """The timeout of the suite is what a quadratic scan runs into."""
    text = piece * (2**20 // len(piece))
    document = "Contract: 3. Rent £1,140 a month by 5 May.\n\nWhat is the fee?"
    for question, schema in ((document, None), (text[: 2**19], None), (document, PERSON)):
        answer = Finished(asked(question, response_schema=schema), text, "stop")
        for fails in CHECKS.values():
            fails(answer)
    looked = conversation("What is the fee?", ("look", text, text), ("look", text, text), tools=[LOOK])
    for answer in (Finished(looked, document, "stop"), Finished(looked, "", "tool_calls", called(f"look {text}"))):
        for fails in CHECKS.values():
            fails(answer)
