"""The settings of shadows and canaries: what goes together, and where their models count."""

from typing import Any

import pytest
from pydantic import ValidationError
from support.in_memory import SETTINGS

from streams.config.settings import Settings

SHADOW = {
    "name": "next",
    "tier": 1,
    "model": {"provider": "trusted", "model": "next"},
    "share": 0.5,
    "budget_usd_per_day": 5,
}
CANARY = {"name": "next", "tier": 1, "model": {"provider": "trusted", "model": "next"}, "share": 0.5}
JUDGE = {"provider": "spare", "model": "judge", "timeout_s": 90}


def configured(
    shadow: tuple[dict[str, Any], ...] = (), canary: tuple[dict[str, Any], ...] = (), **more: Any
) -> Settings:
    return Settings(**{**SETTINGS, "shadow": shadow, "canary": canary, **more})


def problem(*, shadow: tuple[dict[str, Any], ...] = (), canary: tuple[dict[str, Any], ...] = (), **more: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        configured(shadow, canary, **more)
    return str(caught.value)


def test_all_their_models_count_where_models_do():
    settings = configured(({**SHADOW, "judges": [JUDGE]},), (CANARY,))
    added = settings.models()[len(configured().models()) :]
    assert [(place, model.ref) for place, model in added] == [
        ("shadow[next]", "trusted/next"),
        ("shadow[next].judges", "spare/judge"),
        ("canary[next]", "trusted/next"),
    ]
    assert settings.rebalance_timeout_s == 95
    targets = [target for target, _ in settings.gated_models()]
    assert targets[-3:] == ["shadow:next", "spare/judge", "trusted/next"]


def test_by_itself_a_shadow_of_a_model_makes_no_breaker_of_that_model():
    assert "trusted/next" not in dict(configured((SHADOW,)).gated_models())


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"shadow": (SHADOW, SHADOW)}, "shadow: 2 of them are called 'next'"),
        ({"canary": (CANARY, {**CANARY, "tier": 2})}, "canary: 2 of them are called 'next'"),
        ({"shadow": ({**SHADOW, "tier": 4},)}, "shadow[next]: tier 4 does not exist, there are 3"),
        ({"canary": ({**CANARY, "tier": 4},)}, "canary[next]: tier 4 does not exist, there are 3"),
        ({"shadow": ({**SHADOW, "model": {"provider": "no", "model": "m"}},)}, "provider 'no' is not in [providers]"),
        ({"shadow": ({**SHADOW, "judges": [{**JUDGE, "model": "next"}]},)}, "it needs a judge besides its own model"),
        ({"shadow": (SHADOW,), "validation": {"judge": None, "fallback": None}}, "it needs a judge"),
        ({"shadow": (SHADOW, {**SHADOW, "name": "b", "share": 0.6})}, "the shares of tier 1 add up to 1.1, above 1"),
        ({"canary": (CANARY, {**CANARY, "name": "b", "share": 0.6})}, "the shares of tier 1 add up to 1.1, above 1"),
        ({"canary": ({**CANARY, "model": {"provider": "fast", "model": "a"}},)}, "fast/a is a model of tier 1 already"),
        ({"canary": ({**CANARY, "share": 1},)}, "less than 1"),
        ({"shadow": ({**SHADOW, "name": "two words"},)}, "should match pattern"),
    ],
)
def test_what_does_not_go_together_is_said(sections, expected):
    assert expected in problem(**sections)


def test_shares_of_different_query_types_do_not_add_up():
    each = [{**SHADOW, "name": kind, "share": 0.9, "query_types": [kind]} for kind in ("code", "faq")]
    assert len(configured(tuple(each)).shadow) == 2
    assert "add up to 1.4" in problem(shadow=(*each, {**SHADOW, "share": 0.5}))
