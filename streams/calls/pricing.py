"""What a call costs: the prices of the settings, else the dated price list that ships with genai-prices."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from genai_prices import __version__ as price_list_version
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from streams.config.settings_sections import PriceSettings, ProviderSettings, TokenPrices
from topics.journal import Rates, Usage

_RATE_STEP: Final = Decimal("0.000001")
_OWN: Final = "config"
_IN_BATCHES: Final = ", batch"


class UnknownPriceError(Exception):
    """Nobody knows what a model costs; the message is one line that says what to add to the settings."""


@dataclass(frozen=True, slots=True)
class _Price:
    """A model's rates by length of input: `rates[i]` apply above `starts[i - 1]` tokens, up to `starts[i]`."""

    starts: tuple[int, ...]
    rates: tuple[Rates, ...]

    def for_input(self, tokens: int) -> Rates:
        return self.rates[bisect_left(self.starts, tokens)]

    def in_batches(self, share: Decimal) -> "_Price":
        return _Price(self.starts, tuple(_batch_rates(rates, share) for rates in self.rates))


class PriceBook:
    """Looks prices up. The list is offline: prices change with the settings or with the library's version."""

    def __init__(self, prices: Mapping[str, PriceSettings], providers: Mapping[str, ProviderSettings]) -> None:
        self._own = {ref: _own_price(price) for ref, price in prices.items()}
        self._list_ids = {name: provider.price_list or name for name, provider in providers.items()}
        self._batch_shares = {name: provider.batch_price for name, provider in providers.items()}
        self._listed: dict[tuple[str, str], ModelInfo] = {}
        self._prices: dict[tuple[str, str, int], _Price] = {}
        self._batch_prices: dict[tuple[str, int], _Price] = {}

    def rates(
        self, provider: str, model: str, at: datetime, usage: Usage | None = None, *, batch: bool = False
    ) -> Rates:
        """Return the rates of a model at a moment, in US dollars a million tokens.

        Where no price is known for cached tokens or for those written to the cache, they cost as much as other input.

        Args:
            provider: Its name in the settings.
            model: Its id at the provider.
            at: With a time zone; the list's prices may depend on the date and on the hour.
            usage: Of the call to be billed, as prices may depend on the length of the input; None for a short input.
            batch: Whether a batch of the provider answers it, at the share of the usual price that its settings name.

        Raises:
            UnknownPriceError: Neither the settings nor the list know the model; or, of a batch, the settings don't know
                the provider.
        """
        price = self._own.get(f"{provider}/{model}") or self._listed_price(provider, model, at)
        if batch:
            price = self._batch_price(provider, price)
        return price.for_input(usage.input if usage else 0)

    def _batch_price(self, provider: str, usual: _Price) -> _Price:
        # The book keeps each price that it has read, so their identity is a safe key.
        key = (provider, id(usual))
        price = self._batch_prices.get(key)
        if price is None:
            share = self._batch_shares.get(provider)
            if share is None:
                raise UnknownPriceError(f"no price for batches of {provider}: add [providers.{provider}]")
            price = self._batch_prices[key] = usual.in_batches(share)
        return price

    def _listed_price(self, provider: str, model: str, at: datetime) -> _Price:
        listed = self._listed.get((provider, model))
        if listed is None:
            listed = self._listed[provider, model] = self._find(provider, model)
        valid = listed.get_prices(at)
        # The list's price objects live as long as the process, so their identity is a safe key.
        key = (provider, model, id(valid))
        price = self._prices.get(key)
        if price is None:
            price = self._prices[key] = _read_price(provider, model, valid)
        return price

    def _find(self, provider: str, model: str) -> ModelInfo:
        list_id = self._list_ids.get(provider, provider)
        try:
            return get_snapshot().find_provider_model(model, None, list_id, None)[1]
        except LookupError:
            raise _unknown(provider, model) from None


def follows_settings(source: str) -> bool:
    """Whether the settings may change rates of a source; else they are those of one version of the list, for ever."""
    return source == _OWN or source.endswith(_IN_BATCHES)


def split(usage: Usage, rates: Rates, n: int) -> list[tuple[Usage, Decimal]]:
    """Split the tokens and the cost of a call, in US dollars, into `n` parts that add up exactly.

    The tokens of each price (fresh, cached and cache-writing input, reasoning and other output) are split apart from
    each other, so that each part is a usage in its own right. A part's cost is `rates.cost` of it; cost is linear in
    tokens, so the costs add up to that of the whole. Parts differ by at most one token of each price, and by one token
    of input and of output in all.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError("a call is shared by at least one request")
    if n == 1:
        return [(usage, rates.cost(usage))]
    fresh_input = usage.input - usage.cached - usage.cache_written
    plain_output = usage.output - usage.reasoning
    fresh, cached, written, plain, reasoning = _spread(
        (fresh_input, usage.cached, usage.cache_written, plain_output, usage.reasoning), n
    )
    parts = [
        usage.model_copy(
            update={
                "input": fresh[i] + cached[i] + written[i],
                "cached": cached[i],
                "cache_written": written[i],
                "output": plain[i] + reasoning[i],
                "reasoning": reasoning[i],
            }
        )
        for i in range(n)
    ]
    return [(part, rates.cost(part)) for part in parts]


def _spread(totals: tuple[int, ...], n: int) -> list[list[int]]:
    """Split each total into n parts; the odd tokens of one total go on where those of the one before ended."""
    spread: list[list[int]] = []
    first = 0
    for total in totals:
        each, odd = divmod(total, n)
        parts = [each] * n
        for i in range(first, first + odd):
            parts[i % n] += 1
        first += odd
        spread.append(parts)
    return spread


def _own_price(price: PriceSettings) -> _Price:
    long = price.long_context
    if long is None:
        return _Price((), (_own_rates(price),))
    return _Price((long.above,), (_own_rates(price), _own_rates(long)))


def _own_rates(price: TokenPrices) -> Rates:
    return Rates(
        input=price.input,
        output=price.output,
        cached=price.input if price.cached is None else price.cached,
        cache_write=price.cache_write,
        source=_OWN,
    )


def _batch_rates(usual: Rates, share: Decimal) -> Rates:
    def reduced(rate: Decimal) -> Decimal:
        return (rate * share).quantize(_RATE_STEP, ROUND_HALF_EVEN)

    return Rates(
        input=reduced(usual.input),
        output=reduced(usual.output),
        cached=reduced(usual.cached),
        cache_write=None if usual.cache_write is None else reduced(usual.cache_write),
        source=f"{usual.source}{_IN_BATCHES}",
    )


def _read_price(provider: str, model: str, price: ModelPrice) -> _Price:
    listed = (price.input_mtok, price.output_mtok, price.cache_read_mtok, price.cache_write_mtok)
    starts = sorted({tier.start for rate in listed if isinstance(rate, TieredPrices) for tier in rate.tiers})

    def rates_above(start: int) -> Rates:
        fresh, output, cached, written = (_rate_above(rate, start) for rate in listed)
        if fresh is None or output is None:
            raise _unknown(provider, model)
        return Rates(
            input=fresh,
            output=output,
            cached=fresh if cached is None else cached,
            cache_write=written,
            source=f"genai-prices {price_list_version}",
        )

    return _Price(tuple(starts), tuple(rates_above(start) for start in (-1, *starts)))


def _rate_above(price: Decimal | TieredPrices | None, start: int) -> Decimal | None:
    """The rate of a call whose input is just above a number of tokens."""
    value = (
        next((tier.price for tier in reversed(price.tiers) if tier.start <= start), price.base)
        if isinstance(price, TieredPrices)
        else price
    )
    # A few listed prices carry the noise of binary fractions, such as 1.0399999999999998.
    return None if value is None else value.quantize(_RATE_STEP, ROUND_HALF_EVEN)


def _unknown(provider: str, model: str) -> UnknownPriceError:
    return UnknownPriceError(
        f'no price for {provider}/{model}: add [prices."{provider}/{model}"] with input and output, '
        "in US dollars a million tokens"
    )
