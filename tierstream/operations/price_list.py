"""What the models of the settings cost now, for reports that compare."""

from analytics.ledger_window import PriceList, Rates
from streams.calls.pricing import PriceBook, UnknownPriceError
from streams.config.settings import Settings
from streams.kafka.clock import utc_now


def configured_prices(settings: Settings) -> PriceList:
    """Look up the rates of the models of the tiers, and of the frontier model; one without a known price is left out.

    What batches cost at each provider is there too.

    Raises:
        UnknownPriceError: It is the frontier model.
    """
    book, now = PriceBook(settings.prices, settings.providers), utc_now()
    found: dict[str, Rates] = {}
    answering = (model.ref for tier in settings.tiers for model in tier.models)
    for ref in dict.fromkeys((*answering, settings.frontier_ref)):
        provider, model = ref.split("/", 1)
        try:
            rates = book.rates(provider, model, now)
        except UnknownPriceError:
            if ref == settings.frontier_ref:
                raise
        else:
            found[ref] = (rates.input, rates.output, rates.cached)
    shares = {name: provider.batch_price for name, provider in settings.providers.items()}
    return PriceList(settings.frontier_ref, found, shares)
