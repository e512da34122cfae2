"""Rows of the ledger against records of a topic: identity for identity, with a checksum of what they say. Pure."""

import hashlib
import struct
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from tierstream.verify.ended_calls import pico_usd
from tierstream.verify.findings import Check, Findings, place
from topics.base import Record
from topics.events import Hop, Hops
from topics.journal import CallEnded, CallStarted, Rates, Usage
from topics.requests import Dimensions
from topics.results import Result

_SEPARATOR: Final = "\x1f"
_LIST_SEPARATOR: Final = "\x1e"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROUTE_TEXTS: Final = ("attempt_id", "stage", "tier", "provider", "model", "why", "outcome")

Identity = tuple[int, int]
"""Offset and index in the record."""


@dataclass(slots=True)
class Rows:
    """Rows of one partition in the order of offset and index, 20 bytes each."""

    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    indexes: "array[int]" = field(default_factory=lambda: array("I"))
    checksums: "array[int]" = field(default_factory=lambda: array("Q"))

    def __len__(self) -> int:
        return len(self.offsets)

    def add(self, offset: int, idx: int, checksum: int) -> None:
        """Append a row."""
        self.offsets.append(offset)
        self.indexes.append(idx)
        self.checksums.append(checksum)

    def extend(self, offsets: Sequence[int], indexes: Sequence[int], checksums: Sequence[int]) -> None:
        """Append rows, column by column."""
        self.offsets.extend(offsets)
        self.indexes.extend(indexes)
        self.checksums.extend(checksums)

    def __iter__(self) -> Iterator[tuple[Identity, int]]:
        for offset, idx, checksum in zip(self.offsets, self.indexes, self.checksums, strict=True):
            yield (offset, idx), checksum


@dataclass(slots=True)
class Expected:
    """The rows that the records of one partition must have, and what they add up to."""

    rows: Rows = field(default_factory=Rows)
    cost_pico: int = 0

    def add(self, offset: int, at_ms: int, record: Record) -> None:
        """Note the rows of a record of `llm.results`, `llm.calls` or `llm.hops` that was appended at `at_ms`."""
        match record:
            case Hops():
                for idx, hop in enumerate(record.hops):
                    self._add(offset, idx, (at_ms, *_hop_facts(record, hop)), hop.cost_usd)
            case Result():
                self._add(offset, 0, (at_ms, *_result_facts(record)), record.cost_usd)
            case CallStarted() | CallEnded():
                cost = record.cost_usd if isinstance(record, CallEnded) else None
                self._add(offset, 0, (at_ms, *_call_facts(record)), cost)

    def _add(self, offset: int, idx: int, facts: Sequence[object], cost: Decimal | None) -> None:
        self.rows.add(offset, idx, _checksum(facts))
        self.cost_pico += pico_usd(cost) if cost is not None else 0


def compare_rows(
    findings: Findings, topic: str, partition: int, expected: Rows, found: Rows, *, end: int, current_end: int
) -> None:
    """Compare the rows of a partition with its records.

    Args:
        findings: Where problems go.
        topic: Full name.
        partition: Of the topic.
        expected: From the records below `end`.
        found: From ClickHouse, in the order of offset and index.
        end: Where reading the records ended; rows from there to `current_end` came since.
        current_end: End of the partition, asked after the rows were read.
    """
    records, rows = iter(expected), iter(found)
    record, row = next(records, None), next(rows, None)
    latest: Identity | None = None
    while record is not None or row is not None:
        if row is not None and row[0] == latest:
            _note(findings, Check.LEDGER_TWICE, topic, partition, row[0], "the view counts this row again")
            row = next(rows, None)
        elif record is not None and (row is None or record[0] < row[0]):
            _note(findings, Check.LEDGER_MISSING, topic, partition, record[0], "the record has no row")
            record = next(records, None)
        elif row is not None:
            latest = row[0]
            if record is not None and record[0] == row[0]:
                if record[1] != row[1]:
                    detail = "what the row says is not what the record says"
                    _note(findings, Check.LEDGER_DIFFERING, topic, partition, row[0], detail)
                record = next(records, None)
            elif not end <= row[0][0] < current_end:
                _note(findings, Check.LEDGER_SURPLUS, topic, partition, row[0], "the row has no record")
            row = next(rows, None)


def _note(findings: Findings, check: Check, topic: str, partition: int, identity: Identity, detail: str) -> None:
    offset, idx = identity
    name = place(topic, partition, offset)
    findings.add(check, f"{name} row {idx}" if idx else name, detail)


def _checksum(facts: Sequence[object]) -> int:
    text = _SEPARATOR.join("" if fact is None else str(fact) for fact in facts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def _result_facts(result: Result) -> list[object]:
    route, source = result.route, result.source
    return [
        result.request_id,
        result.revision,
        result.status.value,
        result.error.code if result.error else None,
        result.attempt_id,
        result.tier,
        result.provider,
        result.model,
        result.finish_reason,
        *_usage_facts(result.usage),
        _fixed(result.cost_usd, 12),
        _bits(result.latency_ms),
        _bits(result.provider_ms),
        *(_joined(getattr(attempt, name) for attempt in route) for name in _ROUTE_TEXTS),
        _joined(_fixed(attempt.cost_usd, 12) for attempt in route),
        source.topic,
        source.partition,
        source.offset,
        source.timestamp_ms,
        _micros(result.settled_at),
        *(_dimension_fact(getattr(result, name)) for name in Dimensions.model_fields),
    ]


def _call_facts(call: CallStarted | CallEnded) -> list[object]:
    ended = call if isinstance(call, CallEnded) else None
    error = ended.error if ended else None
    return [
        "ended" if ended else "started",
        call.request_id,
        call.revision,
        call.call_id,
        call.attempt_id,
        call.stage,
        call.n,
        call.purpose.value,
        call.tier,
        call.provider,
        call.model,
        _micros(call.started_at),
        _micros(call.deadline) if isinstance(call, CallStarted) else None,
        _micros(ended.ended_at) if ended else None,
        ended.finish_reason if ended else None,
        error.kind if error else None,
        error.status if error else None,
        *_usage_facts(ended.usage if ended else None),
        *_rate_facts(ended.rates if ended else None),
        ended.shares if ended else 1,
        _fixed(ended.cost_usd if ended else Decimal(0), 12),
        ended.provider_batch if ended else None,
    ]


def _hop_facts(record: Hops, hop: Hop) -> list[object]:
    return [
        record.request_id,
        record.revision,
        hop.stage,
        _micros(hop.started_at),
        _micros(hop.ended_at),
        hop.outcome,
        hop.tier,
        hop.attempt_id,
        hop.provider,
        hop.model,
        _fixed(hop.cost_usd, 12) if hop.cost_usd is not None else None,
        hop.rule,
        hop.classifier,
        hop.detail,
    ]


def _dimension_fact(dimension: str | tuple[str, ...] | None) -> str | None:
    return _joined(dimension) if isinstance(dimension, tuple) else dimension


def _usage_facts(usage: Usage | None) -> tuple[object, ...]:
    if usage is None:
        return (None, 0, 0, 0, 0, 0)
    return usage.source, usage.input, usage.output, usage.cached, usage.cache_written, usage.reasoning


def _rate_facts(rates: Rates | None) -> tuple[str | None, ...]:
    if rates is None:
        return (None,) * 5
    known = (rates.input, rates.output, rates.cached)
    written = None if rates.cache_write is None else _fixed(rates.cache_write, 6)
    return rates.source, *(_fixed(rate, 6) for rate in known), written


def _fixed(value: Decimal, places: int) -> str:
    return f"{value:.{places}f}"


def _bits(value: float) -> int:
    """Return a float as the integer of the same bits: no two programs need to print it alike."""
    return int.from_bytes(struct.pack("<d", value), "little")


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _joined(values: Iterable[object]) -> str:
    return _LIST_SEPARATOR.join(map(str, values))
