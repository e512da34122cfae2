"""Money as whole numbers: sums of millions of them are exact, and cost next to nothing."""

from decimal import Decimal
from typing import Final

_PLACES: Final = 12
"""Decimals of `Money`."""


def pico_of(usd: Decimal) -> int:
    """Return US dollars as millionths of a millionth of one."""
    return int(usd.scaleb(_PLACES))


def usd_of(pico: int) -> Decimal:
    """Return millionths of a millionth of a US dollar as US dollars."""
    return Decimal(pico).scaleb(-_PLACES)


def plain(usd: Decimal) -> str:
    """Write an amount with the decimals that it has, two at least."""
    whole, _, cents = f"{usd:.12f}".rstrip("0").partition(".")
    return f"{whole}.{cents.ljust(2, '0')}"


def in_words(usd: Decimal) -> str:
    """Write an amount for people."""
    return f"${plain(usd)}"
