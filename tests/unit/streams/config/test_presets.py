"""Presets: each loads, stands between the shipped defaults and what a deployment sets, and can't be misspelt."""

import pytest

from streams.calls.pricing import PriceBook
from streams.config.eligible_models import EligibleModels
from streams.config.settings import PRESETS, SettingsError, load
from streams.kafka.clock import utc_now
from tierstream.worker import new_router
from topics.requests import Request

NAMES = ["max-quality", "max-savings", "three-tier", "two-tier"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERSTREAM_CONFIG", raising=False)


def loaded(tmp_path, text):
    path = tmp_path / "tierstream.toml"
    path.write_text(text)
    return load(path)


def test_the_names_are_those_of_the_files():
    assert sorted(path.stem for path in PRESETS.glob("*.toml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_whole_configuration(name, tmp_path):
    settings = loaded(tmp_path, f'[routing]\npreset = "{name}"')
    assert settings.routing.preset == name
    assert {"bulk-with-own-validation", "legal-review", "asked-again"} <= {rule.name for rule in settings.routing.rules}
    assert len({rule.name for rule in settings.routing.rules}) == len(settings.routing.rules)
    prices = PriceBook(settings.prices, settings.providers)
    assert all(prices.rates(model.provider, model.model, utc_now()) for _, model in settings.models())
    new_router(settings, EligibleModels(settings))


def test_the_default_is_three_tiers():
    assert load() == load(overrides={"routing": {"preset": "three-tier"}})
    assert load().routing.boundary == (0.45, 0.55)


def test_two_tiers_are_two():
    settings = load(overrides={"routing": {"preset": "two-tier"}})
    assert [tier.name for tier in settings.tiers] == ["everything else", "frontier"]


@pytest.mark.parametrize("name", NAMES)
def test_who_asks_again_starts_a_tier_higher_within_what_the_request_allows(name):
    settings = load(overrides={"routing": {"preset": name, "classifier": "learned"}})
    router = new_router(settings, EligibleModels(settings))
    turns = ["What time do you close?", "We are in Mill Street.", "I asked what time you close! This is useless."]

    def decided(**bounds):
        request = Request.model_validate({"request_id": "r", "messages": messages_of(turns), **bounds})
        return router.draft(request, request.digest(), 0).decision

    found = decided()
    assert "asked-again" in found.reasons
    assert (found.classified_tier, found.tier, found.rule) == (1, 2, "asked-again")
    assert decided(max_tier=1).tier == 1
    turns[-1] = "And on Sundays?"
    assert "asked-again" not in decided().reasons


def messages_of(turns):
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]


def test_max_savings_raises_nobody_to_the_frontier():
    [rule] = [
        r for r in load(overrides={"routing": {"preset": "max-savings"}}).routing.rules if r.name == "asked-again"
    ]
    assert (rule.when.classified_tier, rule.raise_by) == ((1,), 1)


def test_own_settings_win_over_the_presets(tmp_path):
    settings = loaded(
        tmp_path,
        """
        [routing]
        preset = "max-quality"
        boundary = [0.1, 0.2]
        [[routing.rules]]
        name = "only"
        when = { feature = ["x"] }
        tier = 1
        """,
    )
    assert (settings.routing.boundary, [rule.name for rule in settings.routing.rules]) == ((0.1, 0.2), ["only"])
    assert settings.validation.sample_rate == 0.05
    assert (
        loaded(tmp_path, '[routing]\npreset = "max-quality"\n[validation]\nsample_rate = 0').validation.sample_rate == 0
    )


def test_the_environment_names_one_and_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__PRESET", "two-tier")
    assert len(loaded(tmp_path, '[routing]\npreset = "max-quality"').tiers) == 2
    monkeypatch.setenv("TIERSTREAM_ROUTING__BOUNDARY", "[0.3, 0.4]")
    assert load().routing.boundary == (0.3, 0.4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[routing]\npreset = "cheap"', "routing.preset: must be 'two-tier', 'three-tier', 'max-savings'"),
        ("[routing]\npreset = 3", "routing.preset"),
        ("[routing]\npreset = ['two-tier']", "routing.preset"),
        ("routing = 3", "routing"),
        ("[routing.limits.user]\nann = 4", "routing.limits.user.ann: tier 4 does not exist, there are 3"),
        ('[routing.limits.tag]\n"a b" = 0', "routing.limits.tag.a b"),
        ("[routing.limits.team]\nx = 1", "routing.limits.team"),
        (
            "[[routing.rules]]\nname = 'r'\nwhen = { classified_tier = [7] }\ntier = 1",
            "rule 'r': tier 7 does not exist, there are 3",
        ),
        (
            "[[routing.rules]]\nname = 'r'\nwhen = { confidence_below = 0.5 }\nthreshold_shift = 0.1",
            "a rule that looks at the scores can't shift the threshold",
        ),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\nthreshold_shift = 2", "threshold_shift"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\nraise_by = 0", "raise_by"),
        ("[[routing.rules]]\nname = 'r'\nwhen = { signals = ['bored'] }\nraise_by = 1", "'rephrased'"),
    ],
)
def test_one_line_says_what_is_wrong(text, expected, tmp_path):
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
