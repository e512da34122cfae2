"""Operations of the OpenAPI document, as nearly all of them are."""

from collections.abc import Mapping
from typing import Final

from tierstream.serve.openapi.bodies import Json, ref

KEY_HEADER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same body has the one answer, which is paid once.",
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,198}[!-~])?$"},
}
"""The parameter of those that are answered once for each key."""
_REFUSED: Final = (
    "Refused: 400 (a field or a header), 401 and 403 (the key), 404 (no such model or response), 408, 409 (cancelled), "
    "413, 415, 421 (without keys the door answers to loopback alone), 422 (the key had another body), 429, 431."
)
_FAILED: Final = "No answer: 502 (no provider gave one), 503 (come back), 504 (the deadline passed); 500 is a fault."


def operation(
    summary: str,
    answer: str,
    *parameters: Mapping[str, object],
    body: Json | None = None,
    error: str = "OpenAIError",
    streams: bool = False,
) -> Json:
    """Describe an operation.

    Args:
        summary: What it is for.
        answer: Name of the schema of its answer.
        parameters: In path, query and headers.
        body: Media types of its body with their schemas; None: it takes none.
        error: Name of the schema of its errors.
        streams: Whether the answer may be a stream of events.
    """
    answered = described("The answer; as a stream it has the events of the API.", ref(answer))
    if streams:
        answered["content"]["text/event-stream"] = {}
    made: Json = {"summary": summary, "responses": {"200": answered, **refused(error)}}
    if parameters:
        made["parameters"] = list(parameters)
    if body is not None:
        made["requestBody"] = {"required": True, "content": body}
    return made


def refused(error: str = "OpenAIError") -> Json:
    """Describe the responses of an operation that has no answer."""
    return {"4XX": described(_REFUSED, ref(error)), "5XX": described(_FAILED, ref(error))}


def described(description: str, schema: Json) -> Json:
    """Describe a response in JSON."""
    return {"description": description, "content": as_json(schema)}


def as_json(schema: Json) -> Json:
    """Say that something is JSON of a schema."""
    return {"application/json": {"schema": schema}}
