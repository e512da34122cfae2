"""Texts that go round, and those whose repetition has its reason."""

import pytest
from support.asked import asked

from streams.validation.finished import Finished
from streams.validation.loops import goes_round


def fails(content: str, question: str = "Explain it.") -> bool:
    return goes_round(Finished(asked(question), content, "stop"))


SAID_AGAIN = " ".join(
    f"{word}, the launch was moved to May." for word in ("First", "So", "Overall", "In short", "Thus", "Again", "Now")
)


@pytest.mark.parametrize(
    "content",
    [
        "It is blue. " + "Blue light is scattered more than red light. " * 8,
        "4 " * 40,
        "The wind howled" + " and the wind howled" * 15,
        "1. Danube\n2. Loire\n" + "\n".join(f"{i}. {('Rhine', 'Elbe')[i % 2]}" for i in range(3, 20)),
        "- Keep the room dark.\n" + "- Keep the room cool and dark.\n- Keep the room dark and cool.\n" * 5,
        SAID_AGAIN,
        " ".join(
            f"In the year {year}, tariffs were raised again, and goods became more expensive."
            for year in range(1990, 2000)
        ),
        "人工智能是一个分支。" + "人工智能可以帮助人们解决问题。" * 8,
        "春は暖かいです。" + "桜が咲いて、とてもきれいです。" * 8,
        "Рим — это город. " + "Это очень красивый и древний город. " * 7,
    ],
)
def test_loops(content):
    assert fails(content)


TABLE = (
    "| Day | Activity |\n|---|---|\n"
    + "| Monday | Running for 30 minutes |\n| Tuesday | Stretching for 15 minutes |\n" * 6
)
SHANTY = "\n".join(
    f"{line}\n  Haul away, lads, haul away!"
    for line in ("The gale blew up", "The cook he swore", "So raise a glass", "She loves the sea")
)


@pytest.mark.parametrize(
    ("content", "question"),
    [
        ("I will not talk in class.\n" * 15, "Write 'I will not talk in class' fifteen times."),
        (SHANTY, "Write a shanty with a refrain."),
        (TABLE, "Make a plan."),
        ("```sql\n" + "".join(f"  {c} TEXT NULL,\n" for c in "abcdefghij") + "```", "Make a table."),
        ("\n".join(f"7 × {n} = {7 * n}" for n in range(1, 15)), "The table of 7, please."),
        (", ".join(map(str, range(1, 60))), "The integers up to 59, please."),
        ("\n".join(f"2024-01-{day:02},20" for day in range(1, 20)), "The temperatures, please."),
        (
            "".join(
                f"- Check the {part}.\n" for part in ("oil", "tyres", "lights", "brakes", "belt", "horn", "wipers")
            ),
            "What to check?",
        ),
    ],
)
def test_repetition_with_a_reason(content, question):
    assert not fails(content, question)
