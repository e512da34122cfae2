"""Durations and moments as they are written on a command line."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from streams.kafka.clock import utc_now

_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> timedelta:
    """Read a duration such as `90`, `30s`, `10m`, `2h` or `1d`.

    Raises:
        typer.BadParameter: It is none.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration: write 30s, 10m, 2h or 1d")
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long") from None


def parse_moment(text: str) -> datetime:
    """Read `30m` as that long ago, anything else as an ISO time, in UTC where it names no zone.

    Raises:
        typer.BadParameter: It is neither.
    """
    if _DURATION.fullmatch(text.strip()):
        return utc_now() - parse_duration(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither like 30m, 24h, 7d nor an ISO time") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


Since = Annotated[
    datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="From then on: 30m, 24h, 7d or a time.")
]
