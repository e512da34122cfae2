"""The OpenAPI document of the door.

Source: https://spec.openapis.org/oas/v3.1.0.
"""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Final

from tierstream.serve.openapi.answers import answer_schemas
from tierstream.serve.openapi.bodies import Json, body_schemas, ref

_ABOUT: Final = (
    "OpenAI's and Anthropic's APIs in front of tierstream. Fields of bodies that are not described are passed over, or "
    "refused by name where they would change the answer. Whoever is too slow, sends too large a head or is one "
    "connection too many gets 408, 431 or 503 with OpenAI's error, whatever the address."
)
_KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body has the one answer, which is paid once.",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,198}[!-~])?$"},
}
_VERSION_HEADER: Final = {
    "name": "anthropic-version",
    "in": "header",
    "required": True,
    "description": "2023-06-01 or later.",
    "example": "2023-06-01",
    "schema": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
}
_ANTHROPIC_SPOKEN: Final = {
    "name": "anthropic-version",
    "in": "header",
    "description": "With it the answer has Anthropic's form.",
    "schema": {"type": "string"},
}
_RESPONSE_ID: Final = {"name": "response_id", "in": "path", "required": True, "schema": {"type": "string"}}
_MODEL_NAME: Final = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "Its slash may stand as it is.",
    "schema": {"type": "string", "minLength": 1},
}
_OF_STREAM: Final = (
    {"name": "stream", "in": "query", "schema": {"enum": ["true", "false"]}},
    {
        "name": "starting_after",
        "in": "query",
        "description": "Number of the last event that the client has.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    },
)
_REFUSED: Final = (
    "Refused: 400 (a field or a header), 401 and 403 (the key), 404 (no such model or response), 408, 409 (cancelled), "
    "413, 415, 421 (without keys the door answers to loopback alone), 422 (the key had another body), 429, 431."
)
_FAILED: Final = "No answer: 502 (no provider gave one), 503 (come back), 504 (the deadline passed); 500 is a fault."


@cache
def openapi_document() -> Json:
    """Describe the door as an OpenAPI 3.1 document: the same for every deployment."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tierstream",
            "version": version("tierstream"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"key": []}, {}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "Needed where the door has keys."},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
            "schemas": {**body_schemas(), **answer_schemas()},
        },
    }


def _paths() -> Json:
    return {
        "/v1/chat/completions": {
            "post": _operation(
                "OpenAI's chat completions", "ChatCompletion", _KEY_HEADER, body="ChatCompletionsBody", streams=True
            )
        },
        "/v1/messages": {
            "post": _operation(
                "Anthropic's messages",
                "AnthropicMessage",
                _KEY_HEADER,
                _VERSION_HEADER,
                body="MessagesBody",
                error="AnthropicError",
                streams=True,
            )
        },
        "/v1/messages/count_tokens": {
            "post": _operation(
                "Tokens of a message by estimate, which errs high",
                "TokenCount",
                _VERSION_HEADER,
                body="CountTokensBody",
                error="AnthropicError",
            )
        },
        "/v1/responses": {
            "post": _operation("OpenAI's responses", "Response", _KEY_HEADER, body="ResponsesBody", streams=True)
        },
        "/v1/responses/{response_id}": {
            "get": _operation("A response as it is now", "Response", _RESPONSE_ID, *_OF_STREAM, streams=True)
        },
        "/v1/responses/{response_id}/cancel": {
            "post": _operation("Have no further call be made for a response", "Response", _RESPONSE_ID)
        },
        "/v1/models": {"get": _operation("What `model` may say", "ModelList", _ANTHROPIC_SPOKEN, error="Error")},
        "/v1/models/{name}": {"get": _operation("One of them", "Model", _MODEL_NAME, _ANTHROPIC_SPOKEN, error="Error")},
        "/livez": {"get": _plain("Whether the process gets on", with_key=False)},
        "/readyz": {"get": _plain("Whether it takes requests", with_key=False)},
        "/metrics": {"get": _plain("Metrics, as Prometheus reads them", with_key=True)},
        "/openapi.json": {"get": {"summary": "This document", "security": [{}], "responses": {"200": _json("It", {})}}},
    }


def _operation(
    summary: str,
    answer: str,
    *parameters: Mapping[str, object],
    body: str | None = None,
    error: str = "OpenAIError",
    streams: bool = False,
) -> Json:
    answered = _json("The answer; as a stream it has the events of the API.", ref(answer))
    if streams:
        answered["content"]["text/event-stream"] = {}
    operation: Json = {
        "summary": summary,
        "responses": {"200": answered, "4XX": _json(_REFUSED, ref(error)), "5XX": _json(_FAILED, ref(error))},
    }
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref(body)}}}
    return operation


def _plain(summary: str, *, with_key: bool) -> Json:
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    refused = {"4XX": {"description": "No key that is known.", **text}} if with_key else {}
    operation: Json = {
        "summary": summary,
        "responses": {"200": {"description": "Yes.", **text}, **refused, "5XX": {"description": "No.", **text}},
    }
    return operation if with_key else {**operation, "security": [{}]}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}
