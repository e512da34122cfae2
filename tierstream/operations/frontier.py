"""What the frontier model costs, that reports compare with."""

from analytics.ledger_window import Rates
from streams.config.settings import Settings
from streams.kafka.clock import utc_now


def frontier_rates(settings: Settings) -> Rates:
    """Look up what the frontier model costs now.

    Raises:
        UnknownPriceError: Nobody knows its price.
    """
    from streams.calls.pricing import PriceBook  # noqa: PLC0415 - brings the price list, which few reports need

    provider, model = settings.frontier_ref.split("/", 1)
    rates = PriceBook(settings.prices, settings.providers).rates(provider, model, utc_now())
    return rates.input, rates.output, rates.cached
