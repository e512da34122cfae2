"""The pure parts of what the simulator does with tools: arguments, plans, faults, signatures and the prompt cache."""

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.asked import asked

from streams.validation.checks import failed_check
from streams.validation.json_schema import matches_schema
from tierstream.simulator import ModelBehaviour
from tierstream.simulator.behaviour import Fault
from tierstream.simulator.chat import Answer, CachePoint, ChatRequest, Conversation, Thought, Tool, Toolbox, ToolCall
from tierstream.simulator.conversation import Segment, cache_points
from tierstream.simulator.json_instances import instance_of
from tierstream.simulator.logprobs import in_pieces, token_logprobs
from tierstream.simulator.openai_messages import read_conversation
from tierstream.simulator.output_limit import fitted
from tierstream.simulator.prompt_cache import CacheUse, PromptCache
from tierstream.simulator.thinking import sign, signed_by
from tierstream.simulator.tokens import count_tokens, split_tokens
from tierstream.simulator.tool_calls import arguments_for, off_schema, report, spoiled, wanted_calls

KEYS = st.text("abcdef", min_size=1, max_size=4)
BOUNDS = st.tuples(st.integers(-50, 50), st.integers(0, 30))


def numbers() -> st.SearchStrategy[dict[str, Any]]:
    bounded = BOUNDS.map(lambda b: {"minimum": b[0], "maximum": b[0] + b[1]})
    exclusive = BOUNDS.map(lambda b: {"exclusiveMinimum": b[0], "exclusiveMaximum": b[0] + b[1] + 2})
    multiple = st.integers(1, 9).map(lambda step: {"minimum": 1, "multipleOf": step})
    limits = st.just({}) | bounded | exclusive | multiple | st.integers(-9, 9).map(lambda top: {"maximum": top})
    narrow = st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1})
    return narrow | st.tuples(st.sampled_from(["integer", "number"]), limits).map(lambda t: {"type": t[0], **t[1]})


def strings() -> st.SearchStrategy[dict[str, Any]]:
    lengths = BOUNDS.map(lambda b: {"minLength": abs(b[0]) % 20, "maxLength": abs(b[0]) % 20 + b[1]})
    formats = st.sampled_from(["date", "date-time", "email", "uri", "uuid"]).map(lambda name: {"format": name})
    return (st.just({}) | lengths | formats).map(lambda limits: {"type": "string", **limits})


def leaves() -> st.SearchStrategy[dict[str, Any]]:
    fixed = st.lists(st.integers() | KEYS | st.none(), min_size=1, max_size=4).map(lambda values: {"enum": values})
    const = (st.integers() | KEYS).map(lambda value: {"const": value})
    kinds = st.sampled_from(["boolean", "null", ["string", "null"], ["null", "integer"]]).map(lambda k: {"type": k})
    return numbers() | strings() | fixed | const | kinds


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def made(draw: st.DrawFn) -> dict[str, Any]:
        properties = draw(st.dictionaries(KEYS, inner, max_size=4))
        required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
        closed = draw(st.booleans())
        return {
            "type": "object",
            "properties": properties,
            **({"required": required} if required else {}),
            **({"additionalProperties": False} if closed else {}),
        }

    return made()


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    sizes = st.integers(0, 3).flatmap(lambda least: st.tuples(st.just(least), st.integers(least, 4)))
    return st.tuples(inner, sizes).map(
        lambda t: {"type": "array", "items": t[0], "minItems": t[1][0], "maxItems": t[1][1]}
    )


def unions(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})


SCHEMAS = objects(st.recursive(leaves(), lambda inner: objects(inner) | arrays(inner) | unions(inner), max_leaves=8))


@given(SCHEMAS, st.integers(0, 1000))
def test_arguments_satisfy_their_schema(schema: dict[str, Any], step: int) -> None:
    arguments = arguments_for(schema, step)
    assert isinstance(arguments, dict)
    assert matches_schema(json.dumps(arguments), schema)


@given(SCHEMAS)
def test_arguments_off_their_schema_break_it_where_anything_does(schema: dict[str, Any]) -> None:
    broken = off_schema(schema, instance_of(schema))
    assert isinstance(broken, dict)
    takes_all = not schema.get("required") and not any("type" in part for part in schema["properties"].values())
    if not takes_all or schema.get("additionalProperties") is False:
        assert not matches_schema(json.dumps(broken), schema)


def test_arguments_follow_references_and_differ_step_by_step() -> None:
    schema = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/place"}, "tags": {"type": "array", "items": {}, "uniqueItems": True}},
        "required": ["at"],
        "$defs": {"place": {"type": "object", "properties": {"row": {"type": "integer"}}, "required": ["row"]}},
    }
    assert [arguments_for(schema, step) for step in (0, 1)] == [{"at": {"row": 0}}, {"at": {"row": 1}}]
    three = {"type": "array", "items": {"type": "string"}, "minItems": 3, "uniqueItems": True}
    assert instance_of(three) == ["text", "text-1", "text-2"]


TOOLS = tuple(Tool(name, {"type": "object", "properties": {"n": {"type": "integer"}}}, 20) for name in ("look", "see"))


def request(prompt: str, *, results: int = 0, last: ToolCall | None = None, **box: Any) -> ChatRequest:
    given_back = tuple(f"result {number}" for number in range(results))
    conversation = Conversation("", prompt, 10, 0, results=given_back, last_call=last)
    return ChatRequest("m", conversation, None, False, False, None, toolbox=Toolbox(**{"tools": TOOLS, **box}))


@pytest.mark.parametrize(
    ("asked_for", "names"),
    [
        (request("Look, look-up and overlook."), []),
        (request("First see, then look."), ["look", "see"]),
        (request("First see, then look.", parallel=False), ["look"]),
        (request("Please look.", results=1), []),
        (request("Please look.", results=1, choice="required"), ["look"]),
        (request("Please look.", choice="none"), []),
        (request("Please look.", tools=()), []),
        (request("Please look.", choice="required", named="see"), ["see"]),
        (request("agent: 5 steps"), ["look"]),
        (request("agent: 5 steps", results=1), ["see"]),
        (request("agent: 5 steps, 3 at a time", results=3), ["see", "look"]),
        (request("agent: 5 steps", results=5), []),
        (request("agent: 1 step", results=1, choice="required"), ["see"]),
    ],
)
def test_which_tools_are_called(asked_for: ChatRequest, names: list[str]) -> None:
    assert [call.name for call in wanted_calls(asked_for)] == names


def test_results_count_from_the_last_question_on() -> None:
    def called(call_id: str) -> list[dict[str, Any]]:
        made = {"id": call_id, "type": "function", "function": {"name": "look", "arguments": "{}"}}
        return [
            {"role": "assistant", "content": None, "tool_calls": [made]},
            {"role": "tool", "tool_call_id": call_id, "content": call_id},
        ]

    def user(text: str) -> dict[str, Any]:
        return {"role": "user", "content": text}

    history = [user("one"), *called("a"), user("two"), *called("b")]
    # What the router adds to a conversation is no question.
    noted = read_conversation([*history, user("<finding>cut off</finding>"), *called("c")], "")
    assert (noted.prompt, noted.results, noted.last_call) == ("two", ("b", "c"), ToolCall("look", "{}", "c"))
    asked_anew = read_conversation([*history, user("three")], "")
    assert (asked_anew.prompt, asked_anew.results, asked_anew.last_call) == ("three", (), None)
    assert asked_anew.needs == {"tools"}


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_the_report_tells_lost_and_reordered_results(results: list[str]) -> None:
    text = report(results)
    assert text == report(iter(results))
    assert text != report(results[:-1])
    assert (text == report(results[::-1])) is (results == results[::-1])


def test_what_is_said_of_results_passes_the_free_checks() -> None:
    for count in (1, 2, 20):
        assert failed_check(asked("agent: 20 steps"), report(map(str, range(count))), "stop") is None


def test_faults_spoil_the_first_call_alone() -> None:
    calls = (ToolCall("look", '{"n":1}'), ToolCall("see", '{"n":2}'))
    repeats = request("agent: 9 steps", last=ToolCall("see", '{"n":0}', "call_0"))
    for fault, first in {
        Fault.BAD_ARGUMENTS: ToolCall("look", '{"n"'),
        Fault.OFF_SCHEMA: ToolCall("look", '{"n":{}}'),
        Fault.UNKNOWN_TOOL: ToolCall("look_of_old", '{"n":1}'),
        Fault.REPEATED_CALL: ToolCall("see", '{"n":0}'),
        Fault.STREAM_ERROR: calls[0],
        None: calls[0],
    }.items():
        assert spoiled(calls, fault, repeats) == (first, calls[1])
        assert spoiled((), fault, repeats) == ()
    assert spoiled(calls, Fault.REPEATED_CALL, request("agent: 9 steps")) == calls


def test_rates_of_bad_calls_are_rates_like_all_others() -> None:
    behaviour = ModelBehaviour(tier=1, rate_500=0.5, rate_bad_arguments=0.25, rate_repeated_call=0.25)
    drawn = [behaviour.fault_at(draw) for draw in (0.4, 0.6, 0.8)]
    assert drawn == [Fault.SERVER_ERROR, Fault.BAD_ARGUMENTS, Fault.REPEATED_CALL]
    with pytest.raises(ValueError, match="add up"):
        ModelBehaviour(tier=1, rate_unknown_tool=0.6, rate_off_schema=0.6)


@given(st.text(), st.text(), st.text("0123456789abcdef", max_size=9))
def test_a_signature_says_who_thought_what_and_behind_what(text: str, other: str, key: str) -> None:
    signature = sign("m", key, text)
    assert signed_by(text, signature) == ("m", key)
    assert (signed_by(other, signature) is None) is (text != other)


@given(st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_what_is_no_signature_is_none(signature: str) -> None:
    assert signed_by("hm", signature) is None


@pytest.mark.parametrize("parts", ['["m"]', '{"a": 1, "b": 2, "c": 3}', "3", '["m", 1, null]', "[[], [], []]"])
def test_a_signature_that_was_made_up_is_none(parts: str) -> None:
    assert signed_by("hm", base64.b64encode(parts.encode()).decode()) is None


@given(
    st.text("ab c", max_size=60),
    st.lists(st.text("xy,z ", max_size=30), max_size=3),
    st.integers(1, 60),
    st.none() | st.integers(1, 20),
)
def test_no_more_is_written_than_there_is_room_for(text: str, written: list[str], limit: int, thought: int) -> None:
    answer = Answer(text, calls=tuple(ToolCall("look", arguments) for arguments in written))
    whole = fitted(answer, None, 0, 10_000)
    cut = fitted(answer, Thought("hm", thought) if thought else None, 0, limit)
    assert cut.visible + cut.reasoning <= limit
    assert text.startswith(cut.answer.text)
    assert len(cut.answer.calls) <= len(answer.calls)
    for got, full in zip(cut.answer.calls, answer.calls, strict=False):
        assert full.arguments.startswith(got.arguments)
    assert (cut.answer == answer) is (cut.visible == whole.visible)
    assert (cut.answer.finish == "length") is (cut.answer is not answer)


@given(st.text())
def test_tokens_with_their_probabilities_are_the_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text
    assert len(split_tokens(text)) in {count_tokens(text), 1}
    entries = token_logprobs(text, 4)
    assert [entry for piece in in_pieces(entries) for entry in piece] == entries
    for entry in entries:
        likely = [each["logprob"] for each in entry["top_logprobs"]]
        assert likely == sorted(likely, reverse=True)
        assert sum(map(math.exp, likely)) <= 1.001


def talk(*points: tuple[bytes, int, float | None]) -> Conversation:
    return Conversation("", "", 5000, 0, cache_points=tuple(CachePoint(*point) for point in points))


def test_a_marked_prefix_is_cached_for_five_minutes_from_its_last_use() -> None:
    cache, prompt = PromptCache(), talk((b"a", 2000, 300.0), (b"b", 2100, None))
    assert cache.use(prompt, 0) == CacheUse(0, 2000)
    assert cache.use(prompt, 299) == CacheUse(2000, 0)
    assert cache.use(prompt, 598) == CacheUse(2000, 0)
    assert cache.use(prompt, 899) == CacheUse(0, 2000)
    hour = talk((b"h", 2000, 3600.0))
    cache.use(hour, 0)
    assert cache.use(hour, 3000) == CacheUse(2000, 0)


def test_a_longer_prompt_reads_what_it_begins_with() -> None:
    cache = PromptCache()
    cache.use(talk((b"a", 2000, 300.0)), 0)
    assert cache.use(talk((b"a", 2000, None), (b"b", 2500, 300.0)), 1) == CacheUse(2000, 500)
    far = [(b"a", 2000, None), *((str(n).encode(), 2500 + n, None) for n in range(20)), (b"z", 3000, 300.0)]
    assert cache.use(talk(*far), 2) == CacheUse(0, 3000)
    assert cache.use(talk((b"s", 1000, 300.0)), 3) == cache.use(talk((b"s", 1000, 300.0)), 4) == CacheUse()


def test_what_is_cached_by_itself_is_read_in_blocks() -> None:
    cache, prompt = PromptCache(), talk((b"a", 900, None), (b"b", 1300, None))
    assert [cache.use(prompt, at) for at in (0, 100, 500)] == [CacheUse(), CacheUse(1280), CacheUse()]


@given(st.lists(st.tuples(KEYS, st.integers(0, 99)), min_size=1, max_size=6), st.integers(0, 5), KEYS)
def test_a_change_changes_all_points_behind_it(parts: list[tuple[str, int]], place: int, other: str) -> None:
    segments = [Segment(content, tokens) for content, tokens in parts]
    place %= len(segments)
    changed = list(segments)
    changed[place] = Segment(f"{segments[place].content}{other}", segments[place].tokens)
    before, after = cache_points(segments), cache_points(changed)
    assert before[:place] == after[:place]
    assert all(one.key != two.key for one, two in zip(before[place:], after[place:], strict=True))
    assert before[-1].tokens == sum(tokens for _, tokens in parts)
