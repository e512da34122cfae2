"""What it cost and how long it took, on one page."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from analytics.ledger_window import BEGINNING, END, LedgerWindow
from analytics.reports.report import Report, is_quickly_read

_IN_LEDGER: Final = (
    "summary_totals",
    "summary_statuses",
    "summary_tiers",
    "summary_users",
    "summary_steps",
    "summary_calls",
    "unknown_calls",
    "summary_sharing",
    "summary_departures",
    "summary_feedback",
)
_IN_ROLLUPS: Final = (
    "report_summary_totals",
    "report_summary_statuses",
    "report_summary_tiers",
    "report_summary_users",
    "report_summary_steps",
    "report_summary_calls",
    "report_summary_unknown",
    "report_summary_sharing",
    "report_summary_departures",
    "report_summary_feedback",
)
"""The same of roll-ups, with the same columns, in the same order."""
_UNMATCHED: Final = "unmatched"


class Percentiles(Report):
    """Median and 95th percentile, in milliseconds: exact (linear between the neighbours), of roll-ups within 1 %."""

    p50: float
    p95: float


class TierSummary(Report):
    """The requests that one tier answered; tier None: those without an answer."""

    tier: int | None
    requests: int
    share: float
    """Of all requests of the report."""
    cost_usd: Decimal
    latency: Percentiles | None
    """Of requests that did not wait for a batch of a provider; None where all of them did. So are the next two."""
    provider: Percentiles | None
    """Waiting for providers."""
    own: Percentiles | None
    """Everything else: queues, decisions, hops."""


class PurposeSummary(Report):
    """The paid calls of one purpose."""

    purpose: str
    calls: int
    """On the wire; a call that several requests share is one."""
    cost_usd: Decimal


class SharingSummary(Report):
    """What it saved that identical requests shared calls; each of them would have paid for the whole."""

    shared_calls: int
    """Calls on the wire that several requests shared."""
    saved_calls: int
    saved_cost_usd: Decimal


class TierDepartures(Report):
    """How the answering calls of one tier left for their providers."""

    tier: int
    calls: int
    """On the wire; a shared one is one."""
    batch_size: float
    """Mean of the calls that left together, over calls."""
    batch_wait_ms: float
    """Mean of the wait for a batch, over calls."""
    streamed: int
    first_token_p50_ms: float | None
    """Of streamed calls, from the start of the call; None where there is none."""


class UserSummary(Report):
    """What one user's requests cost."""

    user_id: str
    requests: int
    cost_usd: Decimal
    share: float
    """Of the cost of all requests of the report."""


class FeedbackSummary(Report):
    """What was said of results in [since, until); None in a summary: nothing."""

    matched: int
    """Feedback on results that are known; what was told twice counts once."""
    unmatched: int
    """Feedback on nothing that is known."""
    retried: int
    """Revisions that it asked for."""
    kinds: dict[str, int]
    """Of the matched."""


class Summary(Report):
    """Cost and latency of the requests that settled in [since, until)."""

    since: datetime
    until: datetime
    tag: str | None
    built_at: datetime | None
    """When the roll-ups that were read were last brought up to date; None: the ledger itself was read."""
    requests: int
    statuses: dict[str, int]
    tiers: tuple[TierSummary, ...]
    total_cost_usd: Decimal
    """All paid calls that ended in the window, judges and classifiers included."""
    results_cost_usd: Decimal
    """What the results of the window say that their attempts cost."""
    purposes: tuple[PurposeSummary, ...]
    unknown_calls: int
    """Calls that started in the window and never ended; of roll-ups, those whose time is up."""
    sharing: SharingSummary
    departures: tuple[TierDepartures, ...]
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    frontier_cost_usd: Decimal
    """The tokens of the final answers at the frontier model's rates."""
    saved_share: float | None
    """1 - total / frontier; None where nothing was answered."""
    escalations: int
    promotions: int
    validations: int
    feedback: FeedbackSummary | None
    top_users: tuple[UserSummary, ...]


async def summary(window: LedgerWindow, *, top: int = 10) -> Summary:
    """Show cost, share and latency by tier, and what all of it would have cost on the frontier model.

    Args:
        window: Of requests that settled in it, and calls that ended.
        top: How many users to name.
    """
    # Roll-ups know no tags of results.
    is_exact = window.tag is not None or await is_quickly_read(window)
    built_at = None
    if not is_exact:
        [built] = await window.rollup_rows("report_built")
        built_at, period = built["built_at"], window.period
        window = replace(window, since=period.since, until=period.until)
    ask = window.rows if is_exact else window.rollup_rows
    names = _IN_LEDGER if is_exact else _IN_ROLLUPS
    found = await asyncio.gather(*(ask(name, top=top) for name in names))
    totals, statuses, tiers, users, steps, purposes, unknown, sharing, departures, said = found
    total = totals[0]
    spent = sum((row["cost"] for row in purposes), start=Decimal(0))
    prices = window.prices()
    frontier = prices.cost_on(prices.frontier, total)
    return Summary(
        since=window.since or BEGINNING,
        until=window.until or END,
        tag=window.tag,
        built_at=built_at,
        statuses={row["status"]: row["requests"] for row in statuses},
        tiers=tuple(_tier(row, total["requests"]) for row in tiers),
        total_cost_usd=spent,
        purposes=tuple(
            PurposeSummary(purpose=row["purpose"], calls=row["calls"], cost_usd=row["cost"]) for row in purposes
        ),
        unknown_calls=unknown[0]["calls"],
        sharing=SharingSummary(**sharing[0]),
        departures=tuple(TierDepartures(**row) for row in departures),
        frontier_cost_usd=frontier,
        saved_share=float(1 - spent / frontier) if frontier else None,
        feedback=_feedback(said),
        top_users=tuple(_user(row, total["results_cost_usd"]) for row in users),
        **total,
        **steps[0],
    )


def _tier(row: Mapping[str, Any], requests: int) -> TierSummary:
    spans = {
        name: Percentiles(p50=row[name][0], p95=row[name][1]) if row[name] else None
        for name in ("latency", "provider", "own")
    }
    return TierSummary(
        tier=row["tier"], requests=row["requests"], share=row["requests"] / requests, cost_usd=row["cost"], **spans
    )


def _feedback(rows: Sequence[Mapping[str, Any]]) -> FeedbackSummary | None:
    if not rows:
        return None
    kinds = {row["outcome"]: row["said"] for row in rows if row["outcome"] != _UNMATCHED}
    return FeedbackSummary(
        matched=sum(kinds.values()),
        unmatched=sum(row["said"] for row in rows if row["outcome"] == _UNMATCHED),
        retried=rows[0]["retried"],
        kinds=kinds,
    )


def _user(row: Mapping[str, Any], cost: Decimal) -> UserSummary:
    return UserSummary(
        user_id=row["user_id"],
        requests=row["requests"],
        cost_usd=row["cost"],
        share=float(row["cost"] / cost) if cost else 0.0,
    )
