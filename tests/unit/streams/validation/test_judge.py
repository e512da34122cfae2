"""The judge: what it is shown, and how its reply is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import new_request

from streams.validation.judge import Verdict, judge_messages, read_verdict, verdict_schema
from topics.requests import Message, Request


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (
            '{"verdict": "pass", "confidence": 0.9, "reason": "ok"}',
            Verdict(verdict="pass", confidence=0.9, reason="ok"),
        ),
        ('{"verdict": "fail"}', Verdict(verdict="fail")),
        ('```json\n{"verdict": "pass", "more": 1}\n```', Verdict(verdict="pass")),
        ('{"verdict": "pass", "confidence": 7}', None),
        ('{"verdict": "maybe"}', None),
        ('{"verdict": "PASS"}', None),
        ("The answer is fine.", None),
        ('[{"verdict": "pass"}]', None),
        ("", None),
        ('{"verdict": "pass", "confidence": NaN}', None),
    ],
)
def test_how_a_reply_is_read(content, verdict):
    assert read_verdict(content) == verdict


@given(st.text(max_size=100))
def test_any_reply_can_be_read(content):
    assert read_verdict(content) is None or "verdict" in content


def test_the_judge_sees_conversation_question_and_answer():
    said = (("system", "Be brief."), ("user", "Hello"), ("assistant", "Hi"), ("user", "What is 2 + 2?"))
    request = Request(request_id="r", messages=tuple(Message(role=role, content=text) for role, text in said))
    instructions, shown = judge_messages(request, "It is 4.")
    assert (instructions.role, shown.role) == ("system", "user")
    assert shown.text.splitlines() == [
        *("<given>", "system: Be brief.", "user: Hello", "assistant: Hi", "</given>"),
        *("<question>", "What is 2 + 2?", "</question>", "<answer>", "It is 4.", "</answer>"),
    ]


def test_a_single_question_has_no_history():
    assert "<given>" not in judge_messages(new_request(), "4")[1].text


def test_the_schema_names_both_verdicts():
    assert verdict_schema()["properties"]["verdict"]["enum"] == ["pass", "fail"]
