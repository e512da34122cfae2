"""What calls would cost at the prices of the settings, with tokens that are estimated."""

from collections.abc import Sequence
from decimal import Decimal

from streams.calls.pricing import PriceBook, UnknownPriceError
from streams.config.settings import Settings
from streams.config.tokens import Tokenizer, estimate
from streams.kafka.clock import utc_now
from tierstream.client.request_file import InputError
from topics.journal import Rates, Usage


def rates_of(settings: Settings, ref: str) -> Rates:
    """Look up a model's prices.

    Raises:
        InputError: Nobody knows them.
    """
    provider, _, name = ref.partition("/")
    try:
        return PriceBook(settings.prices, settings.providers).rates(provider, name, utc_now())
    except UnknownPriceError as error:
        raise InputError(str(error)) from None


def call_costs(rates: Sequence[Rates], texts: Sequence[str], answer_tokens: int) -> list[tuple[Decimal, ...]]:
    """Price a call for each text by each of the rates, in US dollars.

    Args:
        rates: Of the models.
        texts: What is sent.
        answer_tokens: Of every answer.
    """
    usages = [Usage(input=estimate(text, Tokenizer.OTHER), output=answer_tokens, source="estimated") for text in texts]
    return [tuple(rate.cost(usage) for rate in rates) for usage in usages]
