"""The difference between two products, split among their factors. Pure, in Decimal.

Of many orders in which the factors could change from what they were to what they are, none is the right one: whoever
changes first gets the smaller part of what two changes bring together. So each factor gets what its change brings on
average over all orders: its Shapley value. The parts add up to the difference, a factor that did not change gets
nothing, and two factors that changed alike get the same.

For a product of factors that go from a to b, that value is the integral over t from 0 to 1 of (b - a) times the product
of all other factors at a + t (b - a). It is a polynomial in t, which the rule of Gauss and Legendre integrates without
an error: with two points up to the third degree, of four factors that changed, and with three up to the fifth, of six.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from math import prod
from typing import Final

EXACT: Final = Context(prec=50)
"""Wide enough that what is lost is far below what a sum of money is kept to."""
MOST_FACTORS: Final = 6


_MIDDLE: Final = Decimal("0.5")
_Points = tuple[tuple[Decimal, Decimal], ...]
"""Places in [0, 1] with their weights."""


def _two_points() -> _Points:
    with localcontext(EXACT):
        away = (Decimal(1) / 3).sqrt() / 2
        return ((_MIDDLE - away, _MIDDLE), (_MIDDLE + away, _MIDDLE))


def _three_points() -> _Points:
    with localcontext(EXACT):
        away = (Decimal(3) / 5).sqrt() / 2
        outer = Decimal(5) / 18
        return ((_MIDDLE - away, outer), (_MIDDLE, Decimal(4) / 9), (_MIDDLE + away, outer))


_FEW: Final = 4
_FOR_FEW: Final = _two_points()
_FOR_MOST: Final = _three_points()


def parts_of_change(before: Sequence[Decimal], after: Sequence[Decimal]) -> list[Decimal]:
    """Split the difference of the product of `after` and that of `before`, a part for each factor.

    Args:
        before: The factors as they were; six at most.
        after: The same ones as they are.

    Raises:
        ValueError: There are more than six, or not as many of each.
    """
    if len(before) > MOST_FACTORS:
        raise ValueError(f"at most {MOST_FACTORS} factors, not {len(before)}")
    with localcontext(EXACT):
        steps = [b - a for a, b in zip(before, after, strict=True)]
        parts = [Decimal(0)] * len(steps)
        changed = [place for place, step in enumerate(steps) if step]
        same = prod((before[place] for place, step in enumerate(steps) if not step), start=Decimal(1))
        if not changed or not same:
            return parts
        for t, weight in _FOR_FEW if len(changed) <= _FEW else _FOR_MOST:
            values = [before[place] + t * steps[place] for place in changed]
            for place, others in zip(changed, _products_of_others(values), strict=True):
                parts[place] += weight * others
        return [part * step * same for part, step in zip(parts, steps, strict=True)]


def _products_of_others(values: Sequence[Decimal]) -> list[Decimal]:
    """For each place the product of all values but that one, without dividing."""
    products, left = [], Decimal(1)
    for value in values:
        products.append(left)
        left *= value
    right = Decimal(1)
    for place in range(len(values) - 1, -1, -1):
        products[place] *= right
        right *= values[place]
    return products
