"""Answers of agents: right ones, after tools have answered in JSON, code, tables and text, fail no check."""

import json

import pytest
from support.asked import asked, called, conversation

from streams.validation.checks import failed_check

SYSTEM = "You are a helpful agent. Answer from what the tools return."
TOOLS = [{"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}]
ORDER = json.dumps({"id": 4711, "shipped_at": "2026-05-12T10:00:00Z", "total_cents": 90000, "price": 45000})
LINES = json.dumps({"lines": [{"name": "Desk", "price": "199.00"}, {"name": "Lamp", "price": "49.50"}], "vat": 0.19})
PYTEST = (
    "....F..F.\nFAILED tests/test_a.py::test_x - assert 3 == 4\nFAILED tests/test_b.py::test_y - KeyError: 'a'\n"
    "2 failed, 7 passed in 12.53s"
)
NOTES = (
    "Notes of 3 March\nPresent: Ann Lee, Bob Ray.\n1. Budget: $12,000 approved.\n"
    "2. Launch moved from 5 May to 19 May.\nAnn calls the vendor by Friday."
)
DISK = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/sda1 102400000 81920000 20480000 80% /"
CONFIG = "[server]\nport = 8080\ntimeout = 30\nretries = 5\nmax_size = 1048576\n"
USERS = "id|name|created\n1|Ann Lee|2026-05-01\n2|Bob Ray|2026-05-17\n3|Cy Orr|2026-04-30"
ITEMS = "\n".join(json.dumps({"id": n, "name": f"Item {n}", "price": n * 3 + 0.5}) for n in range(2_000))
CODE = "\n".join(f"def f{n}(x):\n    return x * {n} + {n * 7}" for n in range(3_000))
DANUBE = "Die Donau ist ein Fluss, der in das Schwarze Meer fließt und sehr lang ist."

RIGHT = [
    ("What is the status of order 4711?", ORDER, "It was shipped on 12 May 2026: 2 items at €450.00, €900.00 in all."),
    ("List what order 4711 cost.", LINES, "The desk is €199.00, the lamp €49.50; with 19% VAT, €47.22, it is €295.72."),
    ("Tell me how the tests went.", PYTEST, "2 of 9 tests fail (22%): test_x and test_y. The run took 12.5 seconds."),
    ("Summarise the notes.", NOTES, "On 3 March the $12,000 budget was approved; the launch moves to 19 May."),
    ("How much is left? Name the share.", DISK, "About 20 GB (20%) of 100 GB are left."),
    ("Explain what the config sets.", CONFIG, "Port 8080, a timeout of 30 seconds, 5 retries and at most 1 MB."),
    ("List the users created in May.", USERS, "- Ann Lee, 1 May 2026\n- Bob Ray, 17 May 2026"),
    ("List the three dearest items.", ITEMS, "Item 1999 ($5,997.50), Item 1998 ($5,994.50) and Item 1997 ($5,991.50)."),
    ("Explain what f12 does.", CODE, "It multiplies by 12 and adds 84: for x = 2 it is 2 * 12 + 84 = 108."),
    ("What does the German file say?", DANUBE, DANUBE),
    ("Where is my parcel?", "permission denied", "I don't have access to that order: permission denied."),
    ("Which section is it?", '["1 Intro", "2 Terms"]', "The spec has sections 1 and 2 only; there is no section 4."),
]


@pytest.mark.parametrize(("question", "result", "answer"), RIGHT)
def test_no_false_alarm_about_what_tools_returned(question, result, answer):
    request = conversation(question, ("read", '{"at": 1}', result), system=SYSTEM, tools=TOOLS)
    assert failed_check(request, answer, "stop") is None


def test_a_text_that_a_tool_returned_is_one_that_the_answer_is_held_against():
    request = conversation("Summarise the notes.", ("read", "{}", NOTES), tools=TOOLS)
    assert failed_check(request, "The budget of $15,000 was approved on 3 March.", "stop") == "unsupported"
    assert failed_check(request, "The budget of $12,000 was approved on 3 March.", "stop") is None


def test_what_the_assistant_has_written_into_a_call_was_said():
    request = conversation(NOTES + "\n\nWhat will it cost?", ("read", '{"most": "$31,400"}', "noted"), tools=TOOLS)
    assert failed_check(request, "I have noted at most $31,400.", "stop") is None


@pytest.mark.parametrize(
    "text", ["I don't know yet.", "Let me look it up in the", "Ich sehe nach, was die Datei sagt."]
)
def test_a_preface_of_calls_is_not_read_as_an_answer(text):
    request = asked("What does the file say of it?", tools=TOOLS)
    assert failed_check(request, text, "tool_calls", called('read {"at": 1}')) is None


def test_what_an_image_holds_nobody_here_knows():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    text = {"type": "text", "text": f"{NOTES}\n\nWhat does the receipt say of the price?"}
    said = {"request_id": "r", "messages": [{"role": "user", "content": [text, image]}]}
    request = asked("x").model_validate(said)
    assert failed_check(request, "It says $14,999 on 4 June.", "stop") is None
    assert failed_check(asked(text["text"]), "It says $14,999 on 4 June.", "stop") == "unsupported"
