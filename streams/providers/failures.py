"""From HTTP statuses, error bodies and broken connections to kinds of errors, the same for all protocols."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp

from streams.providers.base import ErrorKind, ProviderError

_SERVER_ERRORS: Final = 500
_BY_STATUS: Final = {
    401: ErrorKind.BAD_KEY,
    402: ErrorKind.BAD_KEY,
    403: ErrorKind.BAD_KEY,
    404: ErrorKind.MODEL_NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    413: ErrorKind.CONTEXT_TOO_LONG,
    429: ErrorKind.RATE_LIMITED,
    498: ErrorKind.OVERLOADED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
# The statuses are shared by unlike failures: an exhausted budget comes as 429, Groq's limit of tokens as 413.
_BY_CODE: Final = {
    "context_length_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "string_above_max_length": ErrorKind.CONTEXT_TOO_LONG,
    "content_filter": ErrorKind.CONTENT_POLICY,
    "content_policy_violation": ErrorKind.CONTENT_POLICY,
    "invalid_prompt": ErrorKind.CONTENT_POLICY,
    "insufficient_quota": ErrorKind.BAD_KEY,
    "invalid_api_key": ErrorKind.BAD_KEY,
    "model_decommissioned": ErrorKind.MODEL_NOT_FOUND,
    "model_not_found": ErrorKind.MODEL_NOT_FOUND,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "json_validate_failed": ErrorKind.MALFORMED,
}
# Anthropic and several compatible servers name these two in prose only.
_REFUSED_FORM: Final = frozenset({400, 413, 422})
_TOO_LONG: Final = re.compile(
    r"(prompt|input|request) is too (long|large)|context (length|window|limit)|maximum context"
    r"|max_new_tokens|reduce the length",
    re.IGNORECASE,
)
_BLOCKED: Final = re.compile(r"content (filter|management|policy)|usage polic", re.IGNORECASE)

# Identifiers alone are repeated to users: a message may quote the prompt, or a part of the key.
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARAM: Final = re.compile(r"[a-z][a-z0-9_.\[\]]{0,63}")
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,9})?")

_BY_EXCEPTION: Final[tuple[tuple[type[BaseException], ErrorKind], ...]] = (
    (TimeoutError, ErrorKind.TIMEOUT),
    (aiohttp.ClientConnectorError, ErrorKind.CONNECTION),
    (aiohttp.ClientPayloadError, ErrorKind.CUT),
    (aiohttp.ServerDisconnectedError, ErrorKind.CUT),
    (aiohttp.ClientOSError, ErrorKind.CUT),
    (aiohttp.ClientResponseError, ErrorKind.MALFORMED),
)
_EXPLAINED: Final = {
    ErrorKind.TIMEOUT: "did not answer in time",
    ErrorKind.CONNECTION: "can't be reached",
    ErrorKind.CUT: "closed the connection before the answer was complete",
    ErrorKind.MALFORMED: "sent a response that is not HTTP",
}


def status_error(provider: str, status: int, headers: Mapping[str, str], body: bytes) -> ProviderError:
    """Describe a response with an error status.

    Args:
        provider: Its name, for the message.
        status: HTTP status.
        headers: Response headers; the lookup has to ignore case.
        body: Response body; the JSON errors of all protocols are understood, and anything else is ignored.
    """
    detail = _detail(body)
    codes = [value for name in ("code", "type") if isinstance(value := detail.get(name), str)]
    message = detail.get("message")
    kind = _kind_of(status, codes, message if isinstance(message, str) else "")
    hints = [code for code in codes[:1] if _CODE.fullmatch(code)]
    param = detail.get("param")
    if isinstance(param, str) and _PARAM.fullmatch(param):
        hints.append(f"parameter {param}")
    return ProviderError(
        kind,
        f"{provider} answered with HTTP {status}" + (f" ({', '.join(hints)})" if hints else ""),
        status=status,
        retry_after_ms=retry_after_ms(headers, datetime.now(UTC)),
    )


def transport_error(provider: str, error: BaseException) -> ProviderError:
    """Describe a call that ended without a response.

    The SDKs report a broken connection as a timeout, so the kind is read off aiohttp's exception at the root.
    """
    for cause in _causes(error):
        for exception, kind in _BY_EXCEPTION:
            if isinstance(cause, exception):
                return ProviderError(kind, f"{provider} {_EXPLAINED[kind]}")
    return ProviderError(ErrorKind.CONNECTION, f"{provider} {_EXPLAINED[ErrorKind.CONNECTION]}")


def retry_after_ms(headers: Mapping[str, str], now: datetime) -> int | None:
    """Read how long to wait, in milliseconds rounded up; None where it is not said or not readable.

    `retry-after-ms` (milliseconds) wins over `Retry-After`, which has seconds or a date:
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after. Fractions of a second are not in the RFC but are sent.
    """
    exact = headers.get("retry-after-ms", "").strip()
    if _SECONDS.fullmatch(exact):
        return _round_up(Decimal(exact))
    value = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(value):
        return _round_up(Decimal(value) * 1000)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    # A date in the zone "-0000" is parsed without one; it is in UTC too.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, _round_up(Decimal(str((aware - now).total_seconds())) * 1000))


def _round_up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def _kind_of(status: int, codes: list[str], message: str) -> ErrorKind:
    for code in codes:
        if code in _BY_CODE:
            return _BY_CODE[code]
    if status in _REFUSED_FORM and _TOO_LONG.search(message):
        return ErrorKind.CONTEXT_TOO_LONG
    if status in _REFUSED_FORM and _BLOCKED.search(message):
        return ErrorKind.CONTENT_POLICY
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ErrorKind.SERVER_ERROR if status >= _SERVER_ERRORS else ErrorKind.BAD_REQUEST


def _detail(body: bytes) -> dict[str, Any]:
    """Find the error object: under `error` in every protocol, at the top in some compatible servers."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    error = data.get("error", data)
    return error if isinstance(error, dict) else {"message": error}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
