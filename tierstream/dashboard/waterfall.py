"""The steps and paid calls of one request on one axis of time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from analytics.reports.trace import Trace, TraceCall, TraceHop
from tierstream.dashboard.charts import tier_colour
from tierstream.dashboard.words import span

SCALE: Final = 1000.0
"""Width of the axis, in units of the drawing."""
_LEAST_WIDTH: Final = 3.0
_GOOD: Final = {"ok", "judge_pass"}
_BAD: Final = {"error", "failed", "judge_fail", "expired", "rejected", "unknown"}


@dataclass(frozen=True, slots=True)
class Bar:
    """Part of a row, in units of the axis."""

    x: float
    width: float
    kind: str
    """wait (in the queue), work, or call."""


@dataclass(frozen=True, slots=True)
class Row:
    """A step of the request, or a paid call of one."""

    kind: str
    """step or call."""
    name: str
    outcome: str
    mood: str
    """good, bad or plain."""
    target: str
    tier: int | None
    colour: str
    start_ms: float
    duration_ms: float | None
    cost_usd: Decimal | None
    facts: Sequence[str]
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """All rows, by revision, and how long the axis is."""

    total_ms: float
    revisions: dict[int, Sequence[Row]]


def draw(trace: Trace) -> Waterfall:
    """Lay out a trace; the axis ends where the last step does."""
    ends = [hop.start_ms + hop.duration_ms for hop in trace.hops]
    ends += [call.start_ms + (call.provider_ms or 0) for call in trace.calls]
    ends += [result.latency_ms for result in trace.results]
    total = max(ends, default=0.0) or 1.0
    revisions = sorted({hop.revision for hop in trace.hops} | {call.revision for call in trace.calls})
    return Waterfall(
        total_ms=total,
        revisions={revision: _rows(trace, revision, total) for revision in revisions},
    )


def _rows(trace: Trace, revision: int, total: float) -> Sequence[Row]:
    hops = sorted((hop for hop in trace.hops if hop.revision == revision), key=lambda hop: hop.start_ms)
    calls = sorted((call for call in trace.calls if call.revision == revision), key=lambda call: call.start_ms)
    rows: list[Row] = []
    told: set[int] = set()
    for hop in hops:
        rows.append(_hop(hop, total))
        for n, call in enumerate(calls):
            if n not in told and call.attempt_id == hop.attempt_id and call.stage == hop.stage:
                told.add(n)
                rows.append(_call(call, total))
    rows += [_call(call, total) for n, call in enumerate(calls) if n not in told]
    return rows


def _hop(hop: TraceHop, total: float) -> Row:
    facts = [f"waited {span(hop.queue_ms)}" if hop.queue_ms >= 1 else "", hop.rule and f"rule {hop.rule}"]
    facts += [hop.classifier, _scores(hop.scores), hop.detail]
    return Row(
        kind="step",
        name=hop.stage,
        outcome=hop.outcome,
        mood=_mood(hop.outcome),
        target=f"{hop.provider}/{hop.model}" if hop.model else "",
        tier=hop.tier,
        colour=tier_colour(hop.tier or 0),
        start_ms=hop.start_ms,
        duration_ms=hop.duration_ms,
        cost_usd=hop.cost_usd,
        facts=[fact for fact in facts if fact],
        bars=[
            _bar(max(0.0, hop.start_ms - hop.queue_ms), min(hop.queue_ms, hop.start_ms), total, "wait"),
            _bar(hop.start_ms, hop.duration_ms, total, "work"),
        ],
    )


def _call(call: TraceCall, total: float) -> Row:
    facts = [f"{call.input_tokens:,} tokens in ({call.cached_tokens:,} cached), {call.output_tokens:,} out"]
    facts += [f"first token after {span(call.first_token_ms)}" if call.first_token_ms is not None else ""]
    facts += [f"shared by {call.shares}" if call.shares > 1 else ""]
    facts += [f"left with {call.batch_size - 1} others" if call.batch_size > 1 else ""]
    facts += [f"batch {call.provider_batch} of {call.provider}" if call.provider_batch else "", call.error_kind]
    return Row(
        kind="call",
        name=call.purpose,
        outcome=call.outcome,
        mood=_mood(call.outcome),
        target=f"{call.provider}/{call.model}",
        tier=call.tier,
        colour=tier_colour(call.tier),
        start_ms=call.start_ms,
        duration_ms=call.provider_ms,
        cost_usd=call.cost_usd,
        facts=[fact for fact in facts if fact],
        bars=[_bar(call.start_ms, call.provider_ms or 0.0, total, "call")],
    )


def _bar(start: float, length: float, total: float, kind: str) -> Bar:
    width = min(SCALE, max(length / total * SCALE, 0.0 if kind == "wait" else _LEAST_WIDTH))
    return Bar(round(min(max(0.0, start / total * SCALE), SCALE - width), 1), round(width, 1), kind)


def _scores(scores: Iterable[float]) -> str:
    written = ", ".join(f"{score:.2f}" for score in scores)
    return f"scores {written}" if written else ""


def _mood(outcome: str) -> str:
    return "good" if outcome in _GOOD else "bad" if outcome in _BAD else "plain"
