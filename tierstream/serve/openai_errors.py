"""Errors in OpenAI's shape. Source: https://platform.openai.com/docs/guides/error-codes."""

from typing import Any, Final

from tierstream.serve.surface import DoorError

_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


def openai_error(error: DoorError) -> dict[str, Any]:
    """Write an error, as the body of a response or as the data of an event."""
    kind = "insufficient_quota" if error.code == "insufficient_quota" else _TYPES.get(error.status)
    kind = kind or ("server_error" if error.status >= 500 else "invalid_request_error")  # noqa: PLR2004 - HTTP's classes
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}
