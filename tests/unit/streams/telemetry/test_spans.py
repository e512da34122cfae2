"""Spans as an exporter in memory gets them: who is below whom, and what is in them."""

import asyncio

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from support.handler_runs import new
from support.in_memory import SETTINGS, FakeProvider, new_request, new_task, provider_error

from agents.classify import classify
from agents.infer import infer
from streams.providers.base import ErrorKind
from streams.telemetry import Telemetry
from streams.telemetry.tracing import Tracing

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE_ID}-{SPAN_ID}-01".encode()
PLACE = ("llm.tier1", 2, 41)


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


def new_tracing(exporter, **options):
    provider = TracerProvider(**options)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)


@pytest.fixture
def tracing(exporter):
    return new_tracing(exporter)


def test_a_step_is_below_its_producer_and_passes_itself_on(tracing, exporter):
    with tracing.processing("infer:1", *PLACE, group="llm.infer-1", parent=PARENT) as step:
        step.note_request("r1")
        passed_on = step.traceparent
    [span] = exporter.get_finished_spans()
    assert (span.kind, span.name) == (SpanKind.CONSUMER, "process llm.tier1")
    assert f"{span.parent.span_id:016x}" == SPAN_ID
    assert passed_on == f"00-{TRACE_ID}-{span.context.span_id:016x}-01".encode()
    assert dict(span.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "llm.tier1",
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 41,
        "messaging.consumer.group.name": "llm.infer-1",
        "tierstream.stage": "infer:1",
        "tierstream.request_id": "r1",
    }


@pytest.mark.parametrize(
    "header", [None, b"", b"\xff\x00", b"00-zz-yy-01", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"]
)
def test_a_header_that_is_no_context_begins_a_trace(tracing, exporter, header):
    with tracing.processing("classify", *PLACE, group="g", parent=header):
        pass
    [span] = exporter.get_finished_spans()
    assert span.parent is None


def test_the_producer_decides_what_is_sampled(exporter):
    tracing = new_tracing(exporter, sampler=ParentBased(ALWAYS_OFF))
    with tracing.processing("classify", *PLACE, group="g", parent=PARENT.replace(b"-01", b"-00")) as step:
        passed_on = step.traceparent
    assert exporter.get_finished_spans() == ()
    assert passed_on.startswith(f"00-{TRACE_ID}-".encode())
    assert passed_on.endswith(b"-00")
    with tracing.processing("classify", *PLACE, group="g", parent=PARENT):
        pass
    assert len(exporter.get_finished_spans()) == 1


def test_what_an_exception_says_is_in_no_span(tracing, exporter):
    with pytest.raises(RuntimeError), tracing.processing("infer:1", *PLACE, group="g", parent=PARENT):
        raise RuntimeError("the prompt was: secret")
    [span] = exporter.get_finished_spans()
    assert span.attributes["error.type"] == "RuntimeError"
    assert span.status.status_code is StatusCode.ERROR
    assert span.events == ()
    assert "secret" not in span.to_json()


async def test_each_call_of_a_chain_is_a_client_span_below_the_step(tracing, exporter):
    bench = new(fast=FakeProvider(provider_error(ErrorKind.OVERLOADED, status=503)), spare=FakeProvider("the answer"))
    bench.engine.caller._telemetry = Telemetry(tracing=tracing)
    with tracing.processing("infer:1", *PLACE, group="g", parent=PARENT):
        await infer.handler(new_task(new_request("the question")), bench.context("infer:1"))
    failed, answered, step = exporter.get_finished_spans()
    assert {failed.parent.span_id, answered.parent.span_id} == {step.context.span_id}
    assert {failed.kind, answered.kind} == {SpanKind.CLIENT}
    assert (failed.name, failed.attributes["error.type"]) == ("chat a", "overloaded")
    assert failed.status.status_code is StatusCode.ERROR
    assert answered.name == "chat b"
    assert answered.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert answered.attributes["gen_ai.usage.input_tokens"] == 1000
    for span in (failed, answered, step):
        assert "the question" not in span.to_json()
        assert "the answer" not in span.to_json()


async def test_a_vote_on_several_requests_is_below_the_first_and_has_links_to_the_others(tracing, exporter):
    routing = {"frontier": "trusted/d", "classifier": "llm", "llm": {"batch_wait_ms": 20, "budget_ms": 60_000}}
    votes = '{"tiers": [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]}'
    bench = new({**SETTINGS, "routing": routing}, fast=FakeProvider(votes))
    bench.engine.caller._telemetry = Telemetry(tracing=tracing)
    asked = bench.votes(bench.vote_journal())

    async def route(request_id):
        with tracing.processing("classify", *PLACE, group="g", parent=None):
            context = bench.context("classify", request_id, votes=asked)
            await classify.handler(new_request(f"What is {request_id}?", request_id), context)

    await asyncio.gather(route("r1"), route("r2"))
    [call] = [span for span in exporter.get_finished_spans() if span.kind is SpanKind.CLIENT]
    steps = {span.context.span_id for span in exporter.get_finished_spans() if span.kind is SpanKind.CONSUMER}
    assert {call.parent.span_id, *(link.context.span_id for link in call.links)} == steps
    assert len(steps) == 2
