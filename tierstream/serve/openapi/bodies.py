"""What may be posted, as JSON Schema: made from the models that read it."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tierstream.serve.chat_completions.reading import StreamOptions
from tierstream.serve.messages.body import MessagesBody
from tierstream.serve.responses.body import (
    CallItem,
    CallOutputItem,
    GivenItem,
    ReasoningItem,
    ResponsesBody,
    SpokenItem,
)
from topics.requests import Request

Json = dict[str, Any]

_REF: Final = "#/components/schemas/"
_ITEMS: Final = (GivenItem, SpokenItem, CallItem, CallOutputItem, ReasoningItem)
_MODELS: Final[tuple[type[BaseModel], ...]] = (Request, StreamOptions, MessagesBody, ResponsesBody, *_ITEMS)

_OF_REQUEST: Final = ("tool_choice", "parallel_tool_calls", "response_format")
_OF_PARAMS: Final = (
    "temperature",
    "top_p",
    "seed",
    "reasoning_effort",
    "logprobs",
    "top_logprobs",
    "service_tier",
    "n",
)
_SPOKEN: Final = ("TextPart", "ThinkingPart", "RedactedThinkingPart", "ToolCallPlace")
_GIVEN: Final = ("TextPart", "ImagePart", "FilePart")
_MODEL: Final = {"type": "string", "minLength": 1, "description": "auto, tier-1, provider/model: see /v1/models."}


def ref(name: str) -> Json:
    """Refer to a schema of the document."""
    return {"$ref": f"{_REF}{name}"}


def nullable(schema: Json) -> Json:
    """Have a field be absent in the way that clients which write all fields have it: null."""
    return {"anyOf": [schema, {"type": "null"}]}


def body_schemas() -> dict[str, Json]:
    """Return the bodies, and all that they are made of, by name."""
    _, made = models_json_schema([(model, "validation") for model in _MODELS], ref_template=f"{_REF}{{model}}")
    models: dict[str, Json] = {name: _without_titles(schema) for name, schema in made["$defs"].items()}
    models["Message"] = _message(models["Message"]["properties"])
    bodies = {
        "ChatCompletionsBody": _chat_completions(models),
        "MessagesBody": _messages(models),
        "CountTokensBody": _count_tokens(models),
        "ResponsesBody": _responses(models),
    }
    return _reachable(bodies, {**models, **bodies})


def _chat_completions(models: Mapping[str, Json]) -> Json:
    """A Request has OpenAI's shapes, so the fields of the body are those of a Request, some by another name."""
    request, params = models["Request"]["properties"], models["Params"]["properties"]
    return {
        "type": "object",
        "description": "Fields that are not listed are passed over, or refused with 400: see docs/door-fields.md.",
        "required": ["model", "messages"],
        "properties": {
            "model": _MODEL,
            "messages": request["messages"],
            "max_completion_tokens": params["max_tokens"],
            "max_tokens": params["max_tokens"],
            **{name: params[name] for name in _OF_PARAMS},
            "stop": {"anyOf": [{"type": "string"}, *params["stop"]["anyOf"]]},
            "modalities": nullable({"type": "array", "items": {"const": "text"}, "maxItems": 1}),
            "tools": nullable(request["tools"]),
            **{name: request[name] for name in _OF_REQUEST},
            "stream": nullable({"type": "boolean"}),
            "stream_options": nullable(ref("StreamOptions")),
            "user": request["user_id"],
        },
    }


def _message(fields: Mapping[str, Json]) -> Json:
    """Describe a message by who speaks: a Request has one record for all, and rules of what goes together."""
    calls, _ = fields["tool_calls"]["anyOf"]
    call_id, _ = fields["tool_call_id"]["anyOf"]
    said, given, spoken = _content("TextPart"), _content(*_GIVEN), _content(*_SPOKEN)
    assistant = {"const": "assistant"}
    return {
        "anyOf": [
            _object("role", "content", role={"enum": ["system", "developer"]}, content=said, name=fields["name"]),
            _object("role", "content", role={"const": "user"}, content=given, name=fields["name"]),
            _object("role", "content", "tool_call_id", role={"const": "tool"}, content=given, tool_call_id=call_id),
            _object("role", "content", role=assistant, content=spoken, tool_calls=fields["tool_calls"]),
            _object("role", "tool_calls", role=assistant, tool_calls={**calls, "minItems": 1}),
        ]
    }


def _content(*parts: str) -> Json:
    return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"anyOf": [ref(part) for part in parts]}}]}


def _object(*required: str, **properties: Json) -> Json:
    return {"type": "object", "required": list(required), "properties": properties}


def _with(schema: Json, **properties: Json) -> Json:
    return {**schema, "properties": {**schema["properties"], **properties}}


def _messages(models: Mapping[str, Json]) -> Json:
    """A body is read as it comes; what its numbers may be, the Request says that it becomes."""
    params = models["Params"]["properties"]
    alike = {name: params[name] for name in ("temperature", "top_p")}
    (max_tokens, _), stops = params["max_tokens"]["anyOf"], params["stop"]
    return _with(models["MessagesBody"], model=_MODEL, max_tokens=max_tokens, stop_sequences=stops, **alike)


def _count_tokens(models: Mapping[str, Json]) -> Json:
    """Nobody has to say how long the answer may be that is not asked for."""
    body = _messages(models)
    counted = {name: field for name, field in body["properties"].items() if name not in {"max_tokens", "stream"}}
    return {**body, "required": ["model", "messages"], "properties": counted}


def _responses(models: Mapping[str, Json]) -> Json:
    params = models["Params"]["properties"]
    alike = {name: params[name] for name in ("temperature", "top_p", "top_logprobs")}
    items = {"type": "array", "minItems": 1, "items": {"anyOf": [ref(item.__name__) for item in _ITEMS]}}
    given = {"anyOf": [{"type": "string"}, items]}
    body = _with(models["ResponsesBody"], model=_MODEL, input=given, max_output_tokens=params["max_tokens"], **alike)
    return {**body, "required": ["model", "input"]}


def _without_titles(schema: Json) -> Json:
    """Leave out the titles that pydantic makes of the names of fields: they say nothing that those do not."""
    schema = {name: value for name, value in schema.items() if name != "title"}
    for name, field in schema.get("properties", {}).items():
        schema["properties"][name] = {key: value for key, value in field.items() if key != "title"}
    return schema


def _reachable(roots: Iterable[str], schemas: Mapping[str, Json]) -> dict[str, Json]:
    """Return the schemas that these are made of, and no others."""
    found: dict[str, Json] = {}
    left = list(roots)
    while left:
        name = left.pop()
        if name not in found:
            found[name] = schemas[name]
            left += _references(schemas[name])
    return dict(sorted(found.items()))


def _references(value: object) -> list[str]:
    match value:
        case {"$ref": str(there)}:
            return [there.removeprefix(_REF)]
        case dict():
            return [name for inner in value.values() for name in _references(inner)]
        case list():
            return [name for inner in value for name in _references(inner)]
    return []
