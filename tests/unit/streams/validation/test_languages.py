"""Which language a text is in, and answers in another than the question's."""

import pytest
from support.asked import asked

from streams.validation.finished import Finished
from streams.validation.languages import is_in_another_language, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("This is what you have to do if it does not start.", "en"),
        ("Das ist nicht so, wie es in der Zeitung steht.", "de"),
        ("C'est une question que je pose à tous les élèves.", "fr"),
        ("No es lo mismo que hacerlo por la mañana.", "es"),
        ("Non è la stessa cosa di quella che ho detto.", "it"),
        ("Não é a mesma coisa que eu disse para você.", "pt"),
        ("Het is niet zo dat ik dat wil.", "nl"),
        ("To nie jest to samo, co mówił.", "pl"),
        ("Bu çok güzel bir gün ve daha ne olsun.", "tr"),
        ("Это не то же самое.", "ru"),
        ("这不是同一件事情。", "zh"),
        ("それは同じことではありません。", "ja"),
        ("그것은 같은 것이 아닙니다.", "ko"),
        ("هذا ليس نفس الشيء.", "ar"),
        ("यह वही बात नहीं है।", "hi"),
        ("x = 5", None),
        ("Canberra", None),
        ("", None),
    ],
)
def test_languages(text, language):
    assert language_of(text) == language


def fails(question: str, content: str, system: str = "") -> bool:
    return is_in_another_language(Finished(asked(question, system=system), content, "stop"))


ENGLISH = "You have to water the plant when the soil is dry and keep it out of the sun."


@pytest.mark.parametrize(
    ("question", "content"),
    [
        ("Wie backe ich einen Apfelkuchen für acht Personen?", ENGLISH),
        ("¿Cómo puedo ahorrar electricidad en casa?", ENGLISH),
        ("Как ухаживать за фикусом?", ENGLISH),
        ("おすすめの朝ごはんを教えてください。", ENGLISH),
        ("What should I see in Rome in one day?", "罗马一日游可以先参观斗兽场和古罗马广场。"),
        ("How do I get rid of a stain on my shirt?", "Man kann das mit Salz versuchen und es dann mit Wasser waschen."),
    ],
)
def test_answers_in_another_language(question, content):
    assert fails(question, content)


@pytest.mark.parametrize(
    ("question", "content", "system"),
    [
        ("Wie sagt man das auf Englisch: Die Pflanze braucht Wasser?", ENGLISH, ""),
        ("Fasse den Text zusammen: You have to water the plant when the soil is dry.", ENGLISH, ""),
        ("Antworte dem Kunden in seiner Sprache.", ENGLISH, ""),
        ("Wie heißt der Autor von dem Buch?", "The Left Hand of Darkness", ""),
        ("Was macht diese Funktion in der Datei?", "```python\n# this is what it does for you\n```", ""),
        ("Und was ist mit der Pflanze im Bad?", ENGLISH, "Answer in English."),
        ("yaar mujhe batao kya karna hai", "आपको मिट्टी सूखने पर पानी देना चाहिए।", ""),
        ("function slide(a) { return a; } // das ist nur der Test", ENGLISH, ""),
    ],
)
def test_where_there_may_be_a_reason(question, content, system):
    assert not fails(question, content, system)
