"""The loads that commands of `bench` put on a stack, on whose peers too, and how they tell what goes on."""

from enum import StrEnum

import typer

from tierstream.cli.progress import progress_console

_SATURATION = "saturation"


class PeerChoice(StrEnum):
    """Which other system has the same loads."""

    LITELLM = "litellm"


def read_rates(text: str) -> str:
    """Check an option of rates, divided by commas."""
    for rate in text.split(","):
        if rate.strip() != _SATURATION and not _is_rate(rate):
            raise typer.BadParameter(f"{rate.strip()!r} is no number of requests a second above 0, nor `saturation`")
    return text


def loads_of(rates: str) -> list[float | None]:
    """Return requests a second of each load; None: as many as are answered."""
    return [None if rate.strip() == _SATURATION else float(rate) for rate in rates.split(",")]


def tell(what: str) -> None:
    """Say what goes on."""
    progress_console().print(what, highlight=False, soft_wrap=True)


def _is_rate(text: str) -> bool:
    try:
        return 0 < float(text) < float("inf")
    except ValueError:
        return False
