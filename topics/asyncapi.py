"""The contract as others read it: an AsyncAPI 3.0 document and JSON Schemas, made from the registry and the models."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from pydantic.json_schema import models_json_schema

from topics.base import Record
from topics.codec import SCHEMA_HEADER
from topics.registry import REQUESTS, TopicSpec, all_topics

Json = dict[str, Any]
Mode = Literal["validation", "serialization"]

_KAFKA_BINDING: Final = "0.5.0"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ABOUT: Final = (
    "LLM requests in, exactly one result each out. Values are JSON. Fields that a reader does not know are to be "
    "ignored: new ones may be added within a major version. Read results with isolation_level=read_committed."
)
_REQUEST_EXAMPLE: Final = {
    "request_id": "order-4711-summary",
    "messages": [{"role": "user", "content": "Summarise this order in one sentence."}],
}


def described_topics(tiers: int, *, internal: bool = False) -> list[TopicSpec[Record]]:
    """List the topics that other services may rely on; with `internal`, those between the stages too."""
    return [spec for spec in all_topics(tiers) if spec.public or internal]


def asyncapi_document(
    specs: Sequence[TopicSpec[Record]], *, prefix: str, version: str, topic_configs: Mapping[str, Mapping[str, str]]
) -> Json:
    """Describe topics as an AsyncAPI 3.0 document.

    Operations are from tierstream's point of view: it receives requests and sends everything else.

    Args:
        specs: The topics.
        prefix: What the deployment puts before every topic name.
        version: Of the application.
        topic_configs: The broker's settings of a topic, by name without prefix; may be empty.

    Source: https://www.asyncapi.com/docs/reference/specification/v3.0.0 and its Kafka bindings 0.5.0.
    """
    models = list(_models(specs))
    payloads, schemas = models_json_schema(
        [(model, _mode(spec)) for spec, model in models], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "tierstream",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {spec.name: _channel(spec, prefix, topic_configs.get(spec.name, {})) for spec in specs},
        "operations": {f"{_action(spec)}-{spec.name}": _operation(spec) for spec in specs},
        "components": {
            "messages": {model.__name__: _message(spec, model, payloads[model, _mode(spec)]) for spec, model in models},
            "schemas": schemas["$defs"],
        },
    }


def json_schemas(specs: Sequence[TopicSpec[Record]]) -> dict[str, Json]:
    """Return one self-contained JSON Schema (2020-12) a record, by the name that its `schema` header carries."""
    return {
        model.SCHEMA.partition("/")[0]: {"$schema": _DIALECT, **model.model_json_schema(mode=_mode(spec))}
        for spec, model in _models(specs)
    }


def _models(specs: Sequence[TopicSpec[Record]]) -> Iterator[tuple[TopicSpec[Record], type[Record]]]:
    """Yield each record type once: the topics of all tiers carry the same one."""
    seen: set[type[Record]] = set()
    for spec in specs:
        for model in spec.records:
            if model not in seen:
                seen.add(model)
                yield spec, model


def _mode(spec: TopicSpec[Record]) -> Mode:
    # What others write is described by what we accept, what we write by what we make.
    return "validation" if spec.from_outside else "serialization"


def _action(spec: TopicSpec[Record]) -> Literal["receive", "send"]:
    return "receive" if spec.from_outside else "send"


def _channel(spec: TopicSpec[Record], prefix: str, config: Mapping[str, str]) -> Json:
    return {
        "address": spec.full_name(prefix),
        "summary": spec.about,
        "description": f"Written by {spec.writes}; read by {spec.reads}.",
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in spec.records},
        "bindings": {
            "kafka": {
                "topic": spec.full_name(prefix),
                "topicConfiguration": _topic_configuration(spec, config),
                "bindingVersion": _KAFKA_BINDING,
            }
        },
    }


def _topic_configuration(spec: TopicSpec[Record], config: Mapping[str, str]) -> Json:
    described: Json = {"cleanup.policy": [spec.cleanup]}
    for name in ("retention.ms", "max.message.bytes"):
        if name in config:
            described[name] = int(config[name])
    return described


def _operation(spec: TopicSpec[Record]) -> Json:
    return {
        "action": _action(spec),
        "channel": {"$ref": f"#/channels/{spec.name}"},
        "summary": spec.about,
        "messages": [{"$ref": f"#/channels/{spec.name}/messages/{model.__name__}"} for model in spec.records],
    }


def _message(spec: TopicSpec[Record], model: type[Record], payload: Json) -> Json:
    headers: Json = {
        "type": "object",
        "properties": {
            SCHEMA_HEADER: {"type": "string", "const": model.SCHEMA, "description": "Name and major version."},
            "traceparent": {"type": "string", "description": "W3C trace context; passed on from the request."},
        },
    }
    if not spec.from_outside:
        headers["required"] = [SCHEMA_HEADER]
    key = "Any key." if spec.from_outside else "The request id where there is one; its murmur2 decides the partition."
    message: Json = {
        "name": model.SCHEMA,
        "title": model.__name__,
        "summary": (model.__doc__ or "").partition("\n")[0],
        "contentType": "application/json",
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": _KAFKA_BINDING}},
    }
    if model in REQUESTS.records:
        message["examples"] = [{"name": "shortest", "payload": _REQUEST_EXAMPLE}]
    return message
