"""The models behind made traffic: who is asked, how long each takes, when it is away, and what it costs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final
from uuid import UUID

from streams.calls.pricing import PriceBook
from streams.config.settings import Settings
from tierstream.bench.ledger_plants import Plants
from topics.control import BreakerState, BreakerStatus
from topics.journal import CallError, Rates, Usage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_PACE: Final = {
    # ms until the first token, and for each further one.
    1: ((90, 0.9), (180, 1.6)),
    2: ((350, 4.0), (320, 4.5)),
    3: ((900, 13.0), (1100, 12.0)),
}
_VERDICT_TOKENS: Final = 24
_OTHER_SHARE: Final = 0.12
"""Of a tier's calls, those that its second model has because the first one is at a limit."""
_FAILS: Final = 0.006
_FAILS_IN_INCIDENTS: Final = 0.6
_HAS_INCIDENT: Final = 0.12
"""Of the models, on a day."""
_INCIDENT_MS: Final = 15 * 60_000
_AWAY: Final = 0.0012
_ERRORS: Final = (
    ("overloaded", 503, 1000),
    ("rate_limited", 429, 2000),
    ("server_error", 500, None),
    ("timeout", None, None),
    ("connection", None, None),
)
_CACHED_FROM: Final = 1024
"""Tokens of instructions from which on providers cache them."""
_CACHE_HITS: Final = 0.65
_BILLED_UNSEEN: Final = 0.3
"""Of the calls that take too long, those whose answer had begun."""
_BATCHED: Final = 0.2

Ref = tuple[str, str]
"""Provider and model."""


@dataclass(frozen=True, slots=True)
class Trip:
    """A call over the wire and back.

    Attributes:
        ms: How long it took.
        usage: None where nothing was billed.
        rates: Of a call with a usage.
        cost_usd: Of the whole call.
        error: None where there is an answer.
        first_token_ms: Of a streamed call.
        batch_size: Calls that left together.
        batch_wait_ms: How long the call waited for its batch.
    """

    ref: Ref
    ms: float
    usage: Usage | None
    rates: Rates | None
    cost_usd: Decimal
    error: CallError | None = None
    first_token_ms: float | None = None
    batch_size: int = 1
    batch_wait_ms: float = 0.0


class Models:
    """The models of the settings' tiers.

    Args:
        settings: With three tiers of two models or more, and a judge.
        seed: Decides when models are away.
        first_ms: When the traffic begins, ms since the epoch.
        plants: What is planted.
    """

    def __init__(self, settings: Settings, seed: int, first_ms: int, plants: Plants) -> None:
        self._seed, self._first_ms, self._plants = seed, first_ms, plants
        self._prices = PriceBook(settings.prices, settings.providers)
        self._tiers = [[(model.provider, model.model) for model in tier.models[:2]] for tier in settings.tiers]
        self._pace = {
            ref: _PACE[tier][place] for tier, refs in enumerate(self._tiers, 1) for place, ref in enumerate(refs)
        }
        self._judges = [(model.provider, model.model) for model in settings.validation.chain]
        self._rates: dict[tuple[Ref, int], Rates] = {}
        self._incidents: dict[int, dict[Ref, int]] = {}

    @property
    def voter(self) -> Ref:
        """The model that has a vote on the tier."""
        return self._tiers[0][0]

    @property
    def candidate(self) -> Ref:
        """The model that the first tier's answers are compared with."""
        return self._tiers[0][1]

    def judge(self, answerer: str) -> Ref:
        """Return who judges the answers of a provider: somebody else."""
        return next(judge for judge in self._judges if judge[0] != answerer)

    def chain(self, tier: int, draw: Random) -> Sequence[Ref]:
        """Return the models of a tier in the order in which they are asked."""
        first, other = self._tiers[tier - 1]
        slow = self._plants.slow_provider
        is_slow = slow is not None and (slow.provider, slow.model) in {first, other}
        share = slow.other_share if slow is not None and is_slow else _OTHER_SHARE
        return (other, first) if draw.random() < share else (first, other)

    def rests(self, draw: Random) -> bool:
        """Whether no provider is to be had for a while."""
        return draw.random() < _AWAY

    def answer(self, ref: Ref, given: Usage, at_ms: float, draw: Random, *, streams: bool) -> Trip:
        """Ask for an answer, which may fail.

        Args:
            ref: Who is asked.
            given: Tokens of it, before anybody knows what was cached.
            at_ms: When, ms since the epoch.
            draw: Decides what happens.
            streams: Whether the answer is streamed.
        """
        is_batched = self._pace[ref] is _PACE[1][0] and draw.random() < _BATCHED
        size, wait_ms = (draw.randint(2, 16), round(draw.uniform(0, 100), 3)) if is_batched else (1, 0.0)
        fails = _FAILS_IN_INCIDENTS if self._is_in_incident(ref, at_ms) else _FAILS
        if draw.random() < fails:
            return self._failed(ref, given, at_ms, draw, size, wait_ms)
        first_ms, token_ms = self._pace[ref]
        slow = self._plants.slow_provider
        factor = slow.factor if slow is not None and (slow.provider, slow.model) == ref else 1.0
        noise = draw.lognormvariate(0, 0.3) * factor
        usage = _cached(ref, given, draw)
        rates = self.rates(ref, at_ms)
        return Trip(
            ref,
            round((first_ms + token_ms * usage.output) * noise, 3),
            usage,
            rates,
            rates.cost(usage),
            first_token_ms=round(first_ms * noise, 3) if streams else None,
            batch_size=size,
            batch_wait_ms=wait_ms,
        )

    def verdict(self, ref: Ref, tokens: int, at_ms: float, draw: Random) -> Trip:
        """Ask a judge or a voter, who answers shortly and does not fail."""
        first_ms, token_ms = self._pace[ref]
        usage = Usage(input=tokens, output=_VERDICT_TOKENS + draw.randrange(20))
        rates = self.rates(ref, at_ms)
        ms = round((first_ms + token_ms * usage.output) * draw.lognormvariate(0, 0.3), 3)
        return Trip(ref, ms, usage, rates, rates.cost(usage))

    def rates(self, ref: Ref, at_ms: float) -> Rates:
        """Return the prices of a model at a moment."""
        day = int(at_ms - self._first_ms) // _DAY_MS
        found = self._rates.get((ref, day))
        if found is None:
            found = self._rates[ref, day] = self._priced(ref, day)
        return found

    def breakers(self, day: int) -> Iterator[tuple[int, BreakerStatus]]:
        """Yield what a worker said of its breakers on a day, with the times of append."""
        for (provider, model), began in self._incidents_of(day).items():
            target, since = f"{provider}/{model}", began + 20_000
            for state, at_ms in (
                (BreakerState.OPEN, since),
                (BreakerState.HALF_OPEN, since + 5_000),
                (BreakerState.CLOSED, began + _INCIDENT_MS),
            ):
                at = _EPOCH + timedelta(milliseconds=at_ms)
                is_open = state is BreakerState.OPEN
                yield (
                    at_ms,
                    BreakerStatus(
                        worker="worker-1:17",
                        target=target,
                        state=state,
                        reason="6 of 10 calls failed" if is_open else "its time is up",
                        since=at,
                        until=at + timedelta(seconds=5) if is_open else None,
                        calls=10,
                        failures=6,
                        slow=1,
                        at=at,
                    ),
                )

    def _priced(self, ref: Ref, day: int) -> Rates:
        provider, model = ref
        at = _EPOCH + timedelta(milliseconds=self._first_ms + day * _DAY_MS)
        rates, change = self._prices.rates(provider, model, at), self._plants.price_change
        if change is None or (change.provider, change.model) != ref or day < change.day:
            return rates
        factor = change.factor
        return Rates(
            input=rates.input * factor,
            output=rates.output * factor,
            cached=rates.cached * factor,
            cache_write=None if rates.cache_write is None else rates.cache_write * factor,
            source="config",
        )

    def _failed(self, ref: Ref, given: Usage, at_ms: float, draw: Random, size: int, wait_ms: float) -> Trip:
        kind, status, pause = draw.choice(_ERRORS)
        error = CallError(kind=kind, message=f"{kind}: try again", status=status, retry_after_ms=pause)
        is_slow = kind == "timeout"
        usage, rates, cost = None, None, Decimal(0)
        if is_slow and draw.random() < _BILLED_UNSEEN:
            # The provider had begun, and what it bills is known to it alone.
            usage = Usage(input=given.input, output=given.output // 2, source="estimated")
            rates = self.rates(ref, at_ms)
            cost = rates.cost(usage)
        ms = draw.uniform(5000, 8000) if is_slow else draw.uniform(30, 400)
        return Trip(ref, round(ms, 3), usage, rates, cost, error, None, size, wait_ms)

    def _is_in_incident(self, ref: Ref, at_ms: float) -> bool:
        began = self._incidents_of(int(at_ms - self._first_ms) // _DAY_MS).get(ref)
        return began is not None and began <= at_ms < began + _INCIDENT_MS

    def _incidents_of(self, day: int) -> dict[Ref, int]:
        """Return when models begin to be away on a day, ms since the epoch."""
        found = self._incidents.get(day)
        if found is None:
            draw = Random(f"{self._seed}/incidents/{day}")  # noqa: S311 - traffic has to be reproducible
            away = [ref for refs in self._tiers for ref in refs if draw.random() < _HAS_INCIDENT]
            begin = self._first_ms + day * _DAY_MS
            found = {ref: begin + draw.randrange(8 * _HOUR_MS, 18 * _HOUR_MS) for ref in away}
            self._incidents[day] = found
        return found


def random_id(draw: Random) -> UUID:
    """Return an id, such as of a call over the wire."""
    return UUID(int=draw.getrandbits(128), version=4)


def _cached(ref: Ref, given: Usage, draw: Random) -> Usage:
    """Say which part of the input came from the provider's cache, or was written to it: `given.cached` could."""
    if given.cached < _CACHED_FROM:
        return given.model_copy(update={"cached": 0})
    if draw.random() < _CACHE_HITS:
        return given
    written = given.cached if ref[0] == "anthropic" else 0
    return given.model_copy(update={"cached": 0, "cache_written": written})
