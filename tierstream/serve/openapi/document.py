"""The OpenAPI document of the door.

Source: https://spec.openapis.org/oas/v3.1.0.
"""

from functools import cache
from importlib.metadata import version
from typing import Final

from tierstream.serve.openapi.answers import answer_schemas
from tierstream.serve.openapi.batches import batch_paths, batch_schemas
from tierstream.serve.openapi.bodies import Json, body_schemas, ref
from tierstream.serve.openapi.operations import KEY_HEADER, as_json, described, operation

_ABOUT: Final = (
    "OpenAI's and Anthropic's APIs in front of tierstream. Fields of bodies that are not described are passed over, or "
    "refused by name where they would change the answer. Whoever is too slow, sends too large a head or is one "
    "connection too many gets 408, 431 or 503 with OpenAI's error, whatever the address."
)
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
            "schemas": {**body_schemas(), **answer_schemas(), **batch_schemas()},
        },
    }


def _paths() -> Json:
    return {
        "/v1/chat/completions": {
            "post": operation(
                "OpenAI's chat completions",
                "ChatCompletion",
                KEY_HEADER,
                body=as_json(ref("ChatCompletionsBody")),
                streams=True,
            )
        },
        "/v1/messages": {
            "post": operation(
                "Anthropic's messages",
                "AnthropicMessage",
                KEY_HEADER,
                _VERSION_HEADER,
                body=as_json(ref("MessagesBody")),
                error="AnthropicError",
                streams=True,
            )
        },
        "/v1/messages/count_tokens": {
            "post": operation(
                "Tokens of a message by estimate, which errs high",
                "TokenCount",
                _VERSION_HEADER,
                body=as_json(ref("CountTokensBody")),
                error="AnthropicError",
            )
        },
        "/v1/responses": {
            "post": operation(
                "OpenAI's responses", "Response", KEY_HEADER, body=as_json(ref("ResponsesBody")), streams=True
            )
        },
        "/v1/responses/{response_id}": {
            "get": operation("A response as it is now", "Response", _RESPONSE_ID, *_OF_STREAM, streams=True)
        },
        "/v1/responses/{response_id}/cancel": {
            "post": operation("Have no further call be made for a response", "Response", _RESPONSE_ID)
        },
        "/v1/models": {"get": operation("What `model` may say", "ModelList", _ANTHROPIC_SPOKEN, error="Error")},
        "/v1/models/{name}": {"get": operation("One of them", "Model", _MODEL_NAME, _ANTHROPIC_SPOKEN, error="Error")},
        **batch_paths(),
        "/livez": {"get": _plain("Whether the process gets on", with_key=False)},
        "/readyz": {"get": _plain("Whether it takes requests", with_key=False)},
        "/metrics": {"get": _plain("Metrics, as Prometheus reads them", with_key=True)},
        "/openapi.json": {
            "get": {"summary": "This document", "security": [{}], "responses": {"200": described("It", {})}}
        },
    }


def _plain(summary: str, *, with_key: bool) -> Json:
    text = {"content": {"text/plain": {"schema": {"type": "string"}}}}
    refused = {"4XX": {"description": "No key that is known.", **text}} if with_key else {}
    operation: Json = {
        "summary": summary,
        "responses": {"200": {"description": "Yes.", **text}, **refused, "5XX": {"description": "No.", **text}},
    }
    return operation if with_key else {**operation, "security": [{}]}
