"""Time as a thing that is passed in, so that policies and deadlines can be tested without waiting."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the current moment in UTC."""


def utc_now() -> datetime:
    """Read the system clock."""
    return datetime.now(UTC)
