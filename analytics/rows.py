"""Turn records into rows of the ledger. Pure: one record and where it stood, rows out."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from pydantic import TypeAdapter

from topics.base import Record, from_millis
from topics.control import ActiveModel, BreakerOrder, BreakerStatus, ModelFile, ModelStatus, PartitionCount
from topics.events import Hop, Hops
from topics.journal import CallEnded, CallStarted, Usage
from topics.learned import CanaryState, JudgeRates, OnlinePolicyUpdate, Promotion
from topics.messages import ToolCall
from topics.requests import Dimensions
from topics.results import Result
from topics.tasks import Attempt

_DAY_MS: Final = 86_400_000
_CALLS: Final = TypeAdapter(tuple[ToolCall, ...])
_WITHOUT_ROWS: Final = (
    BreakerOrder,
    PartitionCount,
    ModelFile,
    ActiveModel,
    ModelStatus,
    JudgeRates,
    CanaryState,
    OnlinePolicyUpdate,
    Promotion,
)

LogBodies = Literal["none", "hash", "full"]
Row = dict[str, Any]
"""Values by column name, in the types that the ClickHouse client takes."""


class Table(StrEnum):
    """The tables that the sink fills."""

    REQUESTS = "requests_log"
    CALLS = "calls_log"
    HOPS = "hops_log"
    BREAKERS = "breakers_log"
    BODIES = "bodies_log"


class Position(NamedTuple):
    """Where a record stands in Kafka; with an index it names a row for ever."""

    cluster: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """When the broker appended it, ms since the epoch."""

    def identity(self) -> Row:
        """The columns that every table starts with, of the first row of a record.

        Raises:
            ValueError, OverflowError: The record was appended at a time that no calendar has.
        """
        return {
            "cluster": self.cluster,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "idx": 0,
            "at": from_millis(self.timestamp_ms),
        }

    @property
    def month(self) -> tuple[int, int]:
        """The partition of the table that the rows belong to."""
        return _month(self.timestamp_ms // _DAY_MS)


@lru_cache
def _month(day: int) -> tuple[int, int]:
    at = datetime.fromtimestamp(day * _DAY_MS / 1000, UTC)
    return at.year, at.month


def rows_of(record: Record, position: Position, log_bodies: LogBodies) -> list[tuple[Table, Row]]:
    """Make the rows of a record of `llm.results`, `llm.calls`, `llm.hops` or `llm.control`; it may have none.

    Raises:
        TypeError: The record belongs to another topic.
        ValueError, OverflowError: It names a time that no calendar has.
    """
    match record:
        case Result():
            rows = [(Table.REQUESTS, position.identity() | _result_columns(record))]
            return rows + _bodies(record, position, log_bodies)
        case CallStarted() | CallEnded():
            rows = [(Table.CALLS, position.identity() | _call_columns(record))]
            if isinstance(record, CallStarted):
                return rows
            return rows + _bodies(record, position, log_bodies)
        case Hops():
            identity = position.identity()
            return [
                (Table.HOPS, identity | {"idx": idx} | _hop_columns(record, hop)) for idx, hop in enumerate(record.hops)
            ]
        case BreakerStatus():
            return [(Table.BREAKERS, position.identity() | _breaker_columns(record))]
        case _ if isinstance(record, _WITHOUT_ROWS):
            return []
        case _:
            raise TypeError(f"no table keeps a {type(record).__name__}")


def _result_columns(result: Result) -> Row:
    return {
        "request_id": result.request_id,
        "revision": result.revision,
        "status": result.status.value,
        "error_code": result.error.code if result.error else "",
        "reason": result.reason or "",
        "attempt_id": result.attempt_id,
        "tier": result.tier,
        "provider": result.provider or "",
        "model": result.model or "",
        "finish_reason": result.finish_reason or "",
        **_usage_columns(result.usage),
        "cost_usd": result.cost_usd,
        "latency_ms": result.latency_ms,
        "provider_ms": result.provider_ms,
        "own_ms": result.latency_ms - result.provider_ms,
        **_route_columns(result.route),
        "source_topic": result.source.topic,
        "source_partition": result.source.partition,
        "source_offset": result.source.offset,
        "source_at": from_millis(result.source.timestamp_ms),
        "settled_at": result.settled_at,
        **{name: _cell(getattr(result, name)) for name in Dimensions.model_fields},
        "signature": int(result.signature or "0", 16),
        "prefix": int(result.prefix or "0", 16),
        "prefix_tokens": result.prefix_tokens,
    }


def _cell(dimension: str | StrEnum | tuple[str, ...] | None) -> str | list[str]:
    if isinstance(dimension, tuple):
        return list(dimension)
    return dimension.value if isinstance(dimension, StrEnum) else dimension or ""


def _route_columns(route: Sequence[Attempt]) -> Row:
    return {
        "route.attempt_id": [attempt.attempt_id for attempt in route],
        "route.stage": [attempt.stage for attempt in route],
        "route.tier": [attempt.tier for attempt in route],
        "route.provider": [attempt.provider for attempt in route],
        "route.model": [attempt.model for attempt in route],
        "route.why": [attempt.why for attempt in route],
        "route.outcome": [attempt.outcome for attempt in route],
        "route.cost_usd": [attempt.cost_usd for attempt in route],
        "route.provider_ms": [attempt.provider_ms for attempt in route],
    }


def _usage_columns(usage: Usage | None) -> Row:
    if usage is None:
        return _NO_USAGE
    return {
        "usage_source": usage.source,
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cached_tokens": usage.cached,
        "cache_written_tokens": usage.cache_written,
        "reasoning_tokens": usage.reasoning,
    }


_NO_USAGE: Final = _usage_columns(Usage(input=0, output=0)) | {"usage_source": ""}


def _call_columns(call: CallStarted | CallEnded) -> Row:
    ended = call if isinstance(call, CallEnded) else None
    error = ended.error if ended else None
    rates = ended.rates if ended else None
    return {
        "event": "ended" if ended else "started",
        "request_id": call.request_id,
        "revision": call.revision,
        "call_id": call.call_id,
        "attempt_id": call.attempt_id,
        "stage": call.stage,
        "n": call.n,
        "purpose": call.purpose.value,
        "tier": call.tier,
        "provider": call.provider,
        "model": call.model,
        "started_at": call.started_at,
        "deadline": call.deadline if isinstance(call, CallStarted) else None,
        "ended_at": ended.ended_at if ended else None,
        "provider_ms": ended.provider_ms if ended else None,
        "finish_reason": (ended.finish_reason or "") if ended else "",
        "error_kind": error.kind if error else "",
        "error_status": error.status if error else None,
        "retry_after_ms": error.retry_after_ms if error else None,
        **_usage_columns(ended.usage if ended else None),
        "input_rate": rates.input if rates else None,
        "output_rate": rates.output if rates else None,
        "cached_rate": rates.cached if rates else None,
        "cache_write_rate": rates.cache_write if rates else None,
        "rates_source": rates.source if rates else "",
        "cost_usd": ended.cost_usd if ended else 0,
        "shares": ended.shares if ended else 1,
        "first_token_ms": ended.first_token_ms if ended else None,
        "batch_size": ended.batch_size if ended else 1,
        "batch_wait_ms": ended.batch_wait_ms if ended else 0.0,
        "provider_batch": (ended.provider_batch or "") if ended else "",
    }


def _hop_columns(record: Hops, hop: Hop) -> Row:
    return {
        "request_id": record.request_id,
        "revision": record.revision,
        "stage": hop.stage,
        "started_at": hop.started_at,
        "ended_at": hop.ended_at,
        "queue_ms": hop.queue_ms,
        "provider_ms": hop.provider_ms,
        "outcome": hop.outcome,
        "tier": hop.tier,
        "attempt_id": hop.attempt_id,
        "provider": hop.provider or "",
        "model": hop.model or "",
        "cost_usd": hop.cost_usd,
        "batch_size": hop.batch_size,
        "batch_wait_ms": hop.batch_wait_ms,
        "shares": hop.shares,
        "rule": hop.rule or "",
        "classifier": hop.classifier or "",
        "scores": list(hop.scores),
        "detail": hop.detail or "",
    }


def _breaker_columns(status: BreakerStatus) -> Row:
    return {
        "worker": status.worker,
        "target": status.target,
        "state": status.state.value,
        "forced": status.forced,
        "reason": status.reason,
        "since": status.since,
        "until": status.until,
        "calls": status.calls,
        "failures": status.failures,
        "slow": status.slow,
        "said_at": status.at,
    }


def _bodies(record: Result | CallEnded, position: Position, log_bodies: LogBodies) -> list[tuple[Table, Row]]:
    """Rows for the texts; error messages count as texts because providers quote prompts in them."""
    if log_bodies == "none":
        return []
    rows = []
    calls = _CALLS.dump_json(record.tool_calls).decode() if record.tool_calls else None
    message = record.error.message if record.error else None
    for part, text in (("content", record.content), ("tool_calls", calls), ("error", message)):
        if text is None:
            continue
        data = text.encode()
        columns = {
            "request_id": record.request_id,
            "revision": record.revision,
            "part": part,
            "sha256": hashlib.sha256(data).hexdigest(),
            "size": len(data),
            "body": text if log_bodies == "full" else "",
        }
        rows.append((Table.BODIES, position.identity() | columns))
    return rows
