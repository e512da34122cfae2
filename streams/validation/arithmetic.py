"""Sums that are written out and wrong."""

import re
from itertools import islice
from typing import Final

from streams.validation.finished import Finished
from streams.validation.numbers import NUMBER, decimals, readings

_MOST_CHARACTERS: Final = 6_000
_MOST_EQUATIONS: Final = 40
_ROUNDED: Final = 0.002
"""By which share a product may be off for the rounding of its parts."""

_LONGEST_ROW: Final = 120
_LONGEST_NUMBER: Final = 24
_RULE: Final = re.compile(r"\A[\s|:=+_-]*\Z")
_LESS: Final = re.compile(
    r"[−%]|discount|less|minus|refund|credit|rabatt|abzüg|remise|descuento|sconto|скидк|average|mean\b"
    r"|\btax(?:es)?\b|\bvat\b|mwst|tva\b|iva\b|\bper\b|\brate\b",
    re.IGNORECASE,
)

_MONEY: Final = r"(?:[$€£¥₹₽]|EUR|USD|GBP|CHF)?\ ?"
_UNIT: Final = r"(?:\ ?(?:[$€£¥₹₽元円원]|EUR|USD|GBP|CHF|zł|Kč|kr|TL|Euros?|euros?|dollars?|рублей|руб\.?))?"
_VALUE: Final = rf"{_MONEY}{NUMBER.pattern}{_UNIT}"
_EQUATION: Final = re.compile(
    rf"(?P<left>(?<!\d){_VALUE}(?:\ ?[-+−–×*÷/·]\ ?{_VALUE}){{1,12}})\ ?=\ ?(?P<right>{_VALUE})", re.VERBOSE
)
_RESULT: Final = re.compile(r"=\s?[^\w\s=]{0,2}(?:EUR|USD|GBP|CHF)?\s?\d")
_PART: Final = re.compile(rf"(?P<operator>[-+−–×*÷/·])|(?P<number>{NUMBER.pattern})")
_STARTS_INSIDE: Final = re.compile(r"(?:[\w.,:^)\]}/%²³√…=≈<>!]|[-+−–×*÷·±]\s?|[-+−–×*÷/·(]\s)\Z")
_GOES_ON: Final = re.compile(r"\s?(?:[-+−–×*÷/·±^²³!(]|[a-zA-Z]\b|%|:\d|r\d|[Rr]est|rem|mod|余|…|\.\.)")
_OTHER_RULES: Final = re.compile(
    r"\bmod\b|modul|binary|binär|hexad|\bbase\b|boolean|wrong|incorrect|mistake|joke|falsch|not correct|≠|float"
    r"|puzzle|riddle|common error",
    re.IGNORECASE,
)


_LETTER: Final = re.compile(r"[^\W\d_]")
_BARE: Final = re.compile(r"^(?:grand|[\W_])*")
_TOTALS: Final = (
    "total", "sum", "gesamt", "somme", "razem", "toplam", "итого", "всего", "合计", "合計", "总计",
    "합계", "المجموع", "कुल",
)  # fmt: skip
_LONGEST_END: Final = 20
"""Characters of a row after its number."""


def miscalculates(answer: Finished) -> bool:
    """Whether an equation of plain numbers does not hold, read in any country's way."""
    if not answer.is_prose:
        return False
    text = answer.prose[:_MOST_CHARACTERS]
    lowered = text.lower()
    wrong = any(word in lowered for word in _TOTALS) and _adds_up_wrong(text)
    wrong = wrong or any(_is_wrong(text, found) for found in islice(_RESULT.finditer(text), _MOST_EQUATIONS))
    if not wrong:
        return False
    return not _OTHER_RULES.search(text) and not _OTHER_RULES.search(answer.request.question[:_MOST_CHARACTERS])


def _adds_up_wrong(text: str) -> bool:
    """Whether a list or a table of single amounts ends with a total that is not their sum."""
    amounts: list[tuple[float, ...]] = []
    for line in text.split("\n"):
        row = [*NUMBER.finditer(line[:_LONGEST_ROW])]
        label = line[: row[0].start()] if row else ""
        if len(row) != 1 or len(line) > row[0].end() + _LONGEST_END or not _LETTER.search(label):
            amounts = amounts if _RULE.match(line) else []
            continue
        values = readings(row[0][0])
        if _BARE.sub("", label.lower()).startswith(_TOTALS):
            return len(amounts) > 1 and not _is_sum(amounts, values)
        if "-" in label.strip(" -*|") or _LESS.search(label):
            return False
        amounts.append(values)
    return False


def _is_sum(amounts: list[tuple[float, ...]], totals: tuple[float, ...]) -> bool:
    return all(amounts) and any(
        abs(sum(one[which] for one in amounts) - total) < 1 for which in (0, -1) for total in totals
    )


def _is_wrong(text: str, result: re.Match[str]) -> bool:
    line = text.rfind("\n", 0, result.start()) + 1
    found = _EQUATION.search(text, max(line, result.start() - _LONGEST_ROW), result.end() + _LONGEST_NUMBER)
    if found is None:
        return False
    start, end = found.span()
    if _STARTS_INSIDE.search(text[max(0, start - 3) : start]) or _GOES_ON.match(text, end):
        return False
    right = NUMBER.search(found["right"])
    if right is None:
        return False
    results = readings(right[0])
    operators = [part[0] for part in _PART.finditer(found["left"]) if part["operator"]]
    numbers = [readings(part[0]) for part in _PART.finditer(found["left"]) if part["number"]]
    if not results or not all(numbers) or len(operators) != len(numbers) - 1:
        return False
    # What is rounded may be off by one in its last place, and what is taken from rounded parts by a little more.
    scales = bool(set(operators) & set("÷/×*·"))
    place = 10.0 ** -decimals(right[0])
    slack = 1.01 * place if scales else 0.51 * place
    for which in (0, -1):
        value = _computed([number[which] for number in numbers], operators)
        if value is None or any(
            abs(value - result) <= max(slack, _ROUNDED * scales * abs(value)) for result in results
        ):
            return False
    return True


def _computed(numbers: list[float], operators: list[str]) -> float | None:
    """Compute from left to right, products first; None for a division by zero."""
    total, sign, product = 0.0, 1.0, numbers[0]
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator in "×*·":
            product *= number
        elif operator in "÷/":
            if number == 0:
                return None
            product /= number
        else:
            total, sign, product = total + sign * product, -1.0 if operator in "-−–" else 1.0, number
    return total + sign * product
