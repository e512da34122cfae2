"""Errors in Anthropic's shape. Source: https://platform.claude.com/docs/en/api/errors."""

from typing import Any, Final

from tierstream.serve.surface import DoorError

_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def anthropic_error(error: DoorError, http_request_id: str | None) -> dict[str, Any]:
    """Write an error, as the body of a response or as the data of an event; the field goes into the message."""
    kind = "api_error" if error.status >= 500 else "invalid_request_error"  # noqa: PLR2004 - HTTP's classes
    message = error.message if error.param is None else f"{error.param}: {error.message}"
    return {
        "type": "error",
        "error": {"type": _TYPES.get(error.status, kind), "message": message},
        "request_id": http_request_id,
    }
