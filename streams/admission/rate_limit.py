"""How many requests and tokens may leave for a model in a minute: what the config allows, and the provider says.

Pure: every method is told the time, in monotonic seconds.
"""

from dataclasses import dataclass
from typing import Final

from streams.providers.base import ProviderLimits

_MINUTE_S: Final = 60.0
BURST_S: Final = 5.0
"""How many seconds' worth may leave at once after a pause.

Providers say requests a minute and mean a bucket of their own: some let a whole minute's worth go at once, others
reserve to enforce sixty a minute as one a second. A few seconds' worth passes with either nearly always, and lets the
few requests of an idle system leave together.
"""

LONGEST_HOLD_S: Final = 2.0
"""How long a header that says "nothing is left" is believed.

The reset that it names is when the limit is full again, a minute or for some limits a day away, while a provider's
bucket refills all the time. If it has not refilled by then, the answer is a 429 that says exactly when to come back.
"""


class TokenBucket:
    """A limit a minute, kept in every minute and not only on average.

    In any 60 seconds no more than `per_minute` is taken. An amount above the burst, which could never leave
    otherwise, leaves when the bucket is full and puts it in debt; the bound is then higher by what the largest such
    amount exceeds the burst. For that, the bucket fills a little slower than the limit: what may leave at once
    would come on top of what a minute refills.

    Args:
        per_minute: The limit.
        now: Monotonic seconds.
    """

    def __init__(self, per_minute: int, *, now: float) -> None:
        self.burst = max(1, int(per_minute * BURST_S / _MINUTE_S))
        # One more than the difference: the first and the last of per_minute + 1 are never less than 60 s apart.
        self._per_second = (per_minute - self.burst + 1) / _MINUTE_S
        self._level = float(self.burst)
        self._at = now

    def wait_s(self, amount: int, ahead: int, now: float) -> float:
        """Tell in how many seconds an amount may be taken, if `ahead` is taken by others before."""
        self._refill(now)
        missing = min(amount, self.burst) + ahead - self._level
        return max(0.0, missing / self._per_second)

    def take(self, amount: int, now: float) -> None:
        """Take an amount; a negative one gives back, but never fills above the burst."""
        self._refill(now)
        self._level -= amount

    def lower_to(self, amount: int, now: float) -> None:
        """Have no more than this."""
        self._refill(now)
        self._level = min(self._level, amount)

    def _refill(self, now: float) -> None:
        self._level = min(self.burst, self._level + (now - self._at) * self._per_second)
        self._at = now


@dataclass(frozen=True, slots=True)
class Ahead:
    """Requests that leave before, and their tokens."""

    requests: int = 0
    tokens: int = 0


class RateLimiter:
    """The limits of one model: those configured, and none above them whatever a provider says.

    Args:
        requests_per_minute: None: only what the provider says.
        tokens_per_minute: The same for tokens, of prompt and answer together.
        now: Monotonic seconds.
    """

    def __init__(self, *, requests_per_minute: int | None, tokens_per_minute: int | None, now: float) -> None:
        self._requests = None if requests_per_minute is None else TokenBucket(requests_per_minute, now=now)
        self._tokens = None if tokens_per_minute is None else TokenBucket(tokens_per_minute, now=now)
        self._held_until = now

    def wait_s(self, tokens: int, now: float, ahead: Ahead = Ahead()) -> float:
        """Tell in how many seconds a call of so many tokens may leave, as things stand; 0: now."""
        waits = [self._held_until - now, 0.0]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1, ahead.requests, now))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, ahead.tokens, now))
        return max(waits)

    def take(self, tokens: int, now: float) -> None:
        """Count a call that leaves, with an estimate of its tokens."""
        self._add(1, tokens, now)

    def settle(self, estimate: int, used: int, now: float) -> None:
        """Put what a call has really used in the place of its estimate."""
        self._add(0, used - estimate, now)

    def give_back(self, tokens: int, now: float) -> None:
        """Undo `take` for a call that never left."""
        self._add(-1, -tokens, now)

    def observe(self, limits: ProviderLimits, now: float) -> None:
        """Believe a provider's headers where they are stricter.

        Replies come back in any order, so an earlier "nothing is left" stands until its time even if a later reply
        has more: that one may be the older word.
        """
        if limits.remaining_requests is not None and self._requests is not None:
            self._requests.lower_to(limits.remaining_requests, now)
        if limits.remaining_tokens is not None and self._tokens is not None:
            self._tokens.lower_to(limits.remaining_tokens, now)
        for remaining, reset_s in (
            (limits.remaining_requests, limits.requests_reset_s),
            (limits.remaining_tokens, limits.tokens_reset_s),
        ):
            if remaining is not None and remaining <= 0 and reset_s is not None:
                self._held_until = max(self._held_until, now + min(reset_s, LONGEST_HOLD_S))

    def _add(self, requests: int, tokens: int, now: float) -> None:
        if self._requests is not None:
            self._requests.take(requests, now)
        if self._tokens is not None:
            self._tokens.take(tokens, now)
