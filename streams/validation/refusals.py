"""Answers that are none: refusals, and "I don't know" in the languages that requests come in."""

import re
from typing import Final

from streams.validation.finished import Finished
from streams.validation.refusal_fields import has_refusing_fields
from streams.validation.refusal_phrases import find_refusal

_MOST_CHARACTERS: Final = 600
"""A long text that admits a limit in passing is no refusal."""
_START_CHARACTERS: Final = 130
"""What an answer has to say by then, if it is to be taken for all that it says."""
_SHORT_CHARACTERS: Final = 260
"""Up to here one sentence of this kind is the answer; a longer one needs two of them."""

_ASKED_FOR: Final = re.compile(
    r"(?:don['’]t|do not|doesn['’]t|does not) know|not sure|unsure|can['’]t (?:answer|help)"
    r"|cannot (?:answer|help)"
    r"|(?:polite\w*|how to|want to|to) (?:declin|refus)|absage|ablehn|nicht wei(?:ß|ss)|wei(?:ß|ss)t du"
    r"|keine ahnung|sai[st] pas|no (?:lo )?sab|no sé\b"
    r"|non (?:lo )?sa\b"
    r"|não sa(?:be|iba)|weet (?:je|het) niet|nie wie|bilmiyor|не зна|не хват|不知道|不清楚|わからな|分からな"
    r"|知らな|모르|모른",
    re.IGNORECASE,
)
_MOST_ASKED: Final = 4_000
"""Of the instructions and of the question each, in which such words may stand."""
# What an answer has that is one.
_SUBSTANCE: Final = re.compile(r"\d|```|\n[-*•|]|\n\n")
_GREETING: Final = 40
# A hedge that the text itself makes, for somebody else, or that goes on to answer.
_QUOTED: Final = re.compile(
    r"[\"“”«»„「『‘]|^\W*[-*•>#|]|\A\W*(?:subject|betreff|objet|asunto|oggetto|dear|hi|hello|hallo|liebe|sehr"
    r"|hola|bonjour|estimad|ciao|gentile|olá|prezad|beste|geachte|szanown|merhaba|sayın|уважаем)\b",
    re.IGNORECASE | re.MULTILINE,
)
_SENTENCE_END: Final = re.compile(r"[.!?…][\"'”’»)]*\s+|[。！？।؟]\s*|\n+")


def does_not_answer(answer: Finished) -> bool:
    """Whether a short answer says of itself that it is none."""
    text = answer.text
    # JSON that was asked for may well hold such words, and of what was cut off as asked the rest is not known. Behind
    # the results of tools it may be these that found or could do nothing.
    if not answer.is_prose or answer.is_of_tools or len(text) > _MOST_CHARACTERS:
        return False
    if not (_refuses(text) or _circumscribes(text)):
        return False
    # Whoever translates, quotes or explains such words has them in the request, and so has who asks for them.
    question, system = answer.request.question, answer.instructions
    given = "\n".join((system[:_MOST_ASKED], question[:_MOST_ASKED], question[_MOST_ASKED:][-_MOST_ASKED:]))
    return _ASKED_FOR.search(given) is None and find_refusal(given.lower()) is None


def _refuses(text: str) -> bool:
    """Whether a text refuses in words that refusals are known by."""
    lowered = text.lower()
    first = find_refusal(lowered[:_START_CHARACTERS])
    if first is None or _QUOTED.search(text[: first[1]]):
        return False
    return len(text) <= _SHORT_CHARACTERS or _is_repeated(lowered, first[1])


def _circumscribes(text: str) -> bool:
    """Whether a text refuses in words of its own: short, in one piece, and of nothing but why there is no answer."""
    if len(text) > _SHORT_CHARACTERS or _SUBSTANCE.search(text) or _QUOTED.search(text[:_START_CHARACTERS]):
        return False
    first, *others = _SENTENCE_END.split(text.lower(), maxsplit=2)
    # "Thank you for your question!" may come before it.
    return has_refusing_fields(first) or (bool(others) and len(first) < _GREETING and has_refusing_fields(others[0]))


def _is_repeated(text: str, at: int) -> bool:
    """Whether another sentence says so too."""
    end = _SENTENCE_END.search(text, at)
    return end is not None and find_refusal(text[end.end() :]) is not None
