"""Prices: settings before list, dates and hours of the list, and errors that say what to do."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import __version__ as price_list_version

from streams.pricing import PriceBook, UnknownPriceError
from streams.settings import PriceSettings, ProviderSettings, load
from topics.journal import Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def provider(price_list: str | None = None) -> ProviderSettings:
    return ProviderSettings(protocol="openai_compatible", api_key_env="KEY", price_list=price_list)


@pytest.fixture
def listed() -> PriceBook:
    return PriceBook({}, {name: provider() for name in ("groq", "openai", "anthropic", "together", "deepseek")})


def test_every_shipped_model_has_a_price(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load()
    book = PriceBook(settings.prices, settings.providers)
    for _, model in settings.models():
        rates = book.rates(model.provider, model.model, NOW)
        assert 0 < rates.cached <= rates.input < rates.output
        assert rates.source == f"genai-prices {price_list_version}"


def test_own_prices_win_and_cached_falls_back_to_input():
    own = {"groq/openai/gpt-oss-20b": PriceSettings(input=Decimal("1.5"), output=Decimal(2))}
    rates = PriceBook(own, {"groq": provider()}).rates("groq", "openai/gpt-oss-20b", NOW)
    assert (rates.input, rates.output, rates.cached, rates.source) == (Decimal("1.5"), 2, Decimal("1.5"), "config")


def test_listed_model_without_a_cached_price(listed):
    rates = listed.rates("together", "openai/gpt-oss-120b", NOW)
    assert rates.cached == rates.input


def test_price_list_id_differs_from_the_name():
    assert PriceBook({}, {"fast": provider("groq")}).rates("fast", "openai/gpt-oss-20b", NOW).input > 0


@pytest.mark.parametrize("name", ["openai", "nowhere"])
def test_unknown_model_says_what_to_add(listed, name):
    with pytest.raises(UnknownPriceError, match=rf'\[prices."{name}/no-such-model"\]'):
        listed.rates(name, "no-such-model", NOW)


def test_price_follows_the_date(listed):
    before = listed.rates("openai", "o3", datetime(2025, 6, 1, tzinfo=UTC))
    after = listed.rates("openai", "o3", datetime(2025, 7, 1, tzinfo=UTC))
    assert before.input > after.input


def test_price_follows_the_hour(listed):
    day = listed.rates("deepseek", "deepseek-chat", datetime(2025, 7, 1, 12, tzinfo=UTC))
    night = listed.rates("deepseek", "deepseek-chat", datetime(2025, 7, 1, 18, tzinfo=UTC))
    assert night.input < day.input


def test_cost_is_exact_to_the_stored_decimals(listed):
    rates = listed.rates("groq", "openai/gpt-oss-20b", NOW)
    cost = rates.cost(Usage(input=1001, output=7, cached=1))
    assert cost == Decimal("0.0000771375")
