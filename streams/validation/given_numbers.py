"""What a request holds that an answer can be held against, and what follows from its numbers."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import combinations
from typing import Final

from streams.validation.named_in_text import clause_numbers, part_places
from streams.validation.numbers import NUMBER
from streams.validation.quantities import Quantity, dates, days_alone, quantities

_MOST_SUMMANDS: Final = 8
_LARGE: Final = 1000
# By how much a result may be off: one with decimals, a large one without, a small one, a share.
_CENT: Final = 0.011
_ROUNDED: Final = 0.51
_EXACT: Final = 0.05
_PERCENT: Final = 0.0051
_SAME: Final = 0.02
_CONSTANTS: Final = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0, 24.0, 30.0, 52.0, 60.0, 100.0, 365.0, 1000.0, 1e6)
"""What numbers are multiplied with although no text says so: months of a year, minutes of an hour."""


class Given:
    """What a request holds, read when it is needed."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def lowered(self) -> str:
        """The text, to look for names in."""
        return self.text.casefold()

    def has(self, name: str) -> bool:
        """Whether a name stands there, in any form of it."""
        return name.casefold()[:4] in self.lowered

    @cached_property
    def parts(self) -> set[str]:
        """The numbers of its clauses."""
        return clause_numbers(self.text)

    @cached_property
    def quantities(self) -> list[Quantity]:
        """Its numbers with their units."""
        return quantities(self.text)

    @cached_property
    def literals(self) -> set[str]:
        """Numbers as they are written."""
        return {*NUMBER.findall(self.text)}

    @cached_property
    def values(self) -> set[float]:
        """All that its numbers can mean."""
        return {value for quantity in self.quantities for value in quantity.values}

    @cached_property
    def _sums(self) -> list[float]:
        """Of some of the amounts, a few at most."""
        money = sorted({q.values[0] for q in self.quantities if q.unit == "money"})[:_MOST_SUMMANDS]
        return sorted({sum(chosen) for n in range(2, len(money) + 1) for chosen in combinations(money, n)})

    @cached_property
    def _own(self) -> list[float]:
        """What is counted or measured: with the numbers of clauses too, nearly everything would be a result."""
        parts = part_places(self.text)
        return sorted({value for q in self.quantities if q.start not in parts for value in q.values} - {0.0})

    @cached_property
    def _factors(self) -> list[float]:
        return sorted({*self._own, *_CONSTANTS})

    @cached_property
    def _percents(self) -> list[float]:
        return sorted({value for q in self.quantities if q.unit == "%" for value in q.values})

    def makes(self, values: Iterable[float], unit: str) -> bool:
        """Whether one step of arithmetic makes one of the values from numbers of the text, or a sum of its amounts."""
        return any(self._makes(value, unit) for value in values if value)

    def _makes(self, value: float, unit: str) -> bool:
        slack = _CENT if value != int(value) else _ROUNDED if value >= _LARGE else _EXACT
        return _has(self._sums, value, slack) or any(self._makes_of(a, value, unit, slack) for a in self._own)

    def _makes_of(self, a: float, value: float, unit: str, slack: float) -> bool:
        """Whether a number makes the value with another one."""
        part, within = value / a, slack / a
        return (
            _has(self._own, value - a, slack)
            or _has(self._own, value + a, slack)
            or _has(self._factors, part, within)
            or _has(self._factors, a / value, within / part**2)
            or _has(self._factors, value * a, slack * a)
            # A percentage of it, or it with the percentage added or taken off.
            or any(_has(self._percents, 100 * share, 100 * within) for share in (part, abs(part - 1)))
            # Which percentage of it another number is, or by which it is more or less.
            or (
                unit == "%"
                and any(
                    _has(self._own, a * abs(share), _PERCENT * a)
                    for share in _shares(value)
                    if abs(share) > _SAME and abs(share - 1) > _SAME
                )
            )
        )

    @cached_property
    def dates(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Its days of the year: (month, day), and where they stand."""
        return dates(self.text)

    @cached_property
    def days_alone(self) -> set[int]:
        """Its days without a month."""
        return days_alone(self.text)

    @cached_property
    def records(self) -> str:
        """Its letters and digits alone, to look for numbers of records in."""
        return re.sub(r"[^0-9a-z]", "", self.lowered)


def _shares(percent: float) -> tuple[float, float, float]:
    return percent / 100, 1 - percent / 100, 1 + percent / 100


def _has(numbers: Sequence[float], value: float, slack: float) -> bool:
    at = bisect_left(numbers, value - slack)
    return at < len(numbers) and numbers[at] <= value + slack
