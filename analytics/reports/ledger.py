"""Where the money went, call by call: what results say, what calls cost, and what explains the difference."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import computed_field

from analytics.ledger_window import BEGINNING, END, LedgerWindow
from analytics.reports.report import Report, is_quickly_read

Standing = Literal["routed", "duplicate", "unrouted", "unsettled", "shadow", "unknown"]


class CallGroup(Report):
    """Paid calls of one purpose, provider, model and outcome; a call that several requests share is one."""

    purpose: str
    provider: str
    model: str
    outcome: Literal["ok", "error", "unknown"]
    calls: int
    cost_usd: Decimal


class ListedCall(Report):
    """A call that never ended, or one of several of its attempt; a line for each request that shares it."""

    request_id: str
    revision: int
    call_id: UUID
    attempt_id: UUID
    stage: str
    n: int
    purpose: str
    tier: int
    provider: str
    model: str
    started_at: datetime
    outcome: Literal["ok", "error", "unknown"]
    attempt_calls: int
    """How many calls its attempt has."""
    may_run: bool
    """It has not ended and its deadline is yet to come."""
    cost_usd: Decimal | None
    """What it cost; of an unknown one, an estimate, None where no call like it has succeeded."""
    is_estimated: bool


class Reconciliation(Report):
    """What results say that they cost against what calls cost, in US dollars.

    `calls = routed + duplicate + unrouted + unsettled + shadow`, and `results = routed + unexplained`.
    """

    results_cost_usd: Decimal
    calls_cost_usd: Decimal
    routed_cost_usd: Decimal
    """Calls that are a line of their result's route."""
    duplicate_cost_usd: Decimal
    """Further calls of an attempt whose first is in the route."""
    unrouted_cost_usd: Decimal
    """Calls whose request has a result without a line for them."""
    unsettled_cost_usd: Decimal
    """Calls of requests without a result."""
    shadow_cost_usd: Decimal
    """Calls that were made for comparisons, whose requests do not pay for them."""
    unknown_estimate_usd: Decimal
    """What calls of unknown outcome may have cost; booked nowhere."""

    @computed_field  # type: ignore[prop-decorator] # mypy knows no decorated properties
    @property
    def unexplained_usd(self) -> Decimal:
        """What is left of the difference; zero in a ledger that is whole."""
        return self.results_cost_usd - self.routed_cost_usd


class LedgerReport(Report):
    """Requests settled in [since, until), and all paid calls that belong to them or to no result yet."""

    since: datetime
    until: datetime
    tag: str | None
    built_at: datetime | None
    """When the roll-ups that were read were last brought up to date; None: the ledger itself was read."""
    requests: int
    statuses: dict[str, int]
    calls: tuple[CallGroup, ...]
    money: Reconciliation
    listed: tuple[ListedCall, ...]
    """Unknown and duplicate calls, in the order of time."""


async def ledger(window: LedgerWindow, *, exact: bool = False) -> LedgerReport:
    """Show every kind of paid call, how results and calls agree, and unknown and duplicate calls.

    Args:
        window: Of requests that settled in it; calls of requests without a result carry no tag.
        exact: Go through every call again, however many there are, instead of trusting roll-ups, which know whole hours
            and whose calls without an end are those whose time is up.
    """
    built_at = None
    # Roll-ups know no tags of results.
    if exact or window.tag is not None or await is_quickly_read(window):
        totals, statuses, calls, listed = await asyncio.gather(
            window.rows("summary_totals"),
            window.rows("summary_statuses"),
            window.rows_of_calls("ledger_calls"),
            window.rows_of_calls("ledger_listed"),
        )
    else:
        [built], totals, statuses, calls, listed = await asyncio.gather(
            window.rollup_rows("report_built"),
            window.rollup_rows("report_summary_totals"),
            window.rollup_rows("report_summary_statuses"),
            window.rollup_rows("report_ledger_calls"),
            window.rollup_rows("report_ledger_listed"),
        )
        built_at, period = built["built_at"], window.period
        window = replace(window, since=period.since, until=period.until)
    named = tuple(ListedCall(**row) for row in listed)
    return LedgerReport(
        since=window.since or BEGINNING,
        until=window.until or END,
        tag=window.tag,
        built_at=built_at,
        requests=totals[0]["requests"],
        statuses={row["status"]: row["requests"] for row in statuses},
        calls=_groups(calls),
        money=_reconciliation(Decimal(totals[0]["results_cost_usd"]), calls, named),
        listed=named,
    )


def _groups(rows: Sequence[dict[str, Any]]) -> tuple[CallGroup, ...]:
    """Add up the standings of each kind of call."""
    found: dict[tuple[str, ...], CallGroup] = {}
    for row in rows:
        key = (row["purpose"], row["provider"], row["model"], row["outcome"])
        earlier = found.get(key)
        found[key] = CallGroup(
            purpose=row["purpose"],
            provider=row["provider"],
            model=row["model"],
            outcome=row["outcome"],
            calls=row["calls"] + (earlier.calls if earlier else 0),
            cost_usd=row["cost"] + (earlier.cost_usd if earlier else 0),
        )
    return tuple(sorted(found.values(), key=lambda group: (-group.cost_usd, group.purpose, group.provider)))


def _reconciliation(
    results_cost: Decimal, rows: Sequence[dict[str, Any]], listed: Sequence[ListedCall]
) -> Reconciliation:
    def cost(*standings: Standing) -> Decimal:
        return sum((row["cost"] for row in rows if row["standing"] in standings), start=Decimal(0))

    estimates = (call.cost_usd for call in listed if call.is_estimated and call.cost_usd is not None)
    return Reconciliation(
        results_cost_usd=results_cost,
        calls_cost_usd=cost("routed", "duplicate", "unrouted", "unsettled", "shadow"),
        routed_cost_usd=cost("routed"),
        duplicate_cost_usd=cost("duplicate"),
        unrouted_cost_usd=cost("unrouted"),
        unsettled_cost_usd=cost("unsettled"),
        shadow_cost_usd=cost("shadow"),
        unknown_estimate_usd=sum(estimates, start=Decimal(0)),
    )
