"""Reading a language model's votes: what is not exactly the answer that was asked for says nothing."""

import json
import math
from typing import Any, Final, NoReturn

from streams.validation.json_schema import unfenced

_WHOLE: Final = 100.0
_SLACK: Final = 5.0
"""Percent that the probabilities of a request may add up to more or less than the whole."""


def read_answer(content: str, n: int, tiers: int) -> list[tuple[float, ...] | None]:
    """Read the answer to `n` questions.

    An entry that is missing, or that is not a percentage for each tier that add up to 100 but for rounding, counts as
    no vote. So do all of them where the answer as a whole is not what was asked for: no JSON object, an id twice or
    one that was never given, as that leaves open which entry belongs to which request.

    Returns:
        For each question its probabilities by tier, which add up to 1, or None.
    """
    entries = _entries(content)
    ids = [str(number) for number in range(1, n + 1)]
    if not entries.keys() <= set(ids):
        return [None] * n
    return [_probabilities(entries.get(number), tiers) for number in ids]


def _entries(content: str) -> dict[str, Any]:
    try:
        found = json.loads(
            unfenced(content), object_pairs_hook=_without_doubles, parse_constant=_refused, parse_float=_finite
        )
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _refused(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError("a number too large")
    return value


def _probabilities(entry: object, tiers: int) -> tuple[float, ...] | None:
    if not isinstance(entry, list) or len(entry) != tiers or not all(map(_is_percentage, entry)):
        return None
    total = sum(entry)
    return tuple(value / total for value in entry) if abs(total - _WHOLE) <= _SLACK else None


def _is_percentage(value: object) -> bool:
    # In Python true is a number; in JSON it is none.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _WHOLE
