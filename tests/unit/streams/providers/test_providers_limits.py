"""Rate-limit headers of all vendors, and durations in their notation."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.providers.base import ProviderLimits
from streams.providers.limits import parse_duration, read_limits

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("120ms", 0.12),
        ("1h0m0s", 3600),
        ("1d2h", 93600),
        ("0s", 0),
        ("850µs", 0.00085),
        ("", None),
        ("5", None),
        ("s", None),
        ("-5s", None),
        ("+5s", None),
        ("1.s", None),
        ("1 s", None),
        ("5s\n", None),
        ("٣s", None),
        ("2026-11-01T12:00:00Z", None),
        ("9" * 400 + "s", None),
    ],
)
def test_durations(text, seconds):
    assert parse_duration(text) == (seconds if seconds is None else pytest.approx(seconds))


@given(
    st.lists(
        st.tuples(st.decimals(0, 10**9 - 1, places=3).map(lambda d: f"{d:f}"), st.sampled_from(sorted(SECONDS))),
        min_size=1,
        max_size=5,
    )
)
def test_a_duration_is_the_sum_of_its_parts(parts):
    text = "".join(amount + unit for amount, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(float(amount) * SECONDS[unit] for amount, unit in parts))


@given(st.text(alphabet="0123456789.dhmsnuµ -+e", max_size=12))
def test_any_text_is_a_duration_or_none(text):
    seconds = parse_duration(text)
    assert seconds is None or seconds >= 0


@given(
    st.dictionaries(st.sampled_from(["x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-reset"]), st.text())
)
def test_any_header_is_read_or_ignored(headers):
    limits = read_limits(headers, NOW)
    assert limits is None or isinstance(limits, ProviderLimits)


def test_headers_of_openai_and_groq():
    headers = {
        "x-ratelimit-limit-requests": "14400",
        "x-ratelimit-remaining-requests": "14370",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-requests": "2m59.56s",
        "x-ratelimit-reset-tokens": "7.66s",
    }
    assert read_limits(headers, NOW) == ProviderLimits(14370, 17997, pytest.approx(179.56), pytest.approx(7.66))


def test_headers_of_anthropic():
    headers = {
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-tokens-remaining": "39000",
        "anthropic-ratelimit-requests-reset": "2026-11-01T12:00:30Z",
        "anthropic-ratelimit-tokens-reset": "2026-11-01T13:59:00+02:00",
    }
    assert read_limits(headers, NOW) == ProviderLimits(49, 39000, 30, 0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "1730000000"},
        {"x-ratelimit-remaining-requests": "-1"},
        {"anthropic-ratelimit-requests-reset": "2026-11-01T12:00:30"},
        {"anthropic-ratelimit-requests-reset": "soon"},
    ],
)
def test_what_is_not_readable_is_not_said(headers):
    assert read_limits(headers, NOW) is None


def test_one_bad_header_spoils_no_other():
    headers = {"x-ratelimit-remaining-requests": "7", "x-ratelimit-reset-requests": "?"}
    assert read_limits(headers, NOW) == ProviderLimits(remaining_requests=7)


@pytest.mark.parametrize("name", ["X-RateLimit-Remaining-Requests", "Anthropic-RateLimit-Requests-Remaining"])
def test_names_are_read_in_any_case(name):
    assert read_limits({"Content-Type": "text/plain", name: "3"}, NOW) == ProviderLimits(remaining_requests=3)
