"""Requests and tokens per minute of one model, as token buckets that refill evenly."""

from dataclasses import dataclass
from typing import Final

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class BucketState:
    """A limit per minute, what is left of it, and the seconds until it is full again."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class LimitState:
    """What the rate-limit headers say; None where the model has no such limit."""

    requests: BucketState | None
    tokens: BucketState | None


class Bucket:
    """One limit per minute. Times are seconds of any monotonic clock."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._limit = per_minute
        self._level = float(per_minute)
        self._at = now

    def wait_for(self, amount: int, now: float) -> float:
        """Seconds until the amount is there; 0 if it is. More than the limit waits for a full bucket."""
        self._refill(now)
        missing = min(amount, self._limit) - self._level
        return max(0.0, missing * _MINUTE_S / self._limit)

    def take(self, amount: int) -> None:
        """Take the amount, below zero if need be: output is only known after it was admitted."""
        self._level -= amount

    def state(self, now: float) -> BucketState:
        """What the bucket holds now."""
        self._refill(now)
        reset_s = (self._limit - self._level) * _MINUTE_S / self._limit
        return BucketState(self._limit, max(0, int(self._level)), reset_s)

    def _refill(self, now: float) -> None:
        self._level = min(float(self._limit), self._level + (now - self._at) * self._limit / _MINUTE_S)
        self._at = now


class RateLimits:
    """The limits of one model; a missing limit admits everything."""

    def __init__(self, requests_per_minute: int | None, tokens_per_minute: int | None, now: float) -> None:
        self._requests = None if requests_per_minute is None else Bucket(requests_per_minute, now)
        self._tokens = None if tokens_per_minute is None else Bucket(tokens_per_minute, now)

    def admit(self, input_tokens: int, now: float) -> tuple[str, float] | None:
        """Take a request and its input, or return the exceeded limit's name and the seconds to wait."""
        waits = [
            ("requests", self._requests.wait_for(1, now) if self._requests else 0.0),
            ("tokens", self._tokens.wait_for(input_tokens, now) if self._tokens else 0.0),
        ]
        name, wait = max(waits, key=lambda item: item[1])
        if wait > 0:
            return name, wait
        if self._requests:
            self._requests.take(1)
        self.charge(input_tokens)
        return None

    def charge(self, tokens: int) -> None:
        """Count tokens that were not known when the request was admitted."""
        if self._tokens:
            self._tokens.take(tokens)

    def state(self, now: float) -> LimitState | None:
        """What the headers say, or None for a model without limits."""
        if self._requests is None and self._tokens is None:
            return None
        return LimitState(
            requests=self._requests.state(now) if self._requests else None,
            tokens=self._tokens.state(now) if self._tokens else None,
        )
