"""The AsyncAPI document holds together, and the JSON Schemas accept what is really written."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator

from topics.asyncapi import asyncapi_document, described_topics, json_schemas
from topics.codec import encode
from topics.events import DeadLetter
from topics.registry import all_topics
from topics.results import Result, ResultStatus
from topics.tasks import Source


def document(*, internal=False):
    return asyncapi_document(
        described_topics(3, internal=internal),
        prefix="llm.",
        version="1.2.3",
        topic_configs={"requests": {"retention.ms": "1000", "cleanup.policy": "delete"}},
    )


def references(value) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(root, reference):
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


@pytest.mark.parametrize("internal", [False, True])
def test_every_reference_leads_somewhere_and_nothing_is_left_over(internal):
    described = document(internal=internal)
    used = set(references(described))
    for reference in used:
        assert isinstance(resolve(described, reference), dict)
    assert {f"#/components/messages/{name}" for name in described["components"]["messages"]} <= used
    assert {f"#/components/schemas/{name}" for name in described["components"]["schemas"]} <= used


@pytest.mark.parametrize("internal", [False, True])
def test_the_structure_is_asyncapi_3(internal):
    described = document(internal=internal)
    assert described["asyncapi"] == "3.0.0"
    assert described["info"]["title"] == "tierstream"
    assert described["info"]["version"] == "1.2.3"
    assert set(described) == {"asyncapi", "info", "defaultContentType", "channels", "operations", "components"}
    for name, channel in described["channels"].items():
        assert channel["address"] == f"llm.{name}" == channel["bindings"]["kafka"]["topic"]
        assert channel["messages"]
    for operation in described["operations"].values():
        channel = resolve(described, operation["channel"]["$ref"])
        # The specification wants messages of operations to point into the channel, not into the components.
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
            assert resolve(described, message["$ref"]) in channel["messages"].values()
    for message in described["components"]["messages"].values():
        assert message["payload"]["$ref"].startswith("#/components/schemas/")
        assert message["headers"]["properties"]["schema"]["const"] == message["name"]
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_it_receives_requests_and_feedback_and_sends_the_rest():
    received = [name for name, operation in document()["operations"].items() if operation["action"] == "receive"]
    outside = [f"receive-{spec.name}" for spec in all_topics(3) if spec.from_outside]
    assert received == outside == ["receive-requests", "receive-feedback"]


def test_internal_topics_are_described_only_on_request():
    specs = list(all_topics(3))
    assert set(document()["channels"]) == {spec.name for spec in specs if spec.public} >= {"requests", "results"}
    assert set(document(internal=True)["channels"]) == {spec.name for spec in specs} >= {"tier3", "outcomes"}


def test_the_brokers_settings_are_numbers():
    configuration = document()["channels"]["requests"]["bindings"]["kafka"]["topicConfiguration"]
    assert configuration == {"cleanup.policy": ["delete"], "retention.ms": 1000}


def test_the_documents_example_is_a_request():
    example = document()["components"]["messages"]["Request"]["examples"][0]["payload"]
    schema = json_schemas(described_topics(2))["request"]
    Draft202012Validator(schema).validate(example)
    assert schema["required"] == ["request_id", "messages"]


def test_the_schemas_accept_what_is_written():
    now = datetime.now(UTC)
    result = Result(
        request_id="r-1",
        status=ResultStatus.OK,
        content="4",
        cost_usd=Decimal("0.000012"),
        source=Source(topic="llm.requests", partition=0, offset=1, timestamp_ms=1),
        latency_ms=12.5,
        settled_at=now,
    )
    letter = DeadLetter.model_construct(
        stage="classify",
        reason="not_json",
        message="no",
        topic="llm.requests",
        partition=0,
        offset=1,
        timestamp_ms=1,
        key=b"k",
        headers=(("schema", b"request/1"),),
        value=b"\xff\x00",
        size=2,
        sha256="0" * 64,
        at=now,
    )
    schemas = json_schemas(described_topics(2, internal=True))
    for record, name in ((result, "result"), (letter, "dead-letter")):
        Draft202012Validator.check_schema(schemas[name])
        Draft202012Validator(schemas[name]).validate(json.loads(encode(record).value))


@pytest.mark.parametrize(
    "wrong",
    [{}, {"request_id": "r"}, {"request_id": "", "messages": []}, {"request_id": "r", "messages": [{"role": "user"}]}],
)
def test_the_request_schema_refuses_what_the_model_refuses(wrong):
    assert not Draft202012Validator(json_schemas(described_topics(2))["request"]).is_valid(wrong)
