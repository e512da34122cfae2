"""Moments as queries bind them: as text in UTC, for the client would write a datetime without its fractions."""

from datetime import UTC, datetime


def second_of(at: datetime) -> str:
    """Write a moment for a parameter of type DateTime('UTC'), rounded down to the second.

    Raises:
        ValueError: It has no zone.
    """
    return f"{_in_utc(at):%Y-%m-%d %H:%M:%S}"


def microsecond_of(at: datetime) -> str:
    """Write a moment for a parameter of type DateTime64 in UTC, which rounds it down to its own precision.

    Raises:
        ValueError: It has no zone.
    """
    return f"{_in_utc(at):%Y-%m-%d %H:%M:%S.%f}"


def _in_utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a query needs times with a zone")
    return at.astimezone(UTC)
