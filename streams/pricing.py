"""What a model costs: the prices of the settings, else the dated price list that ships with genai-prices."""

from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from genai_prices import __version__ as price_list_version
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from streams.settings import PriceSettings, ProviderSettings
from topics.journal import Rates

_RATE_STEP: Final = Decimal("0.000001")


class UnknownPriceError(Exception):
    """Nobody knows what a model costs; the message is one line that says what to add to the settings."""


class PriceBook:
    """Looks prices up. The list is offline: prices change with the settings or with the library's version."""

    def __init__(self, prices: Mapping[str, PriceSettings], providers: Mapping[str, ProviderSettings]) -> None:
        self._own = {ref: _own_rates(price) for ref, price in prices.items()}
        self._list_ids = {name: provider.price_list or name for name, provider in providers.items()}
        self._listed: dict[tuple[str, str], ModelInfo] = {}
        self._rates: dict[tuple[str, str, int], Rates] = {}

    def rates(self, provider: str, model: str, at: datetime) -> Rates:
        """Return the rates of a model at a moment, in US dollars a million tokens.

        Where the list has a higher price for long inputs, the price of short ones is returned; where it has none
        for cached tokens, they cost as much as others.

        Args:
            provider: Its name in the settings.
            model: Its id at the provider.
            at: With a time zone; the list's prices may depend on the date and on the hour.

        Raises:
            UnknownPriceError: Neither the settings nor the list know the model.
        """
        own = self._own.get(f"{provider}/{model}")
        if own is not None:
            return own
        listed = self._listed.get((provider, model))
        if listed is None:
            listed = self._listed[provider, model] = self._find(provider, model)
        price = listed.get_prices(at)
        # The list's price objects live as long as the process, so their identity is a safe key.
        key = (provider, model, id(price))
        rates = self._rates.get(key)
        if rates is None:
            rates = self._rates[key] = _listed_rates(provider, model, price)
        return rates

    def _find(self, provider: str, model: str) -> ModelInfo:
        list_id = self._list_ids.get(provider, provider)
        try:
            return get_snapshot().find_provider_model(model, None, list_id, None)[1]
        except LookupError:
            raise _unknown(provider, model) from None


def _own_rates(price: PriceSettings) -> Rates:
    cached = price.input if price.cached is None else price.cached
    return Rates(input=price.input, output=price.output, cached=cached, source="config")


def _listed_rates(provider: str, model: str, price: ModelPrice) -> Rates:
    fresh, output, cached = (
        _base(getattr(price, name, None)) for name in ("input_mtok", "output_mtok", "cache_read_mtok")
    )
    if fresh is None or output is None:
        raise _unknown(provider, model)
    return Rates(
        input=fresh,
        output=output,
        cached=fresh if cached is None else cached,
        source=f"genai-prices {price_list_version}",
    )


def _base(price: Decimal | TieredPrices | None) -> Decimal | None:
    value = price.base if isinstance(price, TieredPrices) else price
    # A few listed prices carry the noise of binary fractions, such as 1.0399999999999998.
    return None if value is None else value.quantize(_RATE_STEP, ROUND_HALF_EVEN)


def _unknown(provider: str, model: str) -> UnknownPriceError:
    return UnknownPriceError(
        f'no price for {provider}/{model}: add [prices."{provider}/{model}"] with input and output, '
        "in US dollars a million tokens"
    )
