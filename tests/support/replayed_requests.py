"""Recorded requests, made up, as a replay has them."""

from decimal import Decimal
from uuid import UUID, uuid5

from tierstream.replay.decide import Decided, Replayed
from tierstream.replay.record import RecordedCall, RecordedDecision, RecordedRequest, RouteLine
from topics.requests import DataClass
from topics.tasks import Decision

NAMES = UUID("6a1f7e0e-0f4b-4d43-8d0b-1f5f2d2a9c12")
MODELS = {1: "groq/openai/gpt-oss-20b", 2: "openai/gpt-6-luna", 3: "anthropic/claude-opus-5-5"}
ASKED_MS = 1_790_000_000_000


def call(name, tier, *, purpose="infer", ref=None, error="", usd="0.001", tokens=(100, 50), in_batch=False):
    """A paid call of an attempt by name."""
    return RecordedCall(
        attempt=uuid5(NAMES, name),
        purpose=purpose,
        tier=tier,
        ref=ref or MODELS[tier],
        error=error,
        input=tokens[0],
        output=tokens[1],
        cached=0,
        cache_written=0,
        reasoning=0,
        cost_usd=Decimal(usd),
        provider_ms=3_000_000.0 if in_batch else 100.0,
        in_batch=in_batch,
    )


def line(name, tier, outcome="ok", *, stage=None, ref=None):
    """A line of a route."""
    return RouteLine(uuid5(NAMES, name), stage or f"infer:{tier}", tier, ref or MODELS[tier], "why", outcome)


def recorded(request_id, route, calls, *, tier=1, scores=(0.9, 0.08, 0.02), status="ok", rule=""):
    """A recorded request."""
    return RecordedRequest(
        request_id=request_id,
        partition=0,
        offset=0,
        asked_ms=ASKED_MS,
        settled_ms=ASKED_MS + 500,
        status=status,
        latency_ms=400.0,
        own_ms=50.0,
        feature="chat",
        query_type="faq",
        route=tuple(route),
        decision=RecordedDecision(tier, rule, "requests/1", scores, "", False),
        calls=list(calls),
    )


def decision(tier=1, *, ceiling=3, scores=(0.9, 0.08, 0.02), rule=None, classifier="requests/1", validate=False):
    """A decision about a request."""
    return Decision(
        tier=tier,
        rule=rule,
        scores=scores,
        boundary=(0.45, 0.55),
        classifier=classifier,
        query_type="faq",
        validate_answer=validate,
        floor=1,
        ceiling=ceiling,
    )


def replayed(record, *, again=None, then=None, models=(0, 0, 0), tokens=90):
    """A request that was decided again."""
    was = record.decision
    again = decision(was.tier, scores=was.scores) if again is None else again
    return Replayed(
        record=record,
        was=was,
        again=Decided(again),
        then=Decided(again if then is None else then),
        models=models,
        tokens=tokens,
        query_type="faq",
        data_class=DataClass.INTERNAL,
    )
