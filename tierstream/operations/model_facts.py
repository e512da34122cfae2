"""What settings, catalogue and price list know of models that calls could move to."""

import tomllib
from collections.abc import Iterable

from analytics.leverage.model_facts import UNLIMITED, ModelFacts, TokenRates
from streams.calls.pricing import PriceBook, UnknownPriceError
from streams.config.model_catalogue import ModelTable
from streams.config.settings import DEFAULTS_FILE, Settings
from streams.config.settings_sections import ModelSettings
from streams.kafka.clock import utc_now


class FactsOfModels:
    """Looks models up, those of the settings and those that are only named.

    Args:
        settings: With the providers, and models whose limits they know better than the catalogue.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._table = ModelTable(settings.providers, settings.retired)
        self._book = PriceBook(settings.prices, settings.providers)
        self._configured = {model.ref: model for _, model in settings.models()}

    def __call__(self, refs: Iterable[str]) -> dict[str, ModelFacts]:
        """Return what is known of models; retired ones, unknown providers and unknown prices are left out."""
        every = dict.fromkeys((*refs, *(model.ref for tier in self._settings.tiers for model in tier.models)))
        return {ref: facts for ref in every if (facts := self._facts(ref)) is not None}

    def _facts(self, ref: str) -> ModelFacts | None:
        provider, _, name = ref.partition("/")
        if provider not in self._settings.providers:
            return None
        now = utc_now()
        model = self._configured.get(ref) or ModelSettings(provider=provider, model=name)
        if any(not found.answers for found in self._table.findings([("", model)], now.date())):
            return None
        try:
            rates = self._book.rates(provider, name, now)
        except UnknownPriceError:
            return None
        known = self._table.known(model)
        written = rates.input if rates.cache_write is None else rates.cache_write
        return ModelFacts(
            ref,
            TokenRates(rates.input, rates.cached, written, rates.output),
            window=model.context_window or (known and known.context_window) or UNLIMITED,
            max_input=(known and known.max_input) or UNLIMITED,
            max_output=(known and known.max_output) or UNLIMITED,
            data_classes=frozenset(one.value for one in self._settings.providers[provider].data_classes),
        )


def middle_models() -> list[str]:
    """Return the models between the lowest and the highest tier of the settings that a deployment starts from."""
    tiers = tomllib.loads(DEFAULTS_FILE.read_text(encoding="utf-8"))["tiers"]
    return [f"{model['provider']}/{model['model']}" for tier in tiers[1:-1] for model in tier["models"]]
