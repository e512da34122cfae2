"""Answers about a given text that name clauses, records, people, dates or figures which it does not hold.

Only what can be told without understanding: the request holds a text, the answer is not asked to add to it, and what it
states is neither there nor a result of what is there.
"""

import re
from typing import Final

from streams.validation.finished import Finished
from streams.validation.function_words import LANGUAGES_OF
from streams.validation.given_figures import gives_other_dates, gives_other_figures
from streams.validation.given_numbers import Given
from streams.validation.given_scope import instruction_of, is_about_text, is_stated
from streams.validation.named_in_text import clauses, names_of, numbered, people, records
from streams.validation.quantities import dates

_MOST_GIVEN: Final = 20_000
"""A longer request is left alone: of a text that is read in part nobody can say what it lacks."""
_MOST_CHARACTERS: Final = 3_000
"""Of the start of the answer."""
_SHORTEST_TEXT: Final = 45
_WINDOW: Final = 60
"""Characters around a number in which it may be said not to be there."""

_MARK_OF_DATA: Final = re.compile(r"[{}\[\]<>=|\\;_\t]|\w\(|/\w|\w[.:]\w")
_CHARACTERS_A_MARK: Final = 100
"""Of text in which there may be an address or a time."""

_LAW: Final = re.compile(
    r"[^\n.]{0,40}?(?:\b[A-Z]{2,}\b|\bActs?\b|\bCode\b|\bLaw\b|\w*[gG]esetz\w*|Directive|Regulation|Constitution"
    r"|Convention|Charter|Treaty|Richtlinie|Verordnung|\bloi\b|Ley\b|Código|Legge|Codice|\bLei\b"
    r"|\b[a-z]\.\s?[a-z]\.|закон|кодекс|ГК|ТК|法|법|قانون)"
)
_ATTRIBUTED: Final = (
    "according to", "states that", "state that", "says that", "under the", "memo says", "report says", "contract says",
    "memo names", "report names", "contract names", "memo states", "report states", "contract states", "notes that",
    "mentions", "selon ", "d'après", "d’après", "précise que", "según ", "indica que", "secondo ", "segundo ",
    "volgens ",
)  # fmt: skip
_NEGATION: Final = re.compile(
    r"\b(?:no|not|n['’]t|isn['’]t|doesn['’]t|kein\w*|nicht|pas|aucune?|ninguna?|non|нет|не|nie|geen|niet|não|yok"
    r"|other|like|such)\b|没有|不|ありません|ない|없|لا|नहीं",
    re.IGNORECASE,
)


def says_what_the_text_does_not(answer: Finished) -> bool:
    """Whether the answer states as the text's what does not stand there."""
    if not answer.is_prose or not answer.is_of_text_alone:
        return False
    given = "\n".join(text for message in answer.request.messages for text in message.texts())
    results = [message.text for message in answer.request.messages if message.role == "tool"]
    if not _SHORTEST_TEXT <= len(given) <= _MOST_GIVEN or not all(map(_is_told, results)):
        return False
    said, question = answer.text[:_MOST_CHARACTERS], answer.request.question
    # What a request is about takes longer to tell than whether there is something to hold against it.
    has_more = bool(answer.instructions) or bool(results)
    return _states_something_else(said, Given(given), question) and is_about_text(question, has_more=has_more)


def _is_told(result: str) -> bool:
    """Whether the result of a tool is told in sentences: of data and code an answer says what follows from them."""
    head = result[:_MOST_CHARACTERS]
    return len(_MARK_OF_DATA.findall(head)) * _CHARACTERS_A_MARK <= len(head)


def _states_something_else(said: str, text: Given, question: str) -> bool:
    asked = instruction_of(question)
    return (
        _cites_other_clauses(said, text)
        or _names_other_records(said, text)
        or _names_other_people(said, text)
        or _counts_otherwise(said, text)
        or gives_other_dates(said, text, asked)
        or gives_other_figures(said, text, asked)
    )


def _cites_other_clauses(said: str, given: Given) -> bool:
    for number, start, end, is_own in clauses(said):
        line = said[said.rfind("\n", 0, start) + 1 : start]
        denied = _NEGATION.search(line[-_WINDOW:]) or _NEGATION.search(said, end, end + _WINDOW)
        if denied or _LAW.match(said, end):
            continue
        known = given.parts
        if number in known or any(number.startswith(f"{one}.") or one.startswith(f"{number}.") for one in known):
            continue
        # A text without numbers of its own may be about a law that has them.
        if known or is_own:
            return True
    return False


def _names_other_records(said: str, given: Given) -> bool:
    for record, at in records(said):
        plain = re.sub(r"[^0-9a-z]", "", record.casefold())
        if plain not in given.records and not _NEGATION.search(said, max(0, at - _WINDOW), at):
            return True
    return False


def _names_other_people(said: str, given: Given) -> bool:
    if any(not given.has(name) for name in people(said)):
        return True
    if not _is_attributed(said):
        return False
    attributed = (sentence for sentence in re.split(r"[.!?]\s|\n", said) if _is_attributed(sentence))
    names = (name for sentence in attributed for name in names_of(sentence))
    return any(not given.has(first) and not given.has(last) for first, last in names)


def _is_attributed(text: str) -> bool:
    lowered = text.lower()
    return any(words in lowered for words in _ATTRIBUTED)


def _counts_otherwise(said: str, given: Given) -> bool:
    """Whether a word has another number after it than in the text, where it always has the same."""
    counted = [(word, number) for word, number in numbered(said) if word not in LANGUAGES_OF]
    if not counted:
        return False
    known: dict[str, set[str]] = {}
    for word, number in numbered(given.text):
        known.setdefault(word, set()).add(number)
    return any(
        len(known.get(word, ())) == 1
        and float(number) not in given.values
        and not dates(f"{word} {number[:2]}")
        and is_stated(said, said.find(number))
        for word, number in counted
    )
