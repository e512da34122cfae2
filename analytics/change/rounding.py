"""Parts of a sum, rounded so that they still add up to it. Pure."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final, TypeVar

from analytics.change.shapley import EXACT

CENT: Final = Decimal("0.01")

_Name = TypeVar("_Name")


def rounded_to(parts: Mapping[_Name, Decimal], total: Decimal, step: Decimal) -> dict[_Name, Decimal]:
    """Round each part to multiples of a step; what that leaves over of the total goes to the largest part.

    Args:
        parts: At least one.
        total: What the rounded parts add up to; a multiple of the step.
        step: Such as a cent.
    """
    rounded = {
        name: part.quantize(step, ROUND_HALF_EVEN, EXACT) if part else Decimal(0) for name, part in parts.items()
    }
    largest = max(rounded, key=lambda name: abs(rounded[name]))
    rounded[largest] += total - sum(rounded.values(), start=Decimal(0))
    return rounded


def to_step(amount: Decimal, step: Decimal) -> Decimal:
    """Round an amount to a multiple of a step, halves to the even one."""
    return amount.quantize(step, ROUND_HALF_EVEN, EXACT)
