"""The wire format of the records that others read and write, spelled out, so that it can't change by accident."""

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from streams.config.settings_sections import KafkaSettings
from topics.alerts import Alert
from topics.base import Record
from topics.budgets import AccountSum, BudgetSnapshot, BudgetSums, Claim, Payer, Release, Reservation, Spending
from topics.codec import decode, encode
from topics.control import (
    MODEL_MAX_BYTES,
    ActiveModel,
    BreakerOrder,
    BreakerState,
    BreakerStatus,
    ModelFile,
    ModelStatus,
    ModelStep,
    PartitionCount,
    version_of,
)
from topics.events import Chunk, DeadLetter, DeadLetterNote, Hop, Hops, Status, StatusEvent, StatusKind
from topics.feedback import Cancellation, Feedback, FeedbackKind
from topics.journal import CallEnded, CallError, CallStarted, Purpose, Rates, Usage
from topics.learned import (
    CanaryState,
    JudgeRate,
    JudgeRates,
    LabelCount,
    OnlinePolicyUpdate,
    Promotion,
    PromotionFigure,
    PromotionStep,
)
from topics.messages import (
    FunctionCall,
    FunctionTool,
    Message,
    NamedFunction,
    NamedTool,
    SchemaFormat,
    TextPart,
    Tool,
    ToolCall,
)
from topics.registry import all_topics
from topics.requests import Dimensions, Params, Request, RequestContext
from topics.results import Result, ResultError, ResultStatus, Settled
from topics.tasks import Attempt, Source

SPECS = {model: spec for spec in all_topics(3) for model in spec.records}
AT, LATER = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 12, 0, 1, 500, tzinfo=UTC)
AT_TEXT, LATER_TEXT = "2026-03-01T12:00:00Z", "2026-03-01T12:00:01.000500Z"
CALL = UUID("11111111-1111-4111-8111-111111111111")
ATTEMPT = UUID("dca8c1d7-23d1-527e-839e-1b10e9936607")
ATTEMPT_TEXT = "dca8c1d7-23d1-527e-839e-1b10e9936607"
SOURCE = Source(topic="llm.requests", partition=1, offset=2, timestamp_ms=3)
USAGE = Usage(input=10, output=5, cached=4, cache_written=3, reasoning=2)
USAGE_JSON = {"input": 10, "output": 5, "cached": 4, "cache_written": 3, "reasoning": 2, "source": "provider"}
ASKED_MS = 1_772_366_400_000
CALL_FIELDS = {
    "call_id": CALL,
    "attempt_id": ATTEMPT,
    "request_id": "r1",
    "revision": 0,
    "stage": "infer:1",
    "n": 0,
    "purpose": Purpose.INFER,
    "tier": 1,
    "provider": "groq",
    "model": "m",
    "started_at": AT,
    "asked_ms": ASKED_MS,
}
CALL_JSON = CALL_FIELDS | {
    "call_id": str(CALL),
    "attempt_id": ATTEMPT_TEXT,
    "purpose": "infer",
    "started_at": AT_TEXT,
}
JOURNAL_HEADERS = [("attempt-id", ATTEMPT.bytes), ("stage", b"infer:1"), ("asked-ms", ASKED_MS.to_bytes(8))]
DEFAULT_CONTEXT = {
    "user_role": None,
    "error_tolerance": "normal",
    "business_impact": "normal",
    "self_validating": False,
    "data_class": "internal",
}
NO_PARAMS = {"max_tokens": None, "temperature": None, "top_p": None, "stop": None, "seed": None}
SHORTEST_JSON = {
    "request_id": "r1",
    "messages": [{"role": "user", "content": "hi", "name": None}],
    "conversation_id": None,
    "user_id": None,
    "feature": None,
    "query_type": None,
    "params": NO_PARAMS,
    "response_schema": None,
    "context": DEFAULT_CONTEXT,
    "service_class": "standard",
    "timeout_ms": None,
    "deadline": None,
    "stream": False,
    "min_tier": None,
    "max_tier": None,
    "max_cost_usd": None,
    "tags": [],
}
TOOL_CALL = ToolCall(id="c1", function=FunctionCall(name="look", arguments="{}"))
TOOL_CALL_JSON = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
FULL = Request(
    request_id="r1",
    messages=(
        Message(role="system", content="be brief", name="n"),
        Message(role="user", content=(TextPart(type="text", text="hi"),)),
        Message(role="assistant", content=None, tool_calls=(TOOL_CALL,)),
        Message(role="tool", content="none", tool_call_id="c1", is_error=True),
    ),
    conversation_id="c",
    user_id="u",
    feature="f",
    query_type="q",
    params=Params(
        max_tokens=1,
        temperature=0.5,
        top_p=0.9,
        stop=("x",),
        seed=7,
        reasoning_effort="low",
        service_tier="flex",
        logprobs=True,
        top_logprobs=2,
        n=1,
    ),
    response_schema=None,
    response_format=SchemaFormat(
        type="json_schema", json_schema={"name": "a", "schema": {"type": "object"}, "strict": True}
    ),
    tools=(Tool(type="function", function=FunctionTool(name="look", description="Looks.", parameters={})),),
    tool_choice=NamedTool(type="function", function=NamedFunction(name="look")),
    parallel_tool_calls=False,
    model="groq/m",
    context=RequestContext(
        user_role="ceo",
        error_tolerance="low",
        business_impact="critical",
        self_validating=True,
        data_class="restricted",
    ),
    service_class="bulk",
    timeout_ms=1000,
    deadline=AT,
    stream=True,
    progress=True,
    final_once_shown=True,
    min_tier=1,
    max_tier=2,
    max_cost_usd=Decimal("0.10"),
    tags=("a",),
)
FULL_JSON = {
    "request_id": "r1",
    "messages": [
        {"role": "system", "content": "be brief", "name": "n"},
        {"role": "user", "content": [{"type": "text", "text": "hi"}], "name": None},
        {"role": "assistant", "content": None, "name": None, "tool_calls": [TOOL_CALL_JSON]},
        {"role": "tool", "content": "none", "name": None, "tool_call_id": "c1", "is_error": True},
    ],
    "conversation_id": "c",
    "user_id": "u",
    "feature": "f",
    "query_type": "q",
    "params": {
        "max_tokens": 1,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["x"],
        "seed": 7,
        "reasoning_effort": "low",
        "service_tier": "flex",
        "logprobs": True,
        "top_logprobs": 2,
        "n": 1,
    },
    "response_schema": None,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
    },
    "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {}}}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "parallel_tool_calls": False,
    "model": "groq/m",
    "context": {
        "user_role": "ceo",
        "error_tolerance": "low",
        "business_impact": "critical",
        "self_validating": True,
        "data_class": "restricted",
    },
    "service_class": "bulk",
    "timeout_ms": 1000,
    "deadline": AT_TEXT,
    "stream": True,
    "progress": True,
    "final_once_shown": True,
    "min_tier": 1,
    "max_tier": 2,
    "max_cost_usd": "0.10",
    "tags": ["a"],
}
ROUTE = Attempt(
    attempt_id=ATTEMPT,
    stage="infer:1",
    tier=1,
    provider="groq",
    model="m",
    why="rule x",
    outcome="ok",
    cost_usd=Decimal("0.000012"),
    provider_ms=200.5,
)
ROUTE_JSON = {
    "attempt_id": ATTEMPT_TEXT,
    "stage": "infer:1",
    "tier": 1,
    "provider": "groq",
    "model": "m",
    "why": "rule x",
    "outcome": "ok",
    "cost_usd": "0.000012",
    "provider_ms": 200.5,
}
SOURCE_JSON = {"topic": "llm.requests", "partition": 1, "offset": 2, "timestamp_ms": 3}
ANSWERED = Result(
    request_id="r1",
    status=ResultStatus.OK,
    attempt_id=ATTEMPT,
    content="4",
    tier=1,
    provider="groq",
    model="m",
    finish_reason="stop",
    usage=USAGE,
    cost_usd=Decimal("0.000012"),
    provider_ms=200.5,
    route=(ROUTE,),
    source=SOURCE,
    tags=("a",),
    user_id="u",
    feature="f",
    query_type="faq",
    service_class="standard",
    signature="00000000000000ff",
    prefix="0123456789abcdef",
    prefix_tokens=7,
    latency_ms=210.0,
    settled_at=AT,
)
ANSWERED_JSON = {
    "request_id": "r1",
    "revision": 0,
    "status": "ok",
    "attempt_id": ATTEMPT_TEXT,
    "content": "4",
    "error": None,
    "reason": None,
    "said": None,
    "tier": 1,
    "provider": "groq",
    "model": "m",
    "finish_reason": "stop",
    "usage": USAGE_JSON,
    "cost_usd": "0.000012",
    "provider_ms": 200.5,
    "route": [ROUTE_JSON],
    "source": SOURCE_JSON,
    "tags": ["a"],
    "user_id": "u",
    "feature": "f",
    "query_type": "faq",
    "service_class": "standard",
    "signature": "00000000000000ff",
    "prefix": "0123456789abcdef",
    "prefix_tokens": 7,
    "latency_ms": 210.0,
    "settled_at": AT_TEXT,
}
REJECTED = Result(
    request_id="r1",
    status=ResultStatus.REJECTED,
    error=ResultError(code="invalid", message="messages: missing"),
    cost_usd=Decimal(0),
    source=SOURCE,
    latency_ms=1.0,
    settled_at=AT,
)
_NOTHING = (
    "attempt_id",
    "content",
    "tier",
    "provider",
    "model",
    "finish_reason",
    "usage",
    "signature",
    "prefix",
    *Dimensions.model_fields,
)
REJECTED_JSON = (
    ANSWERED_JSON
    | dict.fromkeys(_NOTHING)
    | {
        "status": "rejected",
        "error": {"code": "invalid", "message": "messages: missing"},
        "cost_usd": "0",
        "provider_ms": 0.0,
        "route": [],
        "tags": [],
        "prefix_tokens": 0,
        "latency_ms": 1.0,
    }
)
STATUS = Status(
    request_id="r1",
    events=(StatusEvent(kind=StatusKind.ACCEPTED, at=AT, tier=1, detail="d", unknown_fields=("min_teir",)),),
)
STATUS_JSON = {
    "request_id": "r1",
    "revision": 0,
    "events": [
        {
            "kind": "accepted",
            "at": AT_TEXT,
            "tier": 1,
            "provider": None,
            "model": None,
            "detail": "d",
            "unknown_fields": ["min_teir"],
        }
    ],
}
CHUNK = Chunk(request_id="r1", attempt_id=ATTEMPT, call_id=CALL, seq=7, kind="text", text="so", at=AT)
CHUNK_JSON = {
    "request_id": "r1",
    "revision": 0,
    "attempt_id": ATTEMPT_TEXT,
    "call_id": str(CALL),
    "seq": 7,
    "kind": "text",
    "text": "so",
    "at": AT_TEXT,
}
STARTED = CallStarted(**CALL_FIELDS, deadline=LATER)
ENDED = CallEnded(
    **CALL_FIELDS,
    ended_at=LATER,
    content="4",
    finish_reason="stop",
    usage=USAGE,
    rates=Rates(
        input=Decimal("0.075"),
        output=Decimal("0.30"),
        cached=Decimal("0.0375"),
        cache_write=Decimal("0.09"),
        source="config",
    ),
    cost_usd=Decimal("0.000012"),
    shares=2,
    first_token_ms=80.5,
    batch_size=3,
    batch_wait_ms=12.5,
)
ENDED_JSON = CALL_JSON | {
    "ended_at": LATER_TEXT,
    "content": "4",
    "finish_reason": "stop",
    "error": None,
    "usage": USAGE_JSON,
    "rates": {"input": "0.075", "output": "0.30", "cached": "0.0375", "cache_write": "0.09", "source": "config"},
    "cost_usd": "0.000012",
    "shares": 2,
    "first_token_ms": 80.5,
    "batch_size": 3,
    "batch_wait_ms": 12.5,
}
BROKE = CallEnded(**CALL_FIELDS, ended_at=LATER, error=CallError(kind="rate_limited", message="m", status=429))
BROKE_JSON = (
    ENDED_JSON
    | dict.fromkeys(("content", "finish_reason", "usage", "rates", "first_token_ms"))
    | {
        "error": {"kind": "rate_limited", "message": "m", "status": 429, "retry_after_ms": None},
        "cost_usd": "0",
        "shares": 1,
        "batch_size": 1,
        "batch_wait_ms": 0.0,
    }
)
HOPS = Hops(
    request_id="r1",
    hops=(Hop(stage="infer:1", started_at=AT, ended_at=LATER, queue_ms=1.5, outcome="ok", cost_usd=Decimal("0.1")),),
)
HOPS_JSON = {
    "request_id": "r1",
    "revision": 0,
    "hops": [
        {
            "stage": "infer:1",
            "started_at": AT_TEXT,
            "ended_at": LATER_TEXT,
            "queue_ms": 1.5,
            "outcome": "ok",
            "tier": None,
            "attempt_id": None,
            "provider": None,
            "model": None,
            "provider_ms": 0.0,
            "cost_usd": "0.1",
            "batch_size": None,
            "batch_wait_ms": None,
            "shares": None,
            "rule": None,
            "classifier": None,
            "scores": [],
            "detail": None,
        }
    ],
}
LETTER_JSON = {
    "stage": "classify",
    "reason": "not_json",
    "message": "m",
    "topic": "llm.requests",
    "partition": 1,
    "offset": 2,
    "timestamp_ms": 3,
    "request_id": None,
    "key": "aw==",
    "headers": [["h", "AP8="], ["none", None]],
    "value": "ew==",
    "size": 1,
    "sha256": "00",
    "truncated": False,
    "traceback": None,
    "retries": 0,
    "at": AT_TEXT,
}
LETTER = DeadLetter.model_validate(LETTER_JSON)
NOTE = DeadLetterNote(letter_partition=1, letter_offset=2, letter_key="r1", action="retried", at=AT, by="me")
NOTE_JSON = {
    "letter_partition": 1,
    "letter_offset": 2,
    "letter_key": "r1",
    "action": "retried",
    "at": AT_TEXT,
    "by": "me",
    "request_id": None,
    "revision": None,
}
BREAKER = BreakerStatus(
    worker="host:17",
    target="groq/m",
    state=BreakerState.OPEN,
    reason="5 of 8 calls failed",
    since=AT,
    until=LATER,
    calls=8,
    failures=5,
    slow=1,
    at=LATER,
)
BREAKER_JSON = {
    "worker": "host:17",
    "target": "groq/m",
    "state": "open",
    "forced": False,
    "reason": "5 of 8 calls failed",
    "since": AT_TEXT,
    "until": LATER_TEXT,
    "calls": 8,
    "failures": 5,
    "slow": 1,
    "at": LATER_TEXT,
}
ORDER = BreakerOrder(target="tier:2", order="open", by="ann", at=AT)
ORDER_JSON = {"target": "tier:2", "order": "open", "by": "ann", "at": AT_TEXT}
MODEL_VERSION = version_of(b"a model")
MODEL = ModelFile(
    version=MODEL_VERSION, file="YSBtb2RlbA==", classifier="745284b7", outcomes=300, note="March", by="ann", at=AT
)
MODEL_JSON = {
    "version": "97ff8a35544d",
    "file": "YSBtb2RlbA==",
    "classifier": "745284b7",
    "outcomes": 300,
    "note": "March",
    "by": "ann",
    "at": AT_TEXT,
}
ACTIVE = ActiveModel(
    version=MODEL_VERSION,
    delay_ms=5000,
    before=(ModelStep(version="configured", effective_at=AT),),
    by="ann",
    at=LATER,
)
ACTIVE_JSON = {
    "version": "97ff8a35544d",
    "delay_ms": 5000,
    "before": [{"version": "configured", "effective_at": AT_TEXT}],
    "by": "ann",
    "at": LATER_TEXT,
}
MODEL_STATUS = ModelStatus(
    worker="host:17", version="shipped", ordered_at=AT, state="loaded", detail="requests/1:745284b7", at=LATER
)
MODEL_STATUS_JSON = {
    "worker": "host:17",
    "version": "shipped",
    "ordered_at": AT_TEXT,
    "state": "loaded",
    "detail": "requests/1:745284b7",
    "at": LATER_TEXT,
}
JUDGE_RATES = JudgeRates(
    others=0.05,
    reason="settings",
    cells=(JudgeRate(tier=1, model="groq/m", query_type="code", rate=0.2, reason="12 of 60 failed"),),
    at=AT,
)
JUDGE_RATES_JSON = {
    "others": 0.05,
    "reason": "settings",
    "cells": [{"tier": 1, "model": "groq/m", "query_type": "code", "rate": 0.2, "reason": "12 of 60 failed"}],
    "at": AT_TEXT,
}
CANARY = CanaryState(
    name="next",
    model="groq/n",
    state="stopped",
    reason="it fails more often",
    candidate_requests=200,
    candidate_failures=40,
    incumbent_requests=1800,
    incumbent_failures=90,
    by="learn",
    at=AT,
)
CANARY_JSON = {
    "name": "next",
    "model": "groq/n",
    "state": "stopped",
    "reason": "it fails more often",
    "candidate_requests": 200,
    "candidate_failures": 40,
    "incumbent_requests": 1800,
    "incumbent_failures": 90,
    "by": "learn",
    "at": AT_TEXT,
}
ONLINE_POLICY = OnlinePolicyUpdate(version=7, policy=base64.b64encode(b"a policy"), delay_ms=3000, at=AT)
PROMOTION = Promotion(
    version="97ff8a35544d",
    classifier="requests/1:745284b7",
    before="configured",
    before_classifier="requests/1:0c131859",
    period_since=AT,
    period_until=LATER,
    labels=(LabelCount(source="judge", labels=120, left_out=3),),
    trained_on=90,
    held_back=25,
    missing=5,
    moved=9,
    untested=4,
    figures=(PromotionFigure(name="usd", candidate=1.5, active=2.0, low=-0.75, high=-0.25),),
    steps=(PromotionStep(state="proposed", by="learn", reason="it is better", at=LATER),),
)
PROMOTION_JSON = {
    "version": "97ff8a35544d",
    "classifier": "requests/1:745284b7",
    "before": "configured",
    "before_classifier": "requests/1:0c131859",
    "period_since": AT_TEXT,
    "period_until": LATER_TEXT,
    "labels": [{"source": "judge", "labels": 120, "left_out": 3}],
    "trained_on": 90,
    "held_back": 25,
    "missing": 5,
    "moved": 9,
    "untested": 4,
    "figures": [{"name": "usd", "candidate": 1.5, "active": 2.0, "low": -0.75, "high": -0.25}],
    "steps": [{"state": "proposed", "by": "learn", "reason": "it is better", "at": LATER_TEXT}],
}
ONLINE_POLICY_JSON = {"version": 7, "policy": "YSBwb2xpY3k=", "delay_ms": 3000, "at": AT_TEXT}
FEEDBACK = Feedback(
    request_id="r1",
    revision=1,
    kind=FeedbackKind.HUMAN_CORRECTED,
    user_id="ann",
    comment="not quite",
    correction="It is 4.",
    retry=False,
)
FEEDBACK_JSON = {
    "request_id": "r1",
    "revision": 1,
    "kind": "human_corrected",
    "rating": None,
    "user_id": "ann",
    "comment": "not quite",
    "correction": "It is 4.",
    "retry": False,
}
RATED = Feedback(request_id="r1", kind=FeedbackKind.RATING, rating=2)
RATED_JSON = dict.fromkeys(FEEDBACK_JSON) | {"request_id": "r1", "revision": 0, "kind": "rating", "rating": 2}

PAYER = Payer(user_id="ann", feature="help", tags=("nightly",))
PAYER_JSON = {"user_id": "ann", "feature": "help", "tags": ["nightly"]}
RESERVATION = Reservation(
    call_id=CALL,
    attempt_id=ATTEMPT,
    request_id="r1",
    payer=PAYER,
    budgets=("users",),
    most_usd=Decimal("0.0104"),
    waits_until=AT,
    expires_at=LATER,
)
RESERVATION_JSON = {
    "call_id": str(CALL),
    "attempt_id": ATTEMPT_TEXT,
    "request_id": "r1",
    "payer": PAYER_JSON,
    "budgets": ["users"],
    "most_usd": "0.0104",
    "waits_until": AT_TEXT,
    "expires_at": LATER_TEXT,
}
SPENDING = Spending(call_id=CALL, request_id="r1", revision=0, payer=PAYER, cost_usd=Decimal("0.002"), ended_at=LATER)
SPENDING_JSON = {
    "call_id": str(CALL),
    "request_id": "r1",
    "revision": 0,
    "payer": PAYER_JSON,
    "cost_usd": "0.002",
    "ended_at": LATER_TEXT,
}
RELEASE = Release(call_id=CALL, request_id="r1")
RELEASE_JSON = {"call_id": str(CALL), "request_id": "r1"}
SNAPSHOT = BudgetSnapshot(
    offset=7,
    at_ms=ASKED_MS,
    part=0,
    parts=1,
    by="host:17",
    budgets=(
        BudgetSums(
            name="users",
            by="user",
            value=None,
            window_ms=3_600_000,
            since=AT,
            accounts=(AccountSum(key="ann", sums=((700, Decimal("0.002")),), told=1),),
        ),
    ),
    claims=(Claim(reservation=RESERVATION, granted=True),),
)
SNAPSHOT_JSON = {
    "offset": 7,
    "at_ms": ASKED_MS,
    "part": 0,
    "parts": 1,
    "by": "host:17",
    "budgets": [
        {
            "name": "users",
            "by": "user",
            "value": None,
            "window_ms": 3_600_000,
            "since": AT_TEXT,
            "accounts": [{"key": "ann", "sums": [[700, "0.002"]], "told": 1}],
        }
    ],
    "claims": [{"reservation": RESERVATION_JSON, "granted": True}],
}
ALERT = Alert(
    id=CALL,
    kind="budget_soft",
    title="budget users of user:ann is used up by 80%",
    text="$0.80 of $1.00 were spent in 1h.",
    usd=Decimal("0.8"),
    at=AT,
    budget="users",
    key="user:ann",
    spent_usd=Decimal("0.8"),
    limit_usd=Decimal(1),
    window="1h",
    evidence=("r1",),
)
ALERT_JSON = {
    "id": str(CALL),
    "kind": "budget_soft",
    "title": "budget users of user:ann is used up by 80%",
    "text": "$0.80 of $1.00 were spent in 1h.",
    "usd": "0.8",
    "at": AT_TEXT,
    "budget": "users",
    "key": "user:ann",
    "spent_usd": "0.8",
    "limit_usd": "1",
    "window": "1h",
    "evidence": ["r1"],
}

GOLDEN: list[tuple[str, Record, bytes, list[tuple[str, bytes]], dict[str, object]]] = [
    ("request/1", Request(request_id="r1", messages=(Message(role="user", content="hi"),)), b"r1", [], SHORTEST_JSON),
    ("request/1", FULL, b"r1", [], FULL_JSON),
    ("status/1", STATUS, b"r1", [], STATUS_JSON),
    ("chunk/1", CHUNK, b"r1", [], CHUNK_JSON),
    ("call-started/1", STARTED, b"r1", JOURNAL_HEADERS, CALL_JSON | {"deadline": LATER_TEXT}),
    ("call-ended/1", ENDED, b"r1", JOURNAL_HEADERS, ENDED_JSON),
    ("call-ended/1", BROKE, b"r1", JOURNAL_HEADERS, BROKE_JSON),
    ("result/1", ANSWERED, b"r1", [], ANSWERED_JSON),
    ("result/1", REJECTED, b"r1", [], REJECTED_JSON),
    (
        "settled/1",
        Settled(request_id="r1", revision=0, digest="d", asked_ms=ASKED_MS, outcome_offset=7),
        b"r1",
        [],
        {"request_id": "r1", "revision": 0, "digest": "d", "asked_ms": ASKED_MS, "outcome_offset": 7},
    ),
    ("feedback/1", FEEDBACK, b"r1", [], FEEDBACK_JSON),
    ("feedback/1", RATED, b"r1", [], RATED_JSON),
    ("cancellation/1", Cancellation(request_id="r1"), b"r1", [], {"request_id": "r1", "revision": 0}),
    ("hops/1", HOPS, b"r1", [], HOPS_JSON),
    ("dead-letter/1", LETTER, b"llm.requests:1:2", [], LETTER_JSON),
    ("dead-letter-note/1", NOTE, b"r1", [], NOTE_JSON),
    ("partition-count/1", PartitionCount(partitions=6), b"partitions", [], {"setting": "partitions", "partitions": 6}),
    ("breaker/1", BREAKER, b"breaker:host:17:groq/m", [], BREAKER_JSON),
    ("breaker-order/1", ORDER, b"breaker-order:tier:2", [], ORDER_JSON),
    ("model/1", MODEL, b"model:97ff8a35544d", [], MODEL_JSON),
    ("active-model/1", ACTIVE, b"active-model", [], ACTIVE_JSON),
    ("model-status/1", MODEL_STATUS, b"model-status:host:17", [], MODEL_STATUS_JSON),
    ("judge-rates/1", JUDGE_RATES, b"judge-rates", [], JUDGE_RATES_JSON),
    ("canary/1", CANARY, b"canary:next", [], CANARY_JSON),
    ("online-policy/1", ONLINE_POLICY, b"online-policy:7", [], ONLINE_POLICY_JSON),
    ("reservation/1", RESERVATION, b"budgets", [], RESERVATION_JSON),
    ("spending/1", SPENDING, b"budgets", [], SPENDING_JSON),
    ("release/1", RELEASE, b"budgets", [], RELEASE_JSON),
    ("budget-snapshot/1", SNAPSHOT, b"budgets", [], SNAPSHOT_JSON),
    ("alert/1", ALERT, str(CALL).encode(), [], ALERT_JSON),
    ("promotion/1", PROMOTION, b"promotion:97ff8a35544d", [], PROMOTION_JSON),
]


@pytest.mark.parametrize(("schema", "record", "key", "headers", "expected"), GOLDEN)
def test_a_record_looks_like_this(schema, record, key, headers, expected):
    encoded = encode(record)
    name = type(record).__name__
    assert json.loads(encoded.value) == expected, (
        f"tests/contract/test_records_wire.py: {name} and its JSON there differ"
    )
    assert encoded.headers == [("schema", schema.encode()), *headers]
    assert encoded.key == key
    assert decode(SPECS[type(record)], json.dumps(expected).encode(), encoded.headers).record == record


def test_every_public_record_is_here():
    public = {model.SCHEMA for spec in all_topics(3) if spec.public for model in spec.records}
    assert public <= {schema for schema, *_ in GOLDEN}


@pytest.mark.parametrize("record", [FULL, FULL.params, FULL.context, ANSWERED])
def test_every_field_that_a_producer_sets_or_finds_again_has_a_value_here(record):
    wanted = (Dimensions if record is ANSWERED else type(record)).model_fields.keys()
    missing = wanted - record.model_fields_set
    name = "ANSWERED" if record is ANSWERED else "FULL"
    assert not missing, f"tests/contract/test_records_wire.py: {name} and {name}_JSON have no value of {missing}"


def test_the_digest_of_a_request_is_the_same_in_every_version():
    """Another one would make a resend across an upgrade look like another request under the same id."""
    digest = Request(request_id="r1", messages=(Message(role="user", content="hi"),)).digest()
    assert digest == "4ffeaaa0e4d0d9268d612156a135b731c4546500094f705992b9974bcece71b1", (
        "topics/requests.py: a field that is not given changes the digest. Declare it with WHERE_GIVEN: "
        "Annotated[..., WHERE_GIVEN] | None = None"
    )


def test_the_largest_model_fits_into_a_record():
    file = bytes(MODEL_MAX_BYTES)
    record = MODEL.model_copy(update={"file": file, "note": "n" * 256, "by": "b" * 256, "classifier": "c" * 256})
    assert len(encode(record).value) + 4096 < KafkaSettings().record_max_bytes
    assert not record.is_intact
    assert MODEL.is_intact
