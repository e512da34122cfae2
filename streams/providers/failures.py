"""From HTTP statuses, error bodies and broken connections to kinds of errors, the same for all protocols."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
from pydantic import ValidationError

from streams.providers.base import ErrorKind, ProviderError
from streams.providers.limits import read_limits

_CLIENT_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500
_BY_STATUS: Final = {
    401: ErrorKind.BAD_KEY,
    402: ErrorKind.BAD_KEY,
    403: ErrorKind.BAD_KEY,
    404: ErrorKind.MODEL_NOT_FOUND,
    408: ErrorKind.TIMEOUT,
    413: ErrorKind.TOO_LARGE,
    429: ErrorKind.RATE_LIMITED,
    498: ErrorKind.OVERLOADED,
    503: ErrorKind.OVERLOADED,
    504: ErrorKind.TIMEOUT,
    529: ErrorKind.OVERLOADED,
}
# The statuses are shared by unlike failures: an exhausted budget comes as 400, 402, 403 or 429.
_BY_CODE: Final = {
    "context_length_exceeded": ErrorKind.CONTEXT_TOO_LONG,
    "string_above_max_length": ErrorKind.CONTEXT_TOO_LONG,
    "content_filter": ErrorKind.CONTENT_POLICY,
    "content_policy_violation": ErrorKind.CONTENT_POLICY,
    "invalid_prompt": ErrorKind.CONTENT_POLICY,
    "account_deactivated": ErrorKind.BAD_KEY,
    "billing_hard_limit_reached": ErrorKind.BAD_KEY,
    "billing_not_active": ErrorKind.BAD_KEY,
    "blocked_api_access": ErrorKind.BAD_KEY,
    "contract_spend_limit_reached": ErrorKind.BAD_KEY,
    "enforced_spend_limit_reached": ErrorKind.BAD_KEY,
    "insufficient_quota": ErrorKind.BAD_KEY,
    "invalid_api_key": ErrorKind.BAD_KEY,
    "linked_organization_spend_limit_reached": ErrorKind.BAD_KEY,
    "model_decommissioned": ErrorKind.MODEL_NOT_FOUND,
    "model_not_found": ErrorKind.MODEL_NOT_FOUND,
    "model_permission_blocked_org": ErrorKind.MODEL_NOT_FOUND,
    "model_permission_blocked_project": ErrorKind.MODEL_NOT_FOUND,
    "model_terms_required": ErrorKind.MODEL_NOT_FOUND,
    "rate_limit_exceeded": ErrorKind.RATE_LIMITED,
    "capacity_exceeded": ErrorKind.OVERLOADED,
    "overloaded_error": ErrorKind.OVERLOADED,
    "batch_cancelled": ErrorKind.BATCH_ENDED,
    "batch_expired": ErrorKind.BATCH_ENDED,
    "json_validate_failed": ErrorKind.MALFORMED,
    "tool_use_failed": ErrorKind.MALFORMED,
}
# An error event in a stream has no status of its own; these are what Anthropic and OpenAI call the statuses.
_BY_TYPE: Final = {
    "invalid_request_error": ErrorKind.BAD_REQUEST,
    "authentication_error": ErrorKind.BAD_KEY,
    "billing_error": ErrorKind.BAD_KEY,
    "permission_error": ErrorKind.BAD_KEY,
    "not_found_error": ErrorKind.MODEL_NOT_FOUND,
    "request_too_large": ErrorKind.TOO_LARGE,
    "rate_limit_error": ErrorKind.RATE_LIMITED,
    "timeout_error": ErrorKind.TIMEOUT,
}
# Some refusals are named in prose only: Together's of length comes as 403, Anthropic's of empty accounts as 400.
_REFUSED: Final = frozenset({400, 403, 413, 422})
_BY_PROSE: Final = (
    (
        re.compile(
            r"(prompt|input|request) is too (long|large)|context (length|window|limit)|maximum context"
            r"|max_new_tokens|reduce the length",
            re.IGNORECASE,
        ),
        ErrorKind.CONTEXT_TOO_LONG,
    ),
    (re.compile(r"content (filter|management|policy)|usage polic", re.IGNORECASE), ErrorKind.CONTENT_POLICY),
    (re.compile(r"credit balance is too low|specified .{0,20}usage limits", re.IGNORECASE), ErrorKind.BAD_KEY),
)
# Groq (413) and OpenAI (429) give a request above the account's limit of a minute the code of a limit that
# passes; this one would be refused for ever.
_NEVER_FITS: Final = re.compile(r"request too large for", re.IGNORECASE)

# Identifiers alone are repeated to users: a message may quote the prompt, or a part of the key.
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PARAM: Final = re.compile(r"[a-z][a-z0-9_.\[\]]{0,63}")
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{1,9})?")

_BY_EXCEPTION: Final[tuple[tuple[type[BaseException], ErrorKind], ...]] = (
    (TimeoutError, ErrorKind.TIMEOUT),
    (aiohttp.ClientConnectorError, ErrorKind.CONNECTION),
    (aiohttp.ClientConnectionResetError, ErrorKind.CONNECTION),
    (aiohttp.ClientHttpProxyError, ErrorKind.CONNECTION),
    (aiohttp.InvalidURL, ErrorKind.CONNECTION),
    (aiohttp.ClientPayloadError, ErrorKind.CUT),
    (aiohttp.ServerDisconnectedError, ErrorKind.CUT),
    (aiohttp.ClientOSError, ErrorKind.CUT),
    (aiohttp.ClientResponseError, ErrorKind.MALFORMED),
)
_EXPLAINED: Final = {
    ErrorKind.TIMEOUT: "did not answer in time",
    ErrorKind.CONNECTION: "can't be reached",
    ErrorKind.CUT: "broke off before the answer was complete",
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
    now = datetime.now(UTC)
    return ProviderError(
        _kind_of(status, detail),
        f"{provider} answered with HTTP {status}{_hints(detail)}",
        status=status,
        retry_after_ms=retry_after_ms(headers, now),
        limits=read_limits(headers, now),
    )


def event_error(provider: str, error: object) -> ProviderError:
    """Describe an error that came as an event, in a stream that had begun well.

    Args:
        provider: Its name, for the message.
        error: What the event has under `error`; some servers name a status as its code.
    """
    detail = _as_detail(error)
    code = detail.get("code")
    status = code if isinstance(code, int) and code >= _CLIENT_ERRORS else None
    return ProviderError(_kind_of(status, detail), f"{provider} ended the stream with an error{_hints(detail)}")


def line_error(provider: str, error: object) -> ProviderError:
    """Describe an error that stands in the results of a batch, in the place of a call's answer.

    Args:
        provider: Its name, for the message.
        error: What the line has under `error`.
    """
    detail = _as_detail(error)
    return ProviderError(_kind_of(None, detail), f"{provider} has no answer to a call of a batch{_hints(detail)}")


def named(errors: Iterable[object]) -> str:
    """List what errors are called; empty where none has a name."""
    codes = (code for error in errors for code in _codes(_as_detail(error))[:1] if _CODE.fullmatch(code))
    return ", ".join(dict.fromkeys(codes))


def malformed_error(provider: str, problem: ValidationError | str) -> ProviderError:
    """Describe a response whose status is good and whose content is not.

    Args:
        provider: Its name, for the message.
        problem: What is wrong with it, without content.
    """
    detail = problem if isinstance(problem, str) else _place_and_rule(problem)
    message = f"{provider} sent a response that is not in the protocol's form: {detail}"
    return ProviderError(ErrorKind.MALFORMED, message)


def transport_error(provider: str, error: BaseException) -> ProviderError:
    """Describe a call that ended without a response.

    The SDKs report a broken connection as a timeout, so the kind is read off aiohttp's exception at the root. What
    is not known counts as cut, for a call that may have been served must not be taken for one that never left.
    """
    kind = next((kind for cause in _causes(error) if (kind := _kind_of_exception(cause))), ErrorKind.CUT)
    return ProviderError(kind, f"{provider} {_EXPLAINED[kind]}")


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


def _place_and_rule(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _round_up(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def _kind_of(status: int | None, detail: Mapping[str, Any]) -> ErrorKind:
    codes = _codes(detail)
    message = detail["message"] if isinstance(detail.get("message"), str) else ""
    known = next((_BY_CODE[code] for code in codes if code in _BY_CODE), None)
    if known is ErrorKind.RATE_LIMITED and _NEVER_FITS.search(message):
        return ErrorKind.TOO_LARGE
    if known is not None:
        return known
    if status is None or status in _REFUSED:
        for pattern, kind in _BY_PROSE:
            if pattern.search(message):
                return kind
    if status is None:
        return next((_BY_TYPE[code] for code in codes if code in _BY_TYPE), ErrorKind.SERVER_ERROR)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ErrorKind.SERVER_ERROR if status >= _SERVER_ERRORS else ErrorKind.BAD_REQUEST


def _kind_of_exception(error: BaseException) -> ErrorKind | None:
    # aiohttp wraps this one: the request was not written in full, so nobody can have served it.
    if isinstance(error.__cause__, aiohttp.ClientConnectionResetError):
        return ErrorKind.CONNECTION
    return next((kind for exception, kind in _BY_EXCEPTION if isinstance(error, exception)), None)


def _codes(detail: Mapping[str, Any]) -> list[str]:
    """Collect the names of an error, the most specific first; Anthropic's are in `details.error_code`."""
    details = detail.get("details")
    named = (details.get("error_code") if isinstance(details, dict) else None, detail.get("code"), detail.get("type"))
    return [name for name in named if isinstance(name, str)]


def _hints(detail: Mapping[str, Any]) -> str:
    hints = [code for code in _codes(detail)[:1] if _CODE.fullmatch(code)]
    param = detail.get("param")
    if isinstance(param, str) and _PARAM.fullmatch(param):
        hints.append(f"parameter {param}")
    return f" ({', '.join(hints)})" if hints else ""


def _detail(body: bytes) -> Mapping[str, Any]:
    """Find the error object: under `error` in every protocol, at the top in some compatible servers."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return _as_detail(data.get("error", data)) if isinstance(data, dict) else {}


def _as_detail(error: object) -> Mapping[str, Any]:
    return error if isinstance(error, dict) else {"message": error}


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
