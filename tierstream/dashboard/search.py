"""The search for requests: what may be asked, and one page of what is found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from analytics.bound_times import microsecond_of, second_of
from tierstream.dashboard.ledger import Ledger
from tierstream.dashboard.period import Period

PAGE: Final = 50
_TEXTS: Final = ("id", "user", "feature", "query_type", "status", "model")
_TIERS: Final = ("tier", "first_tier")
_LONGEST: Final = 300
_ANY: Final = -1
_MAX_TIER: Final = 255
_PLACE_PARTS: Final = 3


class SearchError(ValueError):
    """The address asks for what can't be; the message says why."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; empty: anything. A tier is a number, 0 for none."""

    texts: Mapping[str, str]
    tiers: Mapping[str, int]
    after: tuple[datetime, str, int] | None
    """Time, id and revision of the last one of the page before."""

    @property
    def query(self) -> dict[str, str]:
        """What asks for it in an address, without its place."""
        asked = {name: text for name, text in self.texts.items() if text}
        return {**asked, **{name: str(tier) for name, tier in self.tiers.items() if tier != _ANY}}


@dataclass(frozen=True, slots=True)
class Found:
    """A page of results, the newest one first."""

    rows: Sequence[Mapping[str, Any]]
    next_place: str | None
    """What `after` has to be for the page behind; None: there is none."""
    names: Mapping[str, Sequence[str]]
    """Models, features and query types of the period, to choose from."""


def read_search(asked: Mapping[str, str]) -> Search:
    """Read a search from the parameters of an address.

    Raises:
        SearchError: One of them can't be.
    """
    texts = {name: asked.get(name, "").strip() for name in _TEXTS}
    for name, text in texts.items():
        if len(text) > _LONGEST:
            raise SearchError(f"{name} is too long")
    tiers = {name: _tier(name, asked.get(name, "")) for name in _TIERS}
    return Search(texts, tiers, _place(asked["after"]) if asked.get("after") else None)


async def find(ledger: Ledger, search: Search, period: Period) -> Found:
    """Look for a page of requests.

    Raises:
        ClickHouseUnavailable: The ledger can't be asked.
    """
    after_at, after_id, after_revision = search.after or (period.until, "", 0)
    window = {"since": second_of(period.since), "until": second_of(period.until)}
    place = {"after_at": microsecond_of(after_at), "after_id": after_id, "after_revision": after_revision}
    rows = await ledger.rows(
        "dashboard_requests", {**window, **place, **search.texts, **search.tiers, "limit": PAGE + 1}
    )
    [names] = await ledger.rows("dashboard_names", window)
    more = len(rows) > PAGE
    shown = rows[:PAGE]
    return Found(shown, _written_place(shown[-1]) if more else None, names)


def _tier(name: str, text: str) -> int:
    if not text:
        return _ANY
    if not (text.isascii() and text.isdigit() and int(text) <= _MAX_TIER):
        raise SearchError(f"{name}={text!r} is no tier: write a number, 0 for none")
    return int(text)


def _written_place(row: Mapping[str, Any]) -> str:
    return f"{int(row['at'].timestamp() * 1000)}~{row['revision']}~{row['request_id']}"


def _place(text: str) -> tuple[datetime, str, int]:
    parts = text.split("~", _PLACE_PARTS - 1)
    try:
        ms, revision, request_id = parts
        return datetime.fromtimestamp(int(ms) / 1000, UTC), request_id, int(revision)
    except (ValueError, OverflowError, OSError):
        raise SearchError("the page that is asked for is none: begin with the first one") from None
