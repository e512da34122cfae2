"""The free checks: what an answer shows of itself, and schemas that come from outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import new_request

from streams.validation import checks
from streams.validation.checks import CHECKS, Finished, failed_check, matches_schema, schema_problem, unfenced

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


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
]


@pytest.mark.parametrize(("content", "finish_reason", "request_fields", "expected"), CASES)
def test_the_first_failed_check_is_named(content, finish_reason, request_fields, expected):
    assert failed_check(new_request(**request_fields), content, finish_reason) == expected


def test_every_check_is_registered_and_has_a_case():
    written = [one for one in vars(checks).values() if getattr(one, "__annotations__", {}).get("answer") is Finished]
    forgotten = [one.__name__ for one in written if one not in CHECKS.values()]
    assert not forgotten, f"streams/validation/checks.py: nobody asks {forgotten}: put @_check(...) above them"
    untested = CHECKS.keys() - {expected for *_, expected in CASES}
    assert not untested, f"no answer in CASES fails {untested}"


@given(st.text(max_size=200), st.sampled_from(("stop", "length", "content_filter", "other")), st.booleans())
def test_any_answer_can_be_checked(content, finish_reason, with_schema):
    request = new_request(response_schema=PERSON if with_schema else None)
    found = failed_check(request, content, finish_reason)
    assert found is None or found in CHECKS


@pytest.mark.parametrize(
    ("content", "inner"),
    [
        ("```json\n{}\n```", "{}"),
        ("  ```\n{}\n```  \n", "{}"),
        ("```JSON \n\n[1]\n\n```", "[1]"),
        ("```\r\n{}\r\n```", "{}"),
        ("{}", "{}"),
        ("see ```json\n{}\n```", "see ```json\n{}\n```"),
        ("```json\n{}", "```json\n{}"),
        ("```", "```"),
    ],
)
def test_one_fence_around_everything_is_taken_off(content, inner):
    assert unfenced(content).strip() == inner


@pytest.mark.parametrize("tail", ["\n", "\n\n \t", "```", "```\n", "` ` `"])
def test_a_model_that_loops_is_read_in_linear_time(tail):
    assert not matches_schema("```json\n" + tail * 50_000, PERSON)


@pytest.mark.parametrize("content", ["NaN", "Infinity", "[" * 5000, "9" * 5000, '"\ud800"', "1 2", "{'a': 1}"])
def test_what_is_not_json_matches_nothing(content):
    assert not matches_schema(content, {})


def test_json_matches_the_empty_schema():
    for content in ("1", "null", '"x"', "[]", '{"a": 1, "a": 2}'):
        assert matches_schema(content, {})


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "banana"},
        {"properties": 3},
        {"pattern": "("},
        {"patternProperties": {"(": {}}},
        {"$ref": "http://127.0.0.1:9/schema"},
        {"items": [{"allOf": [{"$ref": "file:///etc/passwd"}]}]},
    ],
)
def test_what_is_wrong_with_a_schema(schema):
    assert schema_problem(schema)


def test_a_schema_may_not_be_too_deep_for_the_records_around_it():
    schema: dict[str, object] = {}
    for _ in range(63):
        schema = {"not": schema}
    assert schema_problem(schema) is None
    assert "64 levels" in str(schema_problem({"not": schema}))
    assert "64 levels" in str(schema_problem({"enum": [[schema]]}))


GOOD = [{}, PERSON, {"$defs": {"a": PERSON}, "$ref": "#/$defs/a"}, {"properties": {"$ref": {}}}]


@pytest.mark.parametrize("schema", GOOD)
def test_good_schemas(schema):
    assert schema_problem(schema) is None
    assert matches_schema('{"name": "A"}', schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/none"},
        {"$dynamicRef": "http://127.0.0.1:9/x"},
        {"$ref": "http://127.0.0.1:9/x"},
    ],
    ids=["nowhere", "dynamic", "remote"],
)
def test_a_reference_that_leads_nowhere_is_no_match_and_fetches_nothing(schema):
    assert not matches_schema("1", schema)


def test_a_reference_that_leads_back_to_itself_ends_with_the_data():
    assert schema_problem({"$ref": "#"}) is None
    assert matches_schema("1", {"$ref": "#"})


def test_a_schema_whose_references_double_at_every_level_is_refused():
    levels = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    schema = {"$ref": "#/$defs/d0", "$defs": {**levels, "d40": {"type": "integer"}}}
    assert "expand to more than" in (schema_problem(schema) or "")


def test_a_pattern_that_backtracks_elsewhere_is_linear_here():
    schema = {"type": "string", "pattern": "(a+)+$"}
    assert schema_problem(schema) is None
    assert not matches_schema(f'"{"a" * 100_000}b"', schema)
