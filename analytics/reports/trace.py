"""All that the ledger knows of one request."""

import asyncio
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from analytics.clickhouse import AsyncClient
from analytics.named_query import named_query
from analytics.reports.report import Report


class TraceHop(Report):
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


class TraceCall(Report):
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
    provider_batch: str
    """The id of the batch of the provider that answered it; empty where it was made by itself."""


class TraceResult(Report):
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


class Trace(Report):
    """All that the ledger knows of a request."""

    request_id: str
    arrived_at: datetime
    """When the broker appended the request, or the first step where there is no result yet."""
    hops: tuple[TraceHop, ...]
    calls: tuple[TraceCall, ...]
    results: tuple[TraceResult, ...]


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
