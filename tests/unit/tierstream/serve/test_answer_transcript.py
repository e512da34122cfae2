"""What of an answer is left to show: whatever was shown of it, wherever it was cut."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierstream.serve.transcript import Transcript, pieces_of_result
from topics.answer_assembly import AnswerAssembly
from topics.events import Delta
from topics.messages import FunctionCall, ToolCall
from topics.results import Result, ResultStatus
from topics.tasks import Source

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)


def reasoning(text):
    return Delta(kind="reasoning", text=text)


def call(index, text="", **fields):
    return Delta(kind="tool_call", index=index, text=text, **fields)


@st.composite
def answers(draw):
    """Pieces in the order in which a model writes: one part after the other, each in several pieces."""
    pieces, number = [], -1
    for kind in draw(st.lists(st.sampled_from(["text", "reasoning", "redacted", "call"]), max_size=6)):
        texts = draw(st.lists(TEXTS, min_size=1, max_size=3))
        match kind:
            case "text":
                pieces += texts
            case "reasoning":
                pieces += map(reasoning, texts)
                if draw(st.booleans()):
                    pieces.append(Delta(kind="signature", text="signed"))
            case "redacted":
                pieces.append(Delta(kind="redacted", text=texts[0]))
            case _:
                number += 1
                pieces.append(call(number, id=f"call_{number}", name="look_up"))
                pieces += [call(number, text) for text in texts]
    return pieces


def assembled(pieces):
    assembly = AnswerAssembly()
    for piece in pieces:
        assembly.add(piece)
    return assembly.text, assembly.tool_calls, assembly.parts


def result_of(pieces):
    text, calls, parts = assembled(pieces)
    return Result(
        request_id="r",
        status=ResultStatus.OK,
        content=text,
        tool_calls=calls,
        parts=parts,
        cost_usd=Decimal(0),
        source=Source(topic="llm.requests", partition=0, offset=0, timestamp_ms=0),
        latency_ms=1,
        settled_at="2026-01-01T00:00:00Z",
    )


@given(answers(), st.data())
def test_what_was_shown_and_the_rest_are_the_answer(pieces, data):
    cut = data.draw(st.integers(0, len(pieces)))
    rest = Transcript(pieces[:cut]).rest_of(Transcript(pieces))
    assert rest is not None
    assert assembled([*pieces[:cut], *rest]) == assembled(pieces)


@given(answers(), st.data())
def test_a_result_continues_what_its_own_chunks_have_shown(pieces, data):
    cut = data.draw(st.integers(0, len(pieces)))
    rest = Transcript(pieces[:cut]).rest_of(Transcript(pieces_of_result(result_of(pieces))))
    assert rest is not None
    assert assembled([*pieces[:cut], *rest])[:2] == assembled(pieces)[:2]


@pytest.mark.parametrize(
    ("shown", "whole"),
    [
        (["Paris is"], ["London is"]),
        (["Paris is"], ["Paris"]),
        ([reasoning("hm"), "Paris"], [reasoning("so"), "Paris"]),
        (["Paris", call(0, "{", id="c1", name="look_up")], ["Paris!", call(0, "{}", id="c1", name="look_up")]),
        ([call(0, "{", id="c1", name="look_up")], [call(0, "{}", id="c2", name="look_up")]),
        ([reasoning("hm"), Delta(kind="signature", text="a")], [reasoning("hm"), Delta(kind="signature", text="b")]),
        ([Delta(kind="redacted", text="x")], [Delta(kind="redacted", text="y")]),
    ],
)
def test_what_contradicts_has_no_rest(shown, whole):
    assert Transcript(shown).rest_of(Transcript(whole)) is None


def test_thinking_that_the_result_does_not_repeat_is_no_contradiction():
    assert Transcript([reasoning("hm"), "Par"]).rest_of(Transcript(["Paris"])) == ["is"]


def test_calls_side_by_side_go_on_side_by_side():
    first, second = {"id": "a", "name": "x"}, {"id": "b", "name": "y"}
    shown = [call(0, "{", **first), call(1, "[", **second)]
    rest = Transcript(shown).rest_of(Transcript([call(0, "{}", **first), call(1, "[]", **second)]))
    assert rest == [call(0, "}"), call(1, "]")]


def test_calls_without_a_place_stand_behind_the_text():
    calls = (ToolCall(id="c1", function=FunctionCall(name="look_up", arguments="{}")),)
    result = result_of(["Let me see."]).model_copy(update={"tool_calls": calls})
    assert pieces_of_result(result) == ["Let me see.", call(0, "{}", id="c1", name="look_up")]
