"""Kinds of errors from statuses, bodies, headers, events and broken connections; and what they lead to."""

import json
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest

from streams.providers.base import ErrorKind, Remedy, is_provider_failure, remedy_of
from streams.providers.failures import (
    event_error,
    line_error,
    named,
    retry_after_ms,
    status_error,
    transport_error,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2000),
        ({"retry-after": "1.001"}, 1001),
        ({"retry-after": "0.0001"}, 1),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "250.5", "retry-after": "9"}, 251),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9000),
        ({"retry-after": "Sun, 01 Nov 2026 12:00:30 GMT"}, 30_000),
        ({"retry-after": "Sun, 01 Nov 2026 12:00:30 -0000"}, 30_000),
        ({"retry-after": "Sun, 01 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999999999"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_retry_after(headers, expected):
    assert retry_after_ms(headers, NOW) == expected


def test_retry_after_date_is_rounded_up():
    assert retry_after_ms({"retry-after": "Sun, 01 Nov 2026 12:00:01 GMT"}, NOW + timedelta(microseconds=1)) == 1000


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"code": "context_length_exceeded", "message": "…"}, ErrorKind.CONTEXT_TOO_LONG),
        (400, {"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}, ErrorKind.CONTEXT_TOO_LONG),
        (403, {"message": "maximum context length is 8"}, ErrorKind.CONTEXT_TOO_LONG),
        (413, {"type": "request_too_large", "message": "…"}, ErrorKind.TOO_LARGE),
        (413, {"code": "rate_limit_exceeded", "message": "Request too large for model `m`"}, ErrorKind.TOO_LARGE),
        (429, {"code": "rate_limit_exceeded", "message": "Request too large for m"}, ErrorKind.TOO_LARGE),
        (500, {"message": "prompt is too long"}, ErrorKind.SERVER_ERROR),
        (400, {"code": "content_policy_violation"}, ErrorKind.CONTENT_POLICY),
        (400, {"message": "Output blocked by content filtering policy"}, ErrorKind.CONTENT_POLICY),
        (400, {"code": "unsupported_value", "param": "temperature"}, ErrorKind.BAD_REQUEST),
        (400, {"code": "model_decommissioned"}, ErrorKind.MODEL_NOT_FOUND),
        (400, {"code": "json_validate_failed"}, ErrorKind.MALFORMED),
        (401, {}, ErrorKind.BAD_KEY),
        (402, {"type": "billing_error"}, ErrorKind.BAD_KEY),
        (404, {"type": "not_found_error"}, ErrorKind.MODEL_NOT_FOUND),
        (409, {}, ErrorKind.BAD_REQUEST),
        (429, {"code": "rate_limit_exceeded"}, ErrorKind.RATE_LIMITED),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota"}, ErrorKind.BAD_KEY),
        (
            429,
            {"type": "rate_limit_error", "details": {"error_code": "enforced_spend_limit_reached"}},
            ErrorKind.BAD_KEY,
        ),
        (429, {"type": "rate_limit_error", "details": "none"}, ErrorKind.RATE_LIMITED),
        (498, {"code": "capacity_exceeded"}, ErrorKind.OVERLOADED),
        (500, {}, ErrorKind.SERVER_ERROR),
        (502, {}, ErrorKind.SERVER_ERROR),
        (503, {}, ErrorKind.OVERLOADED),
        (504, {}, ErrorKind.TIMEOUT),
        (529, {"type": "overloaded_error"}, ErrorKind.OVERLOADED),
    ],
)
def test_kind_of_status(status, error, kind):
    assert status_error("p", status, {}, json.dumps({"error": error}).encode()).kind is kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error": "no"}', b'{"error": {"code": 7}}', b"[" * 99_999])
def test_any_body_is_understood(body):
    error = status_error("p", 500, {}, body)
    assert (error.kind, str(error)) == (ErrorKind.SERVER_ERROR, "p answered with HTTP 500")


def test_message_names_code_and_parameter_and_repeats_no_text():
    body = {"error": {"code": "invalid_api_key", "param": "SECRET prompt", "message": "key sk-SECRET is wrong"}}
    assert str(status_error("p", 401, {}, json.dumps(body).encode())) == "p answered with HTTP 401 (invalid_api_key)"
    body = {"error": {"code": "unsupported_value", "param": "temperature", "message": "SECRET"}}
    message = str(status_error("p", 400, {}, json.dumps(body).encode()))
    assert message == "p answered with HTTP 400 (unsupported_value, parameter temperature)"


def test_limits_are_read_with_the_error():
    error = status_error("p", 429, {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m"}, b"")
    assert (error.limits.remaining_requests, error.limits.requests_reset_s) == (0, 60)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ErrorKind.OVERLOADED),
        ({"type": "api_error"}, ErrorKind.SERVER_ERROR),
        ({"type": "rate_limit_error"}, ErrorKind.RATE_LIMITED),
        ({"type": "invalid_request_error", "message": "prompt is too long"}, ErrorKind.CONTEXT_TOO_LONG),
        ({"type": "invalid_request_error"}, ErrorKind.BAD_REQUEST),
        ({"type": "server_error", "code": None}, ErrorKind.SERVER_ERROR),
        ({"code": "content_filter"}, ErrorKind.CONTENT_POLICY),
        ({"code": 429}, ErrorKind.RATE_LIMITED),
        ({"code": 200}, ErrorKind.SERVER_ERROR),
        ({"code": True}, ErrorKind.SERVER_ERROR),
        ("SECRET", ErrorKind.SERVER_ERROR),
        (None, ErrorKind.SERVER_ERROR),
    ],
)
def test_kind_of_event(error, kind):
    described = event_error("p", error)
    assert (described.kind, described.status) == (kind, None)
    assert "SECRET" not in str(described)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "batch_expired", "message": "SECRET"}, ErrorKind.BATCH_ENDED),
        ({"code": "batch_cancelled"}, ErrorKind.BATCH_ENDED),
        ({"type": "invalid_request_error", "message": "SECRET"}, ErrorKind.BAD_REQUEST),
        ({"type": "overloaded_error"}, ErrorKind.OVERLOADED),
        ("SECRET", ErrorKind.SERVER_ERROR),
    ],
)
def test_kind_of_a_line(error, kind):
    described = line_error("p", error)
    assert (described.kind, described.status) == (kind, None)
    assert "SECRET" not in str(described)


def test_errors_are_listed_by_name_alone():
    errors = [{"code": "mismatched_model"}, {"code": "SECRET words"}, {"message": "SECRET"}, "SECRET", None]
    assert named([*errors, {"code": "invalid_json_line"}, *errors]) == "mismatched_model, invalid_json_line"
    assert named(errors[1:]) == ""


def wrapped(error: Exception, cause: Exception | None = None) -> Exception:
    """The way in which the SDKs and their transport hand on what aiohttp raised."""
    error.__cause__ = cause
    outer = RuntimeError("Request timed out.")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (aiohttp.ClientOSError(104, "Connection reset by peer"), ErrorKind.CUT),
        (aiohttp.ServerDisconnectedError(), ErrorKind.CUT),
        (aiohttp.ClientPayloadError(), ErrorKind.CUT),
        (aiohttp.ServerTimeoutError(), ErrorKind.TIMEOUT),
        (aiohttp.InvalidURL("x"), ErrorKind.CONNECTION),
        (ValueError("nobody knows this one"), ErrorKind.CUT),
    ],
)
def test_kind_of_broken_connection(error, kind):
    assert transport_error("p", wrapped(error)).kind is kind


def test_request_that_was_not_written_in_full_was_not_served():
    reset = aiohttp.ClientConnectionResetError("Cannot write to closing transport")
    assert transport_error("p", wrapped(aiohttp.ClientOSError(None, "Can not write body"), reset)).kind is (
        ErrorKind.CONNECTION
    )


def test_every_kind_has_a_remedy():
    special = {kind: remedy_of(kind) for kind in ErrorKind if remedy_of(kind) is not Remedy.NEXT_PROVIDER}
    assert special == {
        ErrorKind.CONNECTION: Remedy.RETRY,
        ErrorKind.BATCH_ENDED: Remedy.RETRY,
        ErrorKind.CONTEXT_TOO_LONG: Remedy.NEXT_TIER,
    }


def test_what_is_the_requests_fault_or_the_end_of_a_batch_is_no_failure_of_the_provider():
    assert {kind for kind in ErrorKind if not is_provider_failure(kind)} == {
        ErrorKind.BAD_REQUEST,
        ErrorKind.TOO_LARGE,
        ErrorKind.CONTEXT_TOO_LONG,
        ErrorKind.CONTENT_POLICY,
        ErrorKind.BATCH_ENDED,
    }
