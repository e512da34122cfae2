"""The difference between two products, split among their factors. Pure, in Decimal.

Of many orders in which the factors could change from what they were to what they are, none is the right one: whoever
changes first gets the smaller part of what two changes bring together. So each factor gets what its change brings on
average over all orders: its Shapley value. The parts add up to the difference, a factor that did not change gets
nothing, and two factors that changed alike get the same.

For a product of factors that go from a to b, that value is the integral over t from 0 to 1 of (b - a) times the product
of all other factors at a + t (b - a). It is a polynomial in t, which the rule of Gauss and Legendre with three points
integrates without an error up to the fifth degree: of six factors.
"""

from collections.abc import Sequence
from decimal import Context, Decimal, localcontext
from math import prod
from typing import Final

EXACT: Final = Context(prec=50)
"""Wide enough that what is lost is far below what a sum of money is kept to."""
MOST_FACTORS: Final = 6


def _points() -> tuple[tuple[Decimal, Decimal], ...]:
    with localcontext(EXACT):
        away = (Decimal(3) / 5).sqrt() / 2
        middle = Decimal("0.5")
        outer = Decimal(5) / 18
        return ((middle - away, outer), (middle, Decimal(4) / 9), (middle + away, outer))


_POINTS: Final = _points()


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
        for t, weight in _POINTS:
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
