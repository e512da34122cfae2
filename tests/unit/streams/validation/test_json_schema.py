"""JSON that was asked for, and schemas that come from outside."""

import pytest

from streams.validation.json_schema import matches_schema, schema_problem, unfenced

PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


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


FOUND = [
    'Here it is:\n\n```json\n{"name": "A"}\n```\n\nTell me if you need more.',
    'Sure! {"name": "A"} Anything else?',
    'Fields are {name: str}.\n```\nname = A\n```\n```json\n{"name": "A"}\n```',
    'First [1] I thought, then:\n{"name": "{A} said \\"hi\\""}',
    '```json\n{"name": "A"}\n```\nAgain: {"name": "A"}',
    '```json {"name": "A"} ```',
]


@pytest.mark.parametrize("content", FOUND)
def test_json_between_words_is_found(content):
    assert matches_schema(content, PERSON)


BROKEN = [
    '{"name": "A"} {"name": "B"}',
    '```json\n{"name": "A"}\n```\nor\n```json\n{"name": "B"}\n```',
    'The answer: {"name": "A",}',
    'The answer: {"name": "A" // him\n}',
    "The answer: {'name': 'A'}",
    'The answer: {"person": {"name": "A"}}',
    'The answer: [{"name": "A"}]',
    'The answer: {"name": 1}',
    '{"name": "A"',
    "Its name is A.",
    '"A"',
]


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_found_is_held_against_the_schema_strictly(content):
    assert not matches_schema(content, PERSON)


@pytest.mark.parametrize("start", ["{", "[", '{"a":', '{"', '\\"', "```\n", "[]", "{}"])
def test_brackets_without_end_are_read_once(start):
    assert not matches_schema("So: " + start * (200_000 // len(start)), PERSON)
