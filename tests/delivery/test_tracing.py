"""One trace of a request, from the producer's `traceparent` through each stage of two workers, at a real collector."""

import json
import secrets

import pytest
from aiokafka import AIOKafkaProducer
from support.otlp_collector import running_collector

from streams.kafka.topic_reader import TopicReader, partitions_of
from topics.registry import RESULTS

RULES = """
[[routing.rules]]
name = "contracts"
when = { feature = ["contracts"] }
tier = 1
validate_answer = true

[validation]
judge = { provider = "openai", model = "gpt-6-luna", timeout_s = 20 }
fallback = { provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 }

[breakers]
min_calls = 100000
"""
QUESTION, RIGHT, WRONG = "May the supplier end the contract without notice?", "No: clause 7 asks for 90 days.", "Yes."
REQUEST_ID = "tierstream.request_id"
WAY = ["classify", "infer:1", "validate", "escalate", "infer:2", "validate", "settle"]


@pytest.fixture
def deployment_options():
    return {"config": RULES}


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


async def send(deployment, request_id, traceparent):
    body = {
        "request_id": request_id,
        "messages": [{"role": "user", "content": QUESTION}],
        "feature": "contracts",
    }
    headers = [("traceparent", traceparent.encode())] if traceparent else []
    async with AIOKafkaProducer(bootstrap_servers=deployment.kafka.bootstrap_servers) as producer:
        topic = f"{deployment.kafka.prefix}requests"
        await producer.send_and_wait(topic, json.dumps(body).encode(), headers=headers)


async def spans_of(deployment, collector, trace_id, count):
    while len(collector.trace(trace_id)) < count:
        deployment.check()
        collector.arrived.clear()
        await collector.arrived.wait()
    return collector.trace(trace_id)


async def test_one_request_is_one_trace_through_all_stages(deployment, simulator, collector):
    # The second tier knows the answer, the first does not.
    script = {"prompt": QUESTION, "label": 2, "answer": RIGHT, "wrong": WRONG, "failure": "wrong"}
    simulator.script.add_lines(json.dumps(script), "test")
    environment = {
        "TIERSTREAM_OPERATIONS__TRACING": "otlp",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    await deployment.start_worker("classify", "infer:1", "validate", **environment)
    await deployment.start_worker("infer:2", "infer:3", "escalate", "parked", "settle", **environment)
    trace_id, asked = secrets.token_hex(16), secrets.token_hex(8)
    await send(deployment, "traced", f"00-{trace_id}-{asked}-01")
    result = (await deployment.results(["traced"]))["traced"]
    assert (result.content, result.tier) == (RIGHT, 2)

    spans = await spans_of(deployment, collector, trace_id, 11)
    assert {span.service for span in spans} == {"tierstream-worker"}
    by_id = {span.span_id: span for span in spans}
    steps = [span for span in spans if span.kind != "client"]
    way, at = [], asked
    while following := [span for span in steps if span.parent_id == at]:
        [step] = following
        way.append(step)
        at = step.span_id
    assert [step.attributes["tierstream.stage"] for step in way] == WAY
    assert [step.kind for step in way] == ["consumer"] * 6 + ["producer"]
    prefix = deployment.kafka.prefix
    assert [step.name for step in way] == [
        *(f"process {prefix}{topic}" for topic in ("requests", "tier1", "validation", "escalations", "tier2")),
        f"process {prefix}validation",
        f"send {prefix}results",
    ]
    assert {step.attributes["messaging.system"] for step in way} == {"kafka"}
    assert {step.attributes[REQUEST_ID] for step in way} == {"traced"}
    assert not any(span.is_error for span in spans)

    calls = [span for span in spans if span.kind == "client"]
    assert sorted(by_id[call.parent_id].attributes["tierstream.stage"] for call in calls) == [
        "infer:1",
        "infer:2",
        "validate",
        "validate",
    ]
    [answer] = [call for call in calls if by_id[call.parent_id].attributes["tierstream.stage"] == "infer:2"]
    ended = {str(end.call_id): end for end in (await deployment.journal()).ended.values()}
    journalled = ended[answer.attributes["tierstream.call_id"]]
    assert answer.name == f"chat {journalled.model}"
    told = {name: value for name, value in answer.attributes.items() if name.startswith("gen_ai.")}
    assert told == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": journalled.provider,
        "gen_ai.request.model": journalled.model,
        "gen_ai.request.max_tokens": told["gen_ai.request.max_tokens"],
        "gen_ai.response.model": journalled.model,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": journalled.usage.input,
        "gen_ai.usage.output_tokens": journalled.usage.output,
        "gen_ai.usage.cache_read.input_tokens": journalled.usage.cached,
        "gen_ai.usage.cache_creation.input_tokens": journalled.usage.cache_written,
    }
    for text in (QUESTION, RIGHT, WRONG):
        assert not any(text.encode() in body for body in collector.raw)
    assert await header_of_result(deployment) == f"00-{trace_id}-{way[-1].span_id}-01"

    # Who is not sampled stays so, and who has no trace begins one.
    unsampled = secrets.token_hex(16)
    await send(deployment, "unsampled", f"00-{unsampled}-{asked}-00")
    await send(deployment, "untraced", None)
    await deployment.results(["unsampled", "untraced"])
    while not (
        begun := [span for span in collector.spans if span.attributes.get("tierstream.request_id") == "untraced"]
    ):
        deployment.check()
        collector.arrived.clear()
        await collector.arrived.wait()
    await spans_of(deployment, collector, begun[0].trace_id, 11)
    assert collector.trace(unsampled) == []


async def header_of_result(deployment):
    reader = TopicReader(deployment.kafka)
    records = [record for tp in partitions_of(RESULTS, deployment.kafka) async for record in reader.read(tp)]
    [record] = records
    return dict(record.headers)["traceparent"].decode()


async def test_a_worker_without_tracing_passes_the_header_on_as_it_is(deployment, simulator):
    await deployment.start_worker()
    traceparent = f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
    await send(deployment, "plain", traceparent)
    await deployment.results(["plain"])
    assert await header_of_result(deployment) == traceparent
