"""Ends in the middle that the provider does not report."""

import pytest
from support.asked import asked

from streams.validation.broken_off import breaks_off
from streams.validation.finished import Finished


def fails(content: str, finish_reason: str = "stop", **fields: object) -> bool:
    return breaks_off(Finished(asked("Tell me about it.", **fields), content, finish_reason))


@pytest.mark.parametrize(
    "content",
    [
        "A pump moves heat. The compressor raises its pressure and",
        "Vorteile gibt es viele. Dazu gehört vor allem die Trennung von Arbeit und",
        "Lyon est connue pour sa gastronomie et fut longtemps la capitale des",
        "La pizza nasce a Napoli. Nel 1889 Esposito ne preparò una con mozzarella e",
        "Байкал очень глубок. Вода в нём прозрачна, что",
        "大熊猫是中国特有的珍稀动物。它们以竹子为主食，因为竹子的营养",
        "俳句は十七音の定型詩です。松尾芭蕉や与謝蕪村が",
        "Use this:\n\n```python\ndef f(x):\n    return x +",
        "| Planet | km |\n|---|---|\n| Venus | 12,104 |\n| Earth | 12,",
        '{"host": "localhost", "ports": {"a": 1,',
        "The report recommends three things: closing the east wing and (",
        "It was drunk in China. It spread to Japan. Traders brought it to Europe in the 17th cen",
        "Flex lays out items.\n\nIt distributes space. Use it for rows.\n\nA grid is better if you want to place it",
    ],
)
def test_broken_off(content):
    assert fails(content)


@pytest.mark.parametrize(
    "content",
    [
        "Canberra",
        "that they are over by Tuesday",
        "Fog on the harbour\none bell answers another\nno boat to be seen",
        "Thank you for your mail. I look into it.\n\nKind regards,\nIoana Petrescu",
        "Thank you for your mail. I look into it at once. Kind regards, the team in Oslo",
        "1. Unplug it.\n2. Wait.\n3. Log in with the password on the sticker",
        "Use this:\n\n```sql\nSELECT 1\n```",
        "```sql\nSELECT 1```\nThat is all.",
        "SELECT country, COUNT(*) AS n\nFROM users\nGROUP BY country",
        "def f(lo):\n    return lo",
        "See the docs. They are at https://example.com/docs",
        "What a day! See you soon 🎉",
        "steel, insulated, leakproof, 750 ml, BPA-free",
        "x = 5",
        "12. Mai",
        "東京",
        "He said so. She knocked, and it began to say her na—",
    ],
)
def test_whole(content):
    assert not fails(content)


@pytest.mark.parametrize(("finish_reason", "params"), [("length", {"max_tokens": 5}), ("stop", {"stop": ["END"]})])
def test_an_end_that_was_asked_for(finish_reason, params):
    assert not fails("It is so. And then the", finish_reason, params=params)
