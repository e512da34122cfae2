"""Prices: settings before list, dates, hours and lengths of the list, and errors that say what to do."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as GenaiUsage
from genai_prices import __version__ as price_list_version
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from streams.calls.pricing import PriceBook, UnknownPriceError
from streams.config.settings import load
from streams.config.settings_sections import LongContextSettings, PriceSettings, ProviderSettings
from topics.journal import Rates, Usage

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def provider(price_list: str | None = None) -> ProviderSettings:
    return ProviderSettings(protocol="openai", api_key_env="KEY", price_list=price_list)


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


def test_own_prices_of_long_inputs():
    long = LongContextSettings(above=100, input=Decimal(2), output=Decimal(4), cache_write=Decimal(3))
    own = PriceSettings(input=Decimal(1), output=Decimal(2), cached=Decimal("0.1"), long_context=long)
    book = PriceBook({"p/m": own}, {"p": provider()})
    short, above = (book.rates("p", "m", NOW, Usage(input=tokens, output=0)) for tokens in (100, 101))
    assert short == book.rates("p", "m", NOW)
    assert (short.input, short.output, short.cached, short.cache_write) == (1, 2, Decimal("0.1"), None)
    assert (above.input, above.output, above.cached, above.cache_write) == (2, 4, 2, 3)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("anthropic", "claude-haiku-5-5"),
        ("anthropic", "claude-opus-5-5"),
        ("openai", "gpt-6-luna"),
        ("openai", "o3"),
        ("groq", "openai/gpt-oss-20b"),
    ],
)
@given(
    parts=st.tuples(*[st.integers(0, 300_000)] * 4),
    at=st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 (given apart)
)
def test_costs_are_those_of_the_list(name, model, parts, at):
    fresh, cached, written, output = parts
    book = PriceBook({}, {name: provider()})
    # A model without a price for written tokens does not count any.
    if book.rates(name, model, at).cache_write is None:
        written = 0
    usage = Usage(input=fresh + cached + written, output=output, cached=cached, cache_written=written)
    asked = GenaiUsage(
        input_tokens=usage.input, cache_read_tokens=cached, cache_write_tokens=written, output_tokens=output
    )
    listed = calc_price(asked, model, provider_id=name, genai_request_timestamp=at)
    assert book.rates(name, model, at, usage).cost(usage) == listed.total_price


def test_long_inputs_cost_more(listed):
    short, long = (Usage(input=tokens, output=1) for tokens in (272_000, 272_001))
    assert listed.rates("openai", "gpt-6-luna", NOW, short) == listed.rates("openai", "gpt-6-luna", NOW)
    assert listed.rates("openai", "gpt-6-luna", NOW, long).input == 2 * listed.rates("openai", "gpt-6-luna", NOW).input


def test_writing_to_the_cache_has_a_price(listed):
    rates = listed.rates("anthropic", "claude-opus-5-5", NOW)
    assert rates.cache_write > rates.input > rates.cached
    usage = Usage(input=1_000_000, output=0, cache_written=1_000_000)
    assert rates.cost(usage) == rates.cache_write
    assert rates.model_copy(update={"cache_write": None}).cost(usage) == rates.input


@given(st.tuples(*[st.tuples(*[st.integers(0, 10**6)] * 4)] * 2))
def test_shares_cost_what_the_whole_costs(shares):
    rates = PriceBook({}, {"anthropic": provider()}).rates("anthropic", "claude-opus-5-5", NOW)
    names = ("input", "output", "cached", "cache_written")
    whole = Usage(**{name: sum(tokens) for name, tokens in zip(names, zip(*shares, strict=True), strict=True)})
    parts = [Usage(**dict(zip(names, share, strict=True))) for share in shares]
    assert sum(rates.cost(part) for part in parts) == rates.cost(whole)


def test_usage_and_rates_of_older_records_are_read():
    usage = Usage.model_validate_json('{"input": 3, "output": 1, "cached": 1, "reasoning": 0, "source": "provider"}')
    rates = Rates.model_validate_json('{"input": "2", "output": "5", "cached": "1", "source": "config"}')
    assert (usage.cache_written, rates.cache_write) == (0, None)
    assert rates.cost(usage) * 1_000_000 == 2 * 2 + 1 + 5


LONG = LongContextSettings(above=100, input=Decimal(2), output=Decimal(4), cache_write=Decimal(3))
OWN = PriceSettings(input=Decimal(1), output=Decimal("0.000005"), cached=Decimal("0.1"), long_context=LONG)


def own_book(**of_provider) -> PriceBook:
    settings = ProviderSettings(protocol="openai", api_key_env="KEY", **of_provider)
    return PriceBook({"p/m": OWN}, {"p": settings})


@pytest.mark.parametrize(
    ("share", "short", "above"),
    [
        (None, ("0.5", "0.000002", "0.05"), ("1", "2", "1")),
        ("0.125", ("0.125", "0.000001", "0.0125"), ("0.25", "0.5", "0.25")),
        ("1", ("1", "0.000005", "0.1"), ("2", "4", "2")),
    ],
)
def test_batches_cost_their_share_of_the_usual_price(share, short, above):
    book = own_book() if share is None else own_book(batch_price=Decimal(share))
    for tokens, expected in ((100, short), (101, above)):
        rates = book.rates("p", "m", NOW, Usage(input=tokens, output=0), batch=True)
        assert (rates.input, rates.output, rates.cached) == tuple(map(Decimal, expected))
        assert rates.source == "config, batch"
        # It is written with the call, whose rates have six decimals.
        assert Rates.model_validate_json(rates.model_dump_json()) == rates
    assert book.rates("p", "m", NOW).input == 1


@pytest.mark.parametrize("model", ["claude-haiku-5-5", "claude-opus-5-5"])
def test_batches_of_listed_models_cost_half(listed, model):
    usual, rates = listed.rates("anthropic", model, NOW), listed.rates("anthropic", model, NOW, batch=True)
    assert (rates.input, rates.output, rates.cached) == (usual.input / 2, usual.output / 2, usual.cached / 2)
    assert rates.cache_write == usual.cache_write / 2
    assert rates.source == f"genai-prices {price_list_version}, batch"
    assert rates is listed.rates("anthropic", model, NOW, batch=True)


def test_batches_follow_the_hour(listed):
    hours = [datetime(2025, 7, 1, hour, tzinfo=UTC) for hour in (12, 18, 12)]
    for at in hours:
        usual = listed.rates("deepseek", "deepseek-chat", at)
        assert listed.rates("deepseek", "deepseek-chat", at, batch=True).input == usual.input / 2


def test_batches_of_a_provider_that_was_dropped_have_no_price():
    book = PriceBook({"p/m": OWN}, {})
    assert book.rates("p", "m", NOW).input == 1
    with pytest.raises(UnknownPriceError, match=r"add \[providers.p\]"):
        book.rates("p", "m", NOW, batch=True)


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
