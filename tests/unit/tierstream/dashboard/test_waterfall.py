"""The bars of a trace: what a call says of itself besides its times."""

from datetime import UTC, datetime
from uuid import UUID

from analytics.reports.trace import Trace, TraceCall
from tierstream.dashboard.waterfall import draw

CALL = TraceCall(
    revision=0,
    call_id=UUID(int=1),
    attempt_id=UUID(int=2),
    stage="infer:1",
    n=0,
    purpose="infer",
    tier=1,
    provider="groq",
    model="small",
    start_ms=10.0,
    provider_ms=3_000_000.0,
    outcome="ok",
    error_kind="",
    input_tokens=1_000,
    output_tokens=20,
    cached_tokens=0,
    cost_usd="0.0001",
    shares=1,
    first_token_ms=None,
    batch_size=1,
    batch_wait_ms=0.0,
    provider_batch="",
)


def facts_of(call):
    arrived_at = datetime(2026, 11, 1, tzinfo=UTC)
    drawn = draw(Trace(request_id="r1", arrived_at=arrived_at, hops=(), calls=(call,), results=()))
    [row] = drawn.revisions[0]
    return row.facts


def test_a_call_names_the_batch_of_the_provider_that_answered_it():
    tokens = "1,000 tokens in (0 cached), 20 out"
    assert facts_of(CALL) == [tokens]
    batched = CALL.model_copy(update={"provider_batch": "batch_0f3a"})
    assert facts_of(batched) == [tokens, "batch batch_0f3a of groq"]
