"""Rate-limit headers: what is left of an account's requests and tokens, and when the limits are full again.

Sources: https://platform.openai.com/docs/guides/rate-limits, https://console.groq.com/docs/rate-limits and
https://platform.claude.com/docs/en/api/rate-limits. Groq's limit of requests is one a day, the others are a minute's.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from streams.providers.base import ProviderLimits

_NOTHING: Final = ProviderLimits()
_COUNT: Final = re.compile(r"\d{1,18}", re.ASCII)
_DURATION_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(d|h|ms|m|s|us|µs|ns)", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)
_SECONDS: Final = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def read_limits(headers: Mapping[str, str], now: datetime) -> ProviderLimits | None:
    """Read the headers of OpenAI, Groq and their like, or of Anthropic; what is not readable counts as not said.

    Args:
        headers: Response headers, in any case.
        now: With a time zone; Anthropic names moments.

    Returns:
        None where nothing is said.
    """
    # One pass: each look-up goes through all headers.
    told = {lower: value for name, value in headers.items() if "ratelimit" in (lower := name.lower())}
    if not told:
        return None
    limits = ProviderLimits(
        remaining_requests=_count(told.get("x-ratelimit-remaining-requests")),
        remaining_tokens=_count(told.get("x-ratelimit-remaining-tokens")),
        requests_reset_s=parse_duration(told.get("x-ratelimit-reset-requests", "")),
        tokens_reset_s=parse_duration(told.get("x-ratelimit-reset-tokens", "")),
    )
    if limits == _NOTHING:
        limits = ProviderLimits(
            remaining_requests=_count(told.get("anthropic-ratelimit-requests-remaining")),
            remaining_tokens=_count(told.get("anthropic-ratelimit-tokens-remaining")),
            requests_reset_s=_seconds_until(told.get("anthropic-ratelimit-requests-reset"), now),
            tokens_reset_s=_seconds_until(told.get("anthropic-ratelimit-tokens-reset"), now),
        )
    return None if limits == _NOTHING else limits


def parse_duration(text: str) -> float | None:
    """Read a duration as Go writes it (6m0s, 2m59.56s, 120ms), in seconds; None if it is not one.

    Source: https://pkg.go.dev/time#ParseDuration.
    """
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION_PART.findall(text))


def _count(text: str | None) -> int | None:
    return int(text) if text is not None and _COUNT.fullmatch(text) else None


def _seconds_until(text: str | None, now: datetime) -> float | None:
    """Seconds until an RFC 3339 moment, 0 if it is past."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return max(0.0, (moment - now).total_seconds()) if moment.tzinfo else None
