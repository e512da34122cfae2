"""What is counted of paid calls, by what the journal says of them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from prometheus_client import CollectorRegistry
from support.handler_runs import new
from support.in_memory import BASE, CALL_COST, FakeProvider, new_request, new_task, provider_error

from agents.infer import infer
from streams.providers.base import ErrorKind
from streams.telemetry import Telemetry
from streams.telemetry.worker_metrics import WorkerMetrics
from topics.journal import CallEnded, CallError, Purpose, Usage

CALL = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "fast",
    "gen_ai_request_model": "a",
    "stage": "infer:1",
}


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def metrics(registry):
    return WorkerMetrics(registry)


def ended(**fields):
    defaults = {
        "call_id": "dca8c1d7-23d1-527e-839e-1b10e9936607",
        "attempt_id": "dca8c1d7-23d1-527e-839e-1b10e9936608",
        "request_id": "r1",
        "revision": 0,
        "stage": "infer:1",
        "n": 0,
        "purpose": Purpose.INFER,
        "tier": 1,
        "provider": "fast",
        "model": "a",
        "started_at": BASE,
        "ended_at": BASE + timedelta(seconds=0.5),
        "usage": Usage(input=100, output=10),
        "cost_usd": Decimal("0.25"),
    }
    return CallEnded(**defaults | fields)


def test_a_call_of_a_batch_of_the_provider_costs_and_takes_no_time(metrics, registry):
    metrics.call_ended([ended(provider_batch="batch_1")], has_left=True)
    value = registry.get_sample_value
    assert value("gen_ai_client_operation_duration_seconds_count", {**CALL, "error_type": ""}) is None
    cost = {"provider": "fast", "model": "a", "stage": "infer:1"}
    assert value("tierstream_cost_usd_total", cost) == 0.25


def test_a_shared_call_is_one_call_with_the_tokens_and_the_cost_of_all(metrics, registry):
    metrics.call_ended([ended(), ended(usage=Usage(input=50, output=5))], has_left=True)
    value = registry.get_sample_value
    duration = "gen_ai_client_operation_duration_seconds"
    assert value(f"{duration}_count", {**CALL, "error_type": ""}) == 1
    assert value(f"{duration}_sum", {**CALL, "error_type": ""}) == 0.5
    assert value("gen_ai_client_token_usage_sum", {**CALL, "gen_ai_token_type": "input"}) == 150
    assert value("gen_ai_client_token_usage_count", {**CALL, "gen_ai_token_type": "output"}) == 1
    assert value("tierstream_cost_usd_total", {"provider": "fast", "model": "a", "stage": "infer:1"}) == 0.5


def test_a_call_that_failed_has_its_kind_and_one_that_never_left_has_no_duration(metrics, registry):
    error = CallError(kind="overloaded", message="a text that no label has")
    metrics.call_ended([ended(error=error, usage=None, cost_usd=0)], has_left=True)
    metrics.call_ended([ended(error=CallError(kind="timeout", message=""), usage=None, cost_usd=0)], has_left=False)
    counts = {
        sample.labels["error_type"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "gen_ai_client_operation_duration_seconds_count"
    }
    assert counts == {"overloaded": 1}
    assert registry.get_sample_value("tierstream_cost_usd_total", {}) is None


def test_the_first_text_of_a_streamed_call(metrics, registry):
    metrics.call_ended([ended(first_token_ms=120.0)], has_left=True)
    name = "gen_ai_client_operation_time_to_first_chunk_seconds"
    assert registry.get_sample_value(f"{name}_sum", CALL) == pytest.approx(0.12)


async def test_each_call_of_a_chain_is_counted_as_it_is_journalled(metrics, registry):
    bench = new(fast=FakeProvider(provider_error(ErrorKind.OVERLOADED, status=503)))
    bench.engine.caller._telemetry = Telemetry(metrics)
    task = new_task(new_request())
    await infer.handler(task, bench.context("infer:1"))
    value = registry.get_sample_value
    duration = "gen_ai_client_operation_duration_seconds_count"
    spare = {**CALL, "gen_ai_provider_name": "spare", "gen_ai_request_model": "b"}
    assert value(duration, {**CALL, "error_type": "overloaded"}) == 1
    assert value(duration, {**spare, "error_type": ""}) == 1
    costs = sum(end.cost_usd for end in bench.published(CallEnded))
    assert costs == CALL_COST
    labels = {"provider": "spare", "model": "b", "stage": "infer:1"}
    assert value("tierstream_cost_usd_total", labels) == pytest.approx(float(costs))
