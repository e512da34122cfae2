"""The pure parts of the simulator: tokens, answers, verdicts, made-up JSON and rate limits."""

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.asked import asked
from support.handler_runs import completion

from streams.validation.checks import failed_check
from streams.validation.escalation_note import escalation_note
from tierstream.simulator.answers import Script, ScriptError, choose_answer
from tierstream.simulator.behaviour import Fault, ModelBehaviour
from tierstream.simulator.chat import Answer, ChatRequest
from tierstream.simulator.filler import generic_text, off_schema_text, schema_instance, wrong_text
from tierstream.simulator.openai_messages import read_conversation
from tierstream.simulator.rate_limit import RateLimits
from tierstream.simulator.tokens import count_tokens, first_tokens

ENTRY = {"prompt": "What is 6 times 7?", "label": 2, "answer": "It is forty-two, as everyone knows."}

REST = (None, False, False)


def answer_of(script: Script, prompt: str, *, tier: int = 1, model: str = "m", errors: float = 0) -> Answer:
    messages = [{"role": "user", "content": [{"type": "text", "text": prompt}]}]
    request = ChatRequest(model, read_conversation(messages, ""), *REST, None)
    return choose_answer(script, request, ModelBehaviour(tier=tier, judge_error_rate=errors))


def test_tokens_are_counted_and_cut_alike() -> None:
    text = "Invoice 20481 is due: 3.50 euros, größer als früher."
    total = count_tokens(text)
    for limit in range(total + 3):
        cut = first_tokens(text, limit)
        assert text.startswith(cut)
        assert count_tokens(cut) == min(limit, total)


def test_a_model_is_right_from_its_label_up() -> None:
    script = Script([ENTRY])
    assert answer_of(script, "  What is 6 times 7?\n", tier=2).text == ENTRY["answer"]
    weak = answer_of(script, ENTRY["prompt"], tier=1)
    assert weak.text not in {"", ENTRY["answer"]}
    assert weak == answer_of(script, ENTRY["prompt"], tier=1)


@pytest.mark.parametrize("context", ["reason", "answer"])
def test_what_the_router_tells_of_an_earlier_answer_is_not_what_is_asked(context) -> None:
    best = completion("It is 41.").model_copy(update={"failed": "judge: fail: wrong"})
    note = escalation_note(best, context)
    messages = [{"role": "user", "content": text} for text in (ENTRY["prompt"], note.text)]
    assert read_conversation(messages, "").prompt == ENTRY["prompt"]


def test_no_model_is_right_without_a_label() -> None:
    script = Script([{**ENTRY, "label": None, "wrong": "41", "failure": "wrong"}])
    assert answer_of(script, ENTRY["prompt"], tier=9).text == "41"


def test_answers_by_model_come_first() -> None:
    script = Script([{**ENTRY, "answers": {"m": "mine"}}])
    assert answer_of(script, ENTRY["prompt"], model="m").text == "mine"
    assert answer_of(script, ENTRY["prompt"], model="n", tier=3).text == ENTRY["answer"]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        ("wrong", Answer("41")),
        ("empty", Answer("")),
        ("truncated", Answer("It is forty-two", "length")),
        ("schema", Answer("Here is the record that you asked for: It is forty-two, as everyone knows.")),
    ],
)
def test_failures(failure: str, expected: Answer) -> None:
    script = Script([{**ENTRY, "wrong": "41", "failure": failure}])
    assert answer_of(script, ENTRY["prompt"]) == expected


def test_scripted_texts_come_as_they_are_and_end_as_the_script_says() -> None:
    wrong, right = '{"total": 3,}\n', '```json\n{"total": 3}\n```'
    script = Script([{**ENTRY, "answer": right, "wrong": wrong, "failure": "wrong", "wrong_finish": "length"}])
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    request = ChatRequest("m", read_conversation([{"role": "user", "content": ENTRY["prompt"]}], ""), *REST, schema)
    assert choose_answer(script, request, ModelBehaviour(tier=1)) == Answer(wrong, "length")
    assert choose_answer(script, request, ModelBehaviour(tier=2)) == Answer(right)
    cut = Script([{**ENTRY, "finish": "length"}])
    assert answer_of(cut, ENTRY["prompt"], tier=2) == Answer(ENTRY["answer"], "length")


def test_hedges_and_wrong_answers_share_the_unspecified_failures() -> None:
    prompts = [f"question {number}" for number in range(200)]
    script = Script([{"prompt": p, "label": 3, "answer": "right", "wrong": "WRONG"} for p in prompts])
    wrong = sum(answer_of(script, prompt).text == "WRONG" for prompt in prompts)
    assert 70 < wrong < 130


@pytest.mark.parametrize("answer", ["12", "Yes", '{"total": 3, "paid": true}', "Prose of some kind.", "[]"])
def test_wrong_text_differs_from_the_answer(answer: str) -> None:
    assert wrong_text("p", answer) != answer
    assert wrong_text("p", answer) == wrong_text("p", answer)


def test_unknown_prompts_get_plausible_lengths() -> None:
    lengths = [count_tokens(generic_text(f"prompt {number}")) for number in range(200)]
    assert min(lengths) >= 40
    assert max(lengths) <= 200


def test_what_is_made_up_passes_the_free_checks() -> None:
    for number in range(300):
        text = generic_text(f"prompt {number}")
        assert failed_check(asked(f"prompt {number}"), text, "stop") is None


@pytest.mark.parametrize("answer", ["[1, 2]", '{"a": 1}', "{}", "7", "prose"])
def test_json_off_its_schema_is_none_that_words_around_it_would_excuse(answer: str) -> None:
    schema = {"type": "array"} if answer == "[1, 2]" else {"type": "object", "required": ["a"]}
    assert failed_check(asked("p", response_schema=schema), off_schema_text(answer), "stop") == "schema"


def judge_prompt(answer: str, question: str = "What is 6 times 7?") -> str:
    return f"Judge.\n<question>\n{question}\n</question>\n<answer>\n{answer}\n</answer>\nReply in JSON."


@pytest.mark.parametrize(
    ("prompt", "errors", "verdict"),
    [
        (judge_prompt(ENTRY["answer"]), 0, "pass"),
        (judge_prompt("41"), 0, "fail"),
        (judge_prompt("41"), 1, "pass"),
        (judge_prompt("anything", question="Unknown?"), 0, "pass"),
    ],
)
def test_judge(prompt: str, errors: float, verdict: str) -> None:
    reply = json.loads(answer_of(Script([ENTRY]), prompt, errors=errors).text)
    assert reply["verdict"] == verdict
    assert 0 <= reply["confidence"] <= 1
    assert reply["reason"]


def comparing_prompt(a: str, b: str, question: str = "What is 6 times 7?") -> str:
    tagged = (("question", question), ("answer_a", a), ("answer_b", b))
    return "\n".join(f"<{tag}>\n{text}\n</{tag}>" for tag, text in tagged)


def preferred(a: str, b: str, **behaviour: float) -> str:
    messages = [{"role": "user", "content": comparing_prompt(a, b)}]
    request = ChatRequest("m", read_conversation(messages, ""), None, False, False, None)
    reply = choose_answer(Script([ENTRY]), request, ModelBehaviour(tier=1, **{"judge_error_rate": 0, **behaviour}))
    verdict = json.loads(reply.text)
    assert verdict["reason"]
    return str(verdict["better"])


@pytest.mark.parametrize(
    ("a", "b", "better"),
    [
        (ENTRY["answer"], "41", "A"),
        ("41", ENTRY["answer"], "B"),
        ("41", "40", "same"),
        *[(ENTRY["answer"],) * 2 + ("same",)],
    ],
)
def test_a_judge_of_two_answers_knows_the_right_one(a: str, b: str, better: str) -> None:
    assert preferred(a, b) == better
    assert preferred(a, b, judge_error_rate=1) != better
    assert preferred(a, b, judge_position_bias=1) == "A"


def test_a_bias_for_a_place_is_the_same_in_both_orders() -> None:
    pairs = [(ENTRY["answer"], f"wrong {number}") for number in range(300)]
    biased = [preferred(b, a, judge_position_bias=0.35) == "A" for a, b in pairs]
    assert 75 < sum(biased) < 135
    assert all(preferred(a, b, judge_position_bias=0.35) == "A" for a, b in pairs)


SCHEMAS: list[dict[str, Any]] = [
    {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 6},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2},
            "count": {"type": "integer", "minimum": 3},
            "when": {"type": ["string", "null"], "format": "date"},
            "item": {"$ref": "#/$defs/Item"},
            "maybe": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
        },
        "required": ["name", "tags", "count", "when", "item", "maybe"],
        "$defs": {"Item": {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"]}},
    },
    {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0}},
    {"$ref": "#"},
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_made_up_json_satisfies_its_schema(schema: dict[str, Any]) -> None:
    instance = json.loads(schema_instance(schema))
    if schema != {"$ref": "#"}:
        jsonschema.validate(instance, schema)


def test_script_files_plain_and_compressed(tmp_path: Path) -> None:
    plain, packed, broken = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c.jsonl"
    plain.write_text(json.dumps(ENTRY) + "\n\n")
    packed.write_bytes(gzip.compress(json.dumps({**ENTRY, "prompt": "other"}).encode()))
    broken.write_text(json.dumps({**ENTRY, "lable": 1}))
    assert len(Script.load([plain, packed])) == 2
    with pytest.raises(ScriptError, match=r"c\.jsonl, line 1: lable: "):
        Script.load([broken])


def test_faults_take_their_share_of_the_draws() -> None:
    behaviour = ModelBehaviour(tier=1, rate_429=0.25, rate_hang=0.5)
    assert [behaviour.fault_at(draw) for draw in (0.1, 0.3, 0.74, 0.76)] == [
        Fault.TOO_MANY, Fault.HANG, Fault.HANG, None,
    ]  # fmt: skip


def test_limits_refill_evenly() -> None:
    limits = RateLimits(requests_per_minute=60, tokens_per_minute=600, now=0)
    assert limits.admit(500, 0) is None
    limits.charge(200)
    assert limits.admit(100, 0) == ("tokens", pytest.approx(20))
    assert limits.admit(100, 20.01) is None
    state = limits.state(20.01)
    assert state is not None
    assert state.requests is not None
    assert state.requests.remaining == 59
