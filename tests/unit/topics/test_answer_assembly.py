"""Answers put together from pieces."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from topics.answer_assembly import AnswerAssembly, pieces_of
from topics.events import Chunk, Delta


def assembled(*pieces):
    answer = AnswerAssembly()
    for piece in pieces:
        answer.add(piece)
    return answer


def call(index=0, text="", **named):
    return Delta(kind="tool_call", index=index, text=text, **named)


def test_text_with_calls_behind_it_needs_no_parts():
    answer = assembled("Let me ", "look.", call(id="a", name="look"), call(text='{"x":'), call(text="1}"))
    assert answer.text == "Let me look."
    assert answer.parts is None
    assert [(c.id, c.function.name, c.function.arguments) for c in answer.tool_calls] == [("a", "look", '{"x":1}')]


def test_calls_may_arrive_interleaved():
    answer = assembled(call(0, id="a", name="f"), call(1, id="b", name="g"), call(0, "{}"), call(1, "[]"))
    assert [(c.id, c.function.arguments) for c in answer.tool_calls] == [("a", "{}"), ("b", "[]")]
    assert answer.parts is None


def test_thinking_keeps_its_signature_and_every_part_its_place():
    answer = assembled(
        Delta(kind="reasoning", text="First "),
        Delta(kind="reasoning", text="this."),
        Delta(kind="signature", text="sig1"),
        Delta(kind="reasoning", text="Then that."),
        Delta(kind="signature", text="sig2"),
        Delta(kind="redacted", text="xyz"),
        "Let me look.",
        call(id="a", name="look", text="{}"),
        "And now?",
    )
    assert answer.parts is not None
    assert [part.model_dump(exclude_none=True) for part in answer.parts] == [
        {"type": "thinking", "thinking": "First this.", "signature": "sig1"},
        {"type": "thinking", "thinking": "Then that.", "signature": "sig2"},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "Let me look."},
        {"type": "tool_call", "id": "a"},
        {"type": "text", "text": "And now?"},
    ]
    assert answer.text == "Let me look.And now?"
    assert "First this." in answer.written


def test_a_call_whose_id_was_never_named_is_known_by_its_index():
    answer = assembled(call(3, name="f"))
    assert answer.tool_calls[0].id == "call_3"


def test_two_calls_of_one_id_are_told_apart():
    answer = assembled("I look.", call(0, id="a", name="f"), call(1, id="a", name="g"), "And?")
    assert [c.id for c in answer.tool_calls] == ["a", "call_1"]
    assert [part.id for part in answer.parts if part.type == "tool_call"] == ["a", "call_1"]


def test_nothing_is_empty():
    answer = assembled()
    assert (answer.text, answer.tool_calls, answer.parts) == ("", (), None)


pieces = st.text(min_size=1, max_size=5) | st.builds(
    Delta,
    kind=st.sampled_from(("text", "reasoning", "signature", "redacted", "tool_call")),
    text=st.text(max_size=5),
    index=st.integers(0, 2),
)


@given(st.lists(pieces, max_size=20), st.integers(0, 20))
def test_chunks_hold_the_same_wherever_they_are_cut(given_pieces, at):
    whole, cut = assembled(*given_pieces), AnswerAssembly()
    for part in (given_pieces[:at], given_pieces[at:]):
        deltas = tuple(Delta(kind="text", text=p) if isinstance(p, str) else p for p in part)
        for piece in pieces_of(_chunk(deltas)):
            cut.add(piece)
    assert (cut.text, cut.tool_calls, cut.parts) == (whole.text, whole.tool_calls, whole.parts)


def test_a_chunk_of_text_alone_is_one_piece():
    assert pieces_of(_chunk(text="hello")) == ("hello",)
    assert pieces_of(_chunk()) == ()


def _chunk(deltas=(), text=""):
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Chunk(
        request_id="r", attempt_id=UUID(int=1), call_id=UUID(int=2), seq=0, kind="text", at=at, text=text, deltas=deltas
    )
