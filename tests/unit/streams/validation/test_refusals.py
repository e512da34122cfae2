"""Refusals and "I don't know": where they are the answer, and where they are not."""

import pytest
from support.asked import asked

from streams.validation.finished import Finished
from streams.validation.refusals import does_not_answer


def fails(content: str, question: str = "What is Kafka?", system: str = "") -> bool:
    return does_not_answer(Finished(asked(question, system=system), content, "stop"))


@pytest.mark.parametrize(
    "content",
    [
        "I'm sorry, but I don't have information about that.",
        "No idea.",
        "Unfortunately that lies outside of what I can help with. Please ask a specialist.",
        "Es tut mir leid, aber dabei kann ich Ihnen nicht weiterhelfen.",
        "Je ne suis malheureusement pas en mesure de répondre.",
        "Lo siento, no puedo ayudarte con eso.",
        "Mi dispiace, non sono in grado di rispondere.",
        "Desculpe, não posso ajudar com isso.",
        "Sorry, daar kan ik je niet mee helpen.",
        "Przykro mi, nie mogę odpowiedzieć na to pytanie.",
        "Üzgünüm, bu konuda yardımcı olamam.",
        "К сожалению, я не могу ответить на этот вопрос.",
        "На жаль, я не можу допомогти.",
        "抱歉，我无法回答这个问题。",
        "申し訳ありませんが、その質問にはお答えできません。",
        "죄송하지만 답변드릴 수 없습니다.",
        "عذراً، لا أستطيع الإجابة.",
        "क्षमा करें, मैं इस प्रश्न का उत्तर नहीं दे सकता।",
        "Bohužel nemám informace.",
        "Jag vet tyvärr inte.",
        "Maaf, saya tidak bisa membantu.",
        "Tôi không biết.",
    ],
)
def test_refusals(content):
    assert fails(content)


@pytest.mark.parametrize(
    ("content", "question", "system"),
    [
        ("I don't know when the train will come.", "Translate: Ich weiß nicht, wann der Zug kommt.", ""),
        ("Unfortunately, I don't know.", "Übersetze ins Englische: Ich weiß es leider nicht.", ""),
        ("„Ich weiß es nicht“ heißt das.", "How do you say that in German?", ""),
        ('"I don\'t know," he said.', "Write the first line of a crime novel.", ""),
        ("I don't know, the FAQ does not say.", "Do you ship to Peru?", "If it isn't there, say you don't know."),
        ("Hi, I can't help you move on Saturday, sorry!", "Draft a text to Ben: no time on Saturday.", ""),
        ("I'm afraid we have no pool, but our sauna is free.", "Do you have a pool?", ""),
        ("您好，我们无法提供延迟退房。", "星期天退房能晚一点吗", ""),
        ("The text doesn't say who decides.", "Who decides?", ""),
        ("Nobody can know that for certain; bookmakers favour Spain.", "Who will win?", ""),
    ],
)
def test_such_words_that_are_no_refusal(content, question, system):
    assert not fails(content, question, system)


def test_a_long_answer_has_to_say_so_twice():
    start, end = "I'm not sure this is what you mean. ", "A broker keeps records in topics. " * 8
    assert not fails(start + end)
    assert fails(start + end + "I don't know more about it.")


@pytest.mark.parametrize(
    "content",
    [
        "That's an excellent question, but it isn't one that I'm in a position to address.",
        "Diese Frage übersteigt leider meine Möglichkeiten.",
        "Il m'est malheureusement impossible de répondre à votre demande.",
        "Purtroppo questa richiesta va oltre le mie possibilità.",
        "Боюсь, этот вопрос выходит за рамки моих возможностей.",
        "很抱歉，这个问题超出了我的能力范围。",
    ],
)
def test_refusals_in_words_of_their_own(content):
    assert fails(content)


@pytest.mark.parametrize(
    "content",
    [
        "Unfortunately we can't change the address once the parcel has left, but the carrier can.",
        "Good question! It is not worth it, unfortunately.",
        "Eine Lieferung nach Peru ist leider nicht möglich.",
        "I regret that I am unable to attend tomorrow.",
        "죄송합니다. 요청하신 상품은 재고가 없습니다.",
    ],
)
def test_a_no_that_answers(content):
    assert not fails(content)
