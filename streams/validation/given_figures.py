"""Dates and figures of an answer that neither stand in the text of the request nor follow from it."""

import re
from datetime import date
from typing import Final

from streams.validation.given_numbers import Given
from streams.validation.given_scope import is_stated
from streams.validation.numbers import readings
from streams.validation.quantities import Quantity, dates, quantities

_MOST_NUMBERS: Final = 40
"""With more, nearly everything is a result of some of them."""
_MISREAD_DIGITS: Final = 3
_LEAST_FIGURE: Final = 5
_WINDOW: Final = 60
"""Characters around a number that say what it is about."""
_SHORT_ANSWER: Final = 200
_DAYS: Final = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}
_SLACK: Final = {"day": 1.5, "week": 1.5, "month": 3.0, "year": 3.0}
"""Days by which a computed date may be off: whoever counts the first day as well is no liar."""
_BEFORE_MONTH: Final = {month: date(2025, month, 1).timetuple().tm_yday - 1 for month in range(1, 13)}
_YEAR_DAYS: Final = 365.25
_ASKS_WHEN: Final = re.compile(
    r"\b(?:when|date|deadline|until|latest|how long|wann|frist|datum|quand|délai|cuándo|fecha|quando|data"
    r"|wanneer|kiedy|ne zaman|когда|срок)\b|什么时候|何时|いつ|何日|언제|متى|कब",
    re.IGNORECASE,
)
# Starts of words that stand around numbers of any kind.
_COMMON: Final = frozenset(
    (
        "with", "from", "that", "this", "will", "must", "have", "been", "they", "thei", "your", "afte", "days", "mont",
        "year", "week", "hour", "minu", "euro", "tage", "woch", "jahr", "stun", "mona", "nach", "oder", "wird", "eine",
        "jour", "mois", "sema", "dans", "pour", "avec", "días", "para", "desd", "hast", "entr", "mese", "anni", "gior",
        "sett", "dell", "dopo", "dias",
    )
)  # fmt: skip
_TOKEN: Final = re.compile(r"[^\W\d_]{4,}|\d[\d.,]*\d|\d")


def gives_other_dates(said: str, given: Given, asked: str) -> bool:
    """Whether the answer has a day of the year that the text has not, nor one that a span of the text leads to.

    Args:
        said: The answer.
        given: The text.
        asked: What is to be done with it.
    """
    new = {day: start for day, (start, end) in dates(said).items() if said[start:end] not in given.text}
    if not new or not given.dates:
        return False
    spans = [(value * _DAYS[q.unit], _SLACK[q.unit]) for q in given.quantities if q.unit in _DAYS for value in q.values]
    if spans and _ASKS_WHEN.search(asked):
        return False
    return any(
        day not in given.dates
        and not (day[1] in given.days_alone and any(day[0] == month for month, _ in given.dates))
        and is_stated(said, at)
        and not _is_reached(day, given, spans)
        for day, at in new.items()
    )


def _is_reached(day: tuple[int, int], given: Given, spans: list[tuple[float, float]]) -> bool:
    """Whether a span lies between the day and one of the text."""
    apart = [abs(_day_of_year(day) - _day_of_year(other)) for other in given.dates]
    distances = [near for days in apart for near in (days, _YEAR_DAYS - days)]
    return any(abs(distance - span % _YEAR_DAYS) < slack for distance in distances for span, slack in spans)


def _day_of_year(day: tuple[int, int]) -> int:
    """Return the day in a year that is no leap year; days that are none go on counting."""
    month, number = day
    return _BEFORE_MONTH[month] + number if month in _BEFORE_MONTH else 31 * month + number


def gives_other_figures(said: str, given: Given, asked: str) -> bool:
    """Whether the answer has an amount, a percentage or a span that the text has not and that does not follow from it.

    Args:
        said: The answer.
        given: The text.
        asked: What is to be done with it.
    """
    found = quantities(said)
    if all(said[q.start : q.end] in given.literals for q in found) or len(given.values) > _MOST_NUMBERS:
        return False
    answered = {value for quantity in found for value in quantity.values}
    context = {word[:4] for word in _TOKEN.findall(asked.casefold())} if len(said) < _SHORT_ANSWER else set()
    return any(
        _is_other(quantity, said, given, answered, context) and is_stated(said, quantity.start)
        for quantity in found[:_MOST_NUMBERS]
    )


def _is_other(quantity: Quantity, said: str, given: Given, answered: set[float], context: set[str]) -> bool:
    is_new = not any(value in given.values for value in quantity.values)
    if quantity.unit in _DAYS and _contradicts(quantity, said, given, answered, context):
        return True
    if is_new and _is_misread(said[quantity.start : quantity.end], given, answered):
        return True
    if not is_new or not quantity.unit or given.makes(quantity.values, quantity.unit):
        return False
    is_figure = quantity.unit in {"money", "%"} and max(quantity.values) >= _LEAST_FIGURE and len(given.values) > 1
    return is_figure or _contradicts(quantity, said, given, answered, context)


def _is_misread(number: str, given: Given, answered: set[float]) -> bool:
    """Whether a number has the digits of one of the text in another order, and the text's is not in the answer."""
    digits = sorted(filter(str.isdecimal, number))
    if len(digits) < _MISREAD_DIGITS:
        return False
    own = {literal for literal in given.literals if sorted(filter(str.isdecimal, literal)) == digits}
    values = {value for literal in own for value in readings(literal)}
    return bool(own) and not values & {*readings(number)} and not values & answered


def _contradicts(quantity: Quantity, said: str, given: Given, answered: set[float], context: set[str]) -> bool:
    """Whether the text has another number where this one stands: with the same unit and among the same words."""
    if not quantity.unit:
        return False
    alike = [q for q in given.quantities if q.unit == quantity.unit]
    values = {value for q in alike for value in q.values}
    if not alike or values & answered or values & set(quantity.values):
        return False
    sums = {a + b for a in values for b in values} | {abs(a - b) for a in values for b in values}
    if any(value in sums for value in quantity.values):
        return False
    own = (_words_around(said, quantity) | context) - _COMMON
    needed = 1 if len(said) < _SHORT_ANSWER and len(alike) == 1 else 2
    return any(len(own & _words_around(given.text, q)) >= needed for q in alike)


def _words_around(text: str, quantity: Quantity) -> set[str]:
    start = max(text.rfind("\n", 0, quantity.start), text.rfind(". ", 0, quantity.start), quantity.start - _WINDOW)
    end = quantity.end + _WINDOW
    for mark in ("\n", ". "):
        at = text.find(mark, quantity.end, end)
        end = end if at < 0 else at
    around = f"{text[max(0, start) : quantity.start]} {text[quantity.end : end]}"
    return {word[:4] for word in _TOKEN.findall(around.casefold())} - _COMMON
