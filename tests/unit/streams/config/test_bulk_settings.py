"""The settings of batches of providers: who has them, and when requests may wait for one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from streams.config.settings import SettingsError, load
from streams.config.settings_bulk import BulkSettings
from streams.config.settings_sections import ProviderSettings

NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _without_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def provider(protocol="openai", **fields):
    return ProviderSettings(protocol=protocol, api_key_env="KEY", **fields)


def waiting(*models, provider=True):
    others = [{"name": name, "models": [GROQ]} for name in ("middle", "large")]
    return [{"name": "small", "models": list(models), "batching": {"provider": provider}}, *others]


GROQ = {"provider": "groq", "model": "openai/gpt-oss-20b"}
TOGETHER = {"provider": "together", "model": "openai/gpt-oss-120b"}


def test_nobody_waits_unless_told_to():
    settings = load()
    assert not settings.waits_for_batches
    assert not any(tier.batching.provider for tier in settings.tiers)
    assert settings.bulk == BulkSettings()
    assert all(one.batch_price == Decimal("0.5") for one in settings.providers.values())


@pytest.mark.parametrize("protocol", ["openai", "groq", "anthropic"])
def test_a_vendor_has_batches_at_its_own_address(protocol):
    elsewhere = {"base_url": "http://127.0.0.1:8089"}
    assert provider(protocol).has_batches
    assert not provider(protocol, **elsewhere).has_batches
    assert provider(protocol, batches=True, **elsewhere).has_batches
    assert not provider(protocol, batches=False).has_batches


def test_an_address_of_others_has_none():
    others = provider("openai_compatible", base_url="http://127.0.0.1:8089")
    assert not others.has_batches
    with pytest.raises(ValueError, match="the protocol openai_compatible has no batches that are known here"):
        provider("openai_compatible", base_url="http://127.0.0.1:8089", batches=True)


@pytest.mark.parametrize(("share", "said"), [("0", "above 0"), ("1.001", "at most 1"), ("0.1234", "decimal")])
def test_a_batch_costs_a_share_of_the_usual_price(share, said):
    with pytest.raises(SettingsError, match=f"providers.groq.batch_price: .*{said}"):
        load(overrides={"providers": {"groq": {"batch_price": share}}})


def test_a_tier_waits_where_one_of_its_models_is_at_a_provider_with_batches():
    settings = load(overrides={"tiers": waiting(TOGETHER, GROQ)})
    assert settings.waits_for_batches
    assert [settings.has_batches(model) for model in settings.tiers[0].models] == [False, True]
    with pytest.raises(SettingsError, match=r"tiers\[small\].batching.provider: none of its models is at a provider"):
        load(overrides={"tiers": waiting(TOGETHER)})
    assert not load(overrides={"tiers": waiting(TOGETHER, provider=False)}).waits_for_batches
    off = {"providers": {"groq": {"batches": False}}}
    with pytest.raises(SettingsError, match="none of its models is at a provider with batches"):
        load(overrides={"tiers": waiting(GROQ), **off})


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"bulk": {"least_s": 300}}, "bulk.reserve_s must be below bulk.least_s, 300"),
        ({"bulk": {"reserve_s": 900}}, "bulk.reserve_s must be below bulk.least_s, 900"),
        (
            {"tiers": waiting(GROQ), "bulk": {"least_s": 1801}},
            "bulk.least_s 1801 is above deadlines.bulk, 1800",
        ),
        ({"bulk": {"poll_s": 0}}, "bulk.poll_s: must be above 0"),
        ({"bulk": {"max_size": 10_001}}, "bulk.max_size: must be at most 10000"),
        ({"bulk": {"wait_s": -1}}, "bulk.wait_s: must be at least 0"),
        (
            {"validation": {"batching": {"provider": True}}},
            "validation: batching.provider: judges' calls wait for no batch of a provider",
        ),
    ],
)
def test_what_can_not_be_is_said(overrides, problem):
    with pytest.raises(SettingsError) as caught:
        load(overrides=overrides)
    assert problem in str(caught.value)


def test_where_nobody_waits_the_deadline_may_be_short():
    assert load(overrides={"bulk": {"least_s": 7200}}).bulk.least_s == 7200


@pytest.mark.parametrize(("left_s", "has_time"), [(899.9, False), (900, True), (86_400, True), (-1, False)])
def test_a_request_waits_only_if_it_has_time(left_s, has_time):
    assert BulkSettings().has_time(NOW + timedelta(seconds=left_s), NOW) is has_time
