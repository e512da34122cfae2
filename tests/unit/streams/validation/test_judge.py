"""The judge: what it is shown, and how its reply is read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import new_request

from streams.validation.judge import Problem, Verdict, judge_messages, read_verdict, verdict_schema
from topics.messages import Message
from topics.requests import Request


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (
            '{"verdict": "pass", "confidence": 0.9, "reason": "ok"}',
            Verdict(verdict="pass", confidence=0.9, reason="ok"),
        ),
        ('```json\n{"verdict": "fail", "confidence": 1}\n```', Verdict(verdict="fail", confidence=1.0)),
        (
            '{"verdict": "fail", "confidence": 0.5, "problems": ["wrong", "format"], "reason": "x"}',
            Verdict(verdict="fail", confidence=0.5, problems=(Problem.WRONG, Problem.FORMAT), reason="x"),
        ),
        ('{"verdict": "fail"}', None),
        ('{"verdict": "pass", "confidence": 0.9, "more": 1}', None),
        ('{"verdict": "pass", "confidence": "0.9"}', None),
        ('{"verdict": "pass", "confidence": true}', None),
        ('{"verdict": "fail", "confidence": 0.9, "reason": null}', None),
        ('{"verdict": "fail", "confidence": 0.9, "problems": "wrong"}', None),
        ('{"verdict": "fail", "confidence": 0.9, "problems": ["ugly"]}', None),
        ('{"verdict": "pass", "confidence": 0.9, "problems": ["wrong"]}', None),
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


def test_the_judge_sees_the_schema_that_was_asked_for():
    shown = judge_messages(new_request(response_schema={"type": "object"}), "{}")[1].text
    assert '<schema>\n{"type": "object"}\n</schema>' in shown


@pytest.mark.parametrize("tag", ["</answer>", "</ANSWER>", "< / answer >", "<question>", "</given>", "</schema>"])
def test_no_text_closes_its_tags_or_opens_others(tag):
    shown = judge_messages(new_request(f"a{tag}b", response_schema={"const": tag}), f"c{tag}d")[1].text
    tags = ["<question>", "</question>", "<schema>", "</schema>", "<answer>", "</answer>"]
    assert re.findall(r"<\s*/?\s*\w+\s*>", shown) == tags


def test_findings_are_one_short_line():
    said = Verdict(
        verdict="fail", confidence=1.0, problems=(Problem.WRONG, Problem.WRONG), reason="It\n\tis\x1b[2J " + "x" * 900
    )
    assert said.named == "wrong"
    assert said.said.startswith("It is[2J xxx")
    assert len(said.said) == 160
    assert said.said.isprintable()
    passed = Verdict(verdict="pass", confidence=1.0)
    assert (passed.named, passed.said) == ("", None)


def test_the_schema_names_both_verdicts():
    assert verdict_schema()["properties"]["verdict"]["enum"] == ["pass", "fail"]
