"""Numbers as people write them: which values a text can mean by one."""

import re
from typing import Final

# It starts with a digit and nothing before it, which is what makes the search for it fast.
NUMBER: Final = re.compile(r"\d(?:\d{0,2}(?:[.,'’\u00a0\u202f ]\d{3})++(?!\d)|\d*+)(?:[.,]\d++)?")
"""With separators for thousands and decimals of any country."""

_BLANKS: Final = str.maketrans("", "", "'’\u00a0\u202f ")
_SEPARATORS: Final = str.maketrans("", "", ".,")
_MOST_DIGITS: Final = 18


def readings(text: str) -> tuple[float, ...]:
    """Return what a number can mean: 1.234 is more than a thousand in one country, and less than two in another.

    Args:
        text: What `NUMBER` has found.
    """
    plain = text.translate(_BLANKS)
    if len(plain) > _MOST_DIGITS:
        return ()
    if plain.isdecimal():
        return (float(plain),)
    points, commas = plain.count("."), plain.count(",")
    if points and commas:
        decimal = max(plain.rfind("."), plain.rfind(","))
        whole = plain[:decimal].translate(_SEPARATORS)
        return (float(f"{whole}.{plain[decimal + 1 :]}"),)
    joined = float(plain.translate(_SEPARATORS))
    if points + commas > 1:
        return (joined,)
    split = float(plain.replace(",", "."))
    return (joined, split) if len(plain) - max(plain.rfind("."), plain.rfind(",")) == 4 else (split,)  # noqa: PLR2004


def decimals(text: str) -> int:
    """Return to how many places a number is written at least."""
    found = re.search(r"[.,](\d+)\Z", text)
    return len(found[1]) if found is not None and len(found[1]) != 3 else 0  # noqa: PLR2004
