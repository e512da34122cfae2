"""Figures as people read them: money, shares, times and counts with their units."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

NONE: Final = "–"
"""What stands where nothing is known."""
_ALL_BUT_SURE: Final = 0.9995
_THOUSAND: Final = 1000
_MILLION: Final = 1_000_000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_TEN_SECONDS_MS: Final = 10_000
_UNITS: Final[tuple[tuple[int, str, int, str], ...]] = (
    (_DAY_S, "d", _HOUR_S, "h"),
    (_HOUR_S, "h", _MINUTE_S, "min"),
    (_MINUTE_S, "min", 1, "s"),
)
"""Size in seconds and name of a unit, and of the one that the rest is given in."""

Figure = float | int | Decimal | None


def money(value: Figure) -> str:
    """Write US dollars: cents, and where it is less than a dollar as many digits as say something."""
    if value is None:
        return NONE
    sign, size = ("−" if value < 0 else ""), abs(float(value))
    if size >= 10 * _THOUSAND:
        return f"{sign}${size:,.0f}"
    if size >= 1 or size == 0:
        return f"{sign}${size:,.2f}"
    digits = 4 if size >= 0.001 else 6  # noqa: PLR2004 - where four digits say something
    return f"{sign}${size:.{digits}f}" if size >= 0.000001 else f"{'>' if sign else '<'}{sign}$0.000001"  # noqa: PLR2004 - the last digit shown


def share(value: Figure) -> str:
    """Write a share of 1 in percent."""
    if value is None:
        return NONE
    percent = float(value) * 100
    return f"{percent:.0f} %" if percent in {0, 100} or abs(percent) >= _THOUSAND else f"{percent:.1f} %"


def confidence(value: float) -> str:
    """Write how sure something is, in percent; a rounded 100 % would be more than is known."""
    return share(value) if value < _ALL_BUT_SURE else "more than 99.9 %"


def span(ms: Figure) -> str:
    """Write a span of time that is given in milliseconds."""
    if ms is None:
        return NONE
    value = float(ms)
    if value < 10:  # noqa: PLR2004 - a digit more below
        return f"{value:.1f} ms"
    if value < _THOUSAND:
        return f"{value:.0f} ms"
    seconds = value / _THOUSAND
    if seconds < _MINUTE_S:
        return f"{seconds:.2f} s" if value < _TEN_SECONDS_MS else f"{seconds:.1f} s"
    return _long(seconds)


def count(value: Figure) -> str:
    """Write a number of things."""
    if value is None:
        return NONE
    number = float(value)
    if abs(number) >= _MILLION:
        return f"{number / _MILLION:,.2f} M"
    return f"{number:,.0f}" if number.is_integer() else f"{number:,.2f}"


def moment(at: datetime | None) -> str:
    """Write a moment, to the second, in UTC."""
    return NONE if at is None else f"{at.astimezone(UTC):%-d %b %Y %H:%M:%S} UTC"


def ago(at: datetime | None, now: datetime) -> str:
    """Say how long ago a moment was."""
    if at is None:
        return NONE
    seconds = max(0.0, (now - at).total_seconds())
    return f"{seconds:.0f} s ago" if seconds < _MINUTE_S else f"{_long(seconds)} ago"


def change(now: Figure, before: Figure) -> str | None:
    """Say by how much a figure differs from what it was; None where there is nothing to compare with."""
    if not before or now is None:
        return None
    ratio = float(now) / float(before) - 1
    sign = "+" if ratio >= 0 else "−"
    return f"{sign}{abs(ratio) * 100:,.0f} %" if abs(ratio) < 100 else f"×{ratio + 1:,.0f}"  # noqa: PLR2004 - unreadable


def _long(seconds: float) -> str:
    whole = round(seconds)
    for size, unit, smaller, name in _UNITS:
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {name}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
