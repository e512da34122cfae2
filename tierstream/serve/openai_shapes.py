"""What both of OpenAI's APIs have alike: the shape of errors, and fields that mean the same in each.

Source: https://platform.openai.com/docs/guides/error-codes.
"""

from collections.abc import Mapping
from typing import Any, Final

from tierstream.serve.surface import DoorError

REFUSED: Final[Mapping[str, str]] = {
    "moderation": "nothing here moderates",
    "frequency_penalty": "not every model that may answer has it",
    "presence_penalty": "not every model that may answer has it",
}
"""Why fields of both are not served."""

_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_USUAL_TIERS: Final = ("auto", "default")


def openai_error(error: DoorError) -> dict[str, Any]:
    """Write an error, as the body of a response or as the data of an event."""
    kind = "insufficient_quota" if error.code == "insufficient_quota" else _TYPES.get(error.status)
    kind = kind or ("server_error" if error.status >= 500 else "invalid_request_error")  # noqa: PLR2004 - HTTP's classes
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code}}


def service_tier_of(given: object) -> object:
    """Return a service tier as a Request has it: the usual one goes without saying."""
    return None if given in _USUAL_TIERS else given
