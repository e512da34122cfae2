"""Calls of tools on a terminal: behind the text, a line each."""

import pytest
from support.ledger_records import call_pair, result
from support.tool_loop import call

from tierstream.cli.render.results import show_answer, show_result
from tierstream.cli.render.stream import RawPage, TextView
from topics.events import Chunk, Delta
from topics.messages import ToolCall

CALLS = (
    ToolCall.model_validate(call("c1", arguments='{"at":\n"door"}')),
    ToolCall.model_validate(call("c2", "li\x1b[2Jsten", "{")),
)
LINES = '→ look({"at": "door"})\n→ li[2Jsten({)\n'


def answered(content):
    return result(1).model_copy(update={"content": content, "tool_calls": CALLS})


@pytest.mark.parametrize(("content", "shown"), [("I look.", f"I look.\n{LINES}"), ("", LINES)])
def test_an_answer(capsys, content, shown):
    show_answer(answered(content), as_json=False)
    assert capsys.readouterr().out == shown


def test_an_answer_of_nothing_stays_an_empty_line(capsys):
    show_answer(result(1).model_copy(update={"content": ""}), as_json=False)
    assert capsys.readouterr().out == "\n"


def test_a_line_of_results(capsys):
    show_result(answered("I\nlook."), as_json=False)
    assert 'I look. → look({"at": "door"}) → li[2Jsten({)' in capsys.readouterr().out


@pytest.mark.parametrize(("texts", "shown"), [(("I ", "look."), f"I look.\n{LINES}"), (("",), LINES)])
def test_a_stream(capsys, texts, shown):
    final = answered("".join(texts))
    started, _ = call_pair(1)
    view = TextView(RawPage())
    identity = {"request_id": final.request_id, "attempt_id": final.attempt_id, "call_id": started.call_id}
    for seq, text in enumerate(texts):
        deltas = (Delta(kind="text", text=text), Delta(kind="tool_call", index=0, id="c1", name="look"))
        view.take(Chunk(**identity, seq=seq, kind="text", text=text, deltas=deltas, at=final.settled_at))
    view.take(final)
    assert capsys.readouterr().out == shown
