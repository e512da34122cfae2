"""What it cost and how long it took: typed answers to the named queries in `queries/`. Money stays Decimal."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from analytics.clickhouse import AsyncClient
from analytics.ledger_report import ledger_report
from analytics.ledger_window import BEGINNING, END, LedgerWindow, Rates
from analytics.named_query import named_query

_MILLION: Final = Decimal(1_000_000)
_UNMATCHED: Final = "unmatched"


class _Report(BaseModel):
    model_config = ConfigDict(frozen=True)


class Percentiles(_Report):
    """Median and 95th percentile, in milliseconds, exact (linear between the neighbours)."""

    p50: float
    p95: float


class TierSummary(_Report):
    """The requests that one tier answered; tier None: those without an answer."""

    tier: int | None
    requests: int
    share: float
    """Of all requests of the report."""
    cost_usd: Decimal
    latency: Percentiles
    provider: Percentiles
    """Waiting for providers."""
    own: Percentiles
    """Everything else: queues, decisions, hops."""


class PurposeSummary(_Report):
    """The paid calls of one purpose."""

    purpose: str
    calls: int
    """On the wire; a call that several requests share is one."""
    cost_usd: Decimal


class SharingSummary(_Report):
    """What it saved that identical requests shared calls; each of them would have paid for the whole."""

    shared_calls: int
    """Calls on the wire that several requests shared."""
    saved_calls: int
    saved_cost_usd: Decimal


class TierDepartures(_Report):
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


class UserSummary(_Report):
    """What one user's requests cost."""

    user_id: str
    requests: int
    cost_usd: Decimal
    share: float
    """Of the cost of all requests of the report."""


class FeedbackSummary(_Report):
    """What was said of results in [since, until); None in a summary: nothing."""

    matched: int
    """Feedback on results that are known; what was told twice counts once."""
    unmatched: int
    """Feedback on nothing that is known."""
    retried: int
    """Revisions that it asked for."""
    kinds: dict[str, int]
    """Of the matched."""


class Summary(_Report):
    """Cost and latency of the requests that settled in [since, until)."""

    since: datetime
    until: datetime
    tag: str | None
    requests: int
    statuses: dict[str, int]
    tiers: tuple[TierSummary, ...]
    total_cost_usd: Decimal
    """All paid calls that ended in the window, judges and classifiers included."""
    results_cost_usd: Decimal
    """What the results of the window say that their attempts cost."""
    purposes: tuple[PurposeSummary, ...]
    unknown_calls: int
    """Calls that started in the window and never ended."""
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


class TraceHop(_Report):
    """One step; `start_ms` counts from the arrival of the request."""

    revision: int
    stage: str
    start_ms: float
    duration_ms: float
    queue_ms: float
    provider_ms: float
    outcome: str
    tier: int | None
    attempt_id: UUID | None
    provider: str
    model: str
    cost_usd: Decimal | None
    rule: str
    classifier: str
    scores: tuple[float, ...]
    detail: str


class TraceCall(_Report):
    """One paid call; `start_ms` counts from the arrival of the request. Of a shared one, tokens and cost are a part."""

    revision: int
    call_id: UUID
    attempt_id: UUID
    stage: str
    n: int
    purpose: str
    tier: int
    provider: str
    model: str
    start_ms: float
    provider_ms: float | None
    outcome: str
    """ok, error or unknown."""
    error_kind: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: Decimal
    shares: int
    """Requests that share the call."""
    first_token_ms: float | None
    batch_size: int
    batch_wait_ms: float


class TraceResult(_Report):
    """How one revision of the request ended."""

    revision: int
    status: str
    error_code: str
    tier: int | None
    provider: str
    model: str
    attempt_id: UUID | None
    cost_usd: Decimal
    latency_ms: float
    provider_ms: float
    own_ms: float
    settled_at: datetime


class Trace(_Report):
    """All that the ledger knows of a request."""

    request_id: str
    arrived_at: datetime
    """When the broker appended the request, or the first step where there is no result yet."""
    hops: tuple[TraceHop, ...]
    calls: tuple[TraceCall, ...]
    results: tuple[TraceResult, ...]


async def summary(window: LedgerWindow, *, top: int = 10) -> Summary:
    """Show cost, share and latency by tier, and what all of it would have cost on the frontier model.

    Args:
        window: Of requests that settled in it, and calls that ended.
        top: How many users to name.
    """
    totals, statuses, tiers, users, steps, purposes, unknown, sharing, departures, said = await asyncio.gather(
        window.rows("summary_totals"),
        window.rows("summary_statuses"),
        window.rows("summary_tiers"),
        window.rows("summary_users", top=top),
        window.rows("summary_steps"),
        window.rows("summary_calls"),
        window.rows("unknown_calls"),
        window.rows("summary_sharing"),
        window.rows("summary_departures"),
        window.rows("summary_feedback"),
    )
    total = totals[0]
    spent = sum((row["cost"] for row in purposes), start=Decimal(0))
    frontier = _frontier_cost(total, window.frontier_rates())
    return Summary(
        since=window.since or BEGINNING,
        until=window.until or END,
        tag=window.tag,
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


async def trace(client: AsyncClient, database: str, request_id: str) -> Trace | None:
    """Collect the steps, calls and results of a request; None where the ledger knows nothing of it."""
    parameters = {"request_id": request_id}
    results, hops, calls = await asyncio.gather(
        named_query(client, database, "trace_results", parameters),
        named_query(client, database, "trace_hops", parameters),
        named_query(client, database, "trace_calls", parameters),
    )
    moments = [row["source_at"] for row in results] or [row["started_at"] for row in (*hops, *calls)]
    if not moments:
        return None
    arrived_at = min(moments)
    return Trace(
        request_id=request_id,
        arrived_at=arrived_at,
        hops=tuple(
            TraceHop(
                start_ms=_ms(arrived_at, row["started_at"]), duration_ms=_ms(row["started_at"], row["ended_at"]), **row
            )
            for row in hops
        ),
        calls=tuple(TraceCall(start_ms=_ms(arrived_at, row["started_at"]), **row) for row in calls),
        results=tuple(TraceResult(**row) for row in results),
    )


def _ms(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000


def _frontier_cost(total: Mapping[str, Any], rates: Rates) -> Decimal:
    input_rate, output_rate, cached_rate = rates
    fresh = total["input_tokens"] - total["cached_tokens"]
    tokens_cost: Decimal = (
        fresh * input_rate + total["cached_tokens"] * cached_rate + total["output_tokens"] * output_rate
    )
    return tokens_cost / _MILLION


def _tier(row: Mapping[str, Any], requests: int) -> TierSummary:
    spans = {name: Percentiles(p50=row[name][0], p95=row[name][1]) for name in ("latency", "provider", "own")}
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


REPORTS: Final[dict[str, Callable[[LedgerWindow], Awaitable[BaseModel]]]] = {
    "summary": summary,
    "ledger": ledger_report,
}
"""The reports of `tierstream report`, in the order of its help; what a function says of itself first is said there."""
