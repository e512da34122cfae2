"""Where a conversation with tools goes on: with its model while it works, and later where its cache is worth it."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fixed_classifiers import Fixed
from support.in_memory import BASE_MS, SETTINGS
from support.record_strategies import rates
from support.tool_talk import assistant, calls, result, talk, user

from streams.calls.pricing import PriceBook
from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.routing.affinity import Affinity, Standing, staying_costs_less
from streams.routing.policy import Policy
from streams.routing.router import ASK_ALWAYS, Draft, Router
from streams.routing.versions import ClassifierVersions
from topics.journal import Rates, Usage
from topics.requests import DataClass, Request, RequestContext
from topics.tasks import Decision

OPEN = talk(user(), calls(), result())
ANSWERED = talk(user(), calls(), result(), assistant(), user("And order 18?"))
CHEAP, DEAR = {"input": 1, "output": 10, "cached": "0.1"}, {"input": 5, "output": 30, "cached": "0.5"}
PRICES = {"fast/a": CHEAP, "spare/b": CHEAP, "trusted/c": DEAR, "trusted/d": DEAR, "trusted/next": DEAR}


def settings_of(**sections: Any) -> Settings:
    return Settings(**{**SETTINGS, "prices": PRICES, **sections})


def standing(ref: str = "trusted/c", tier: int = 2, **fields: Any) -> Standing:
    known = {"at_ms": BASE_MS - 10_000, "prompt": 20_000, "cached": 18_000, "answer": 100}
    return Standing(ref, tier, **known | fields)


def router_of(settings: Settings, *needs: float) -> Router:
    models, routing = EligibleModels(settings), settings.routing
    return Router(
        policy=Policy(routing.rules, settings.top_tier, routing.limits),
        classifiers=ClassifierVersions(Fixed(*needs or (0.1,))),
        tiers=settings.top_tier,
        boundary=routing.boundary,
        models=models,
        ask_band=ASK_ALWAYS,
        affinity=Affinity(settings, models, PriceBook(settings.prices, settings.providers).rates),
    )


def draft(
    request: Request,
    known: Standing | None,
    *needs: float,
    ceilings: tuple[tuple[int, str], ...] = (),
    **sections: Any,
) -> Draft:
    router = router_of(settings_of(**sections), *needs)
    return router.draft(request, request.digest(), BASE_MS, ceilings, known)


def decide(*arguments: Any, **options: Any) -> Decision:
    return draft(*arguments, **options).decision


def rule(when: dict[str, Any] | None = None, **effect: Any) -> dict[str, Any]:
    return {"routing": {**SETTINGS["routing"], "rules": [{"name": "r", "when": when or {}, **effect}]}}


class TestAnOpenLoop:
    @pytest.mark.parametrize("needs", [(0.1,), (0.9, 0.9)], ids=["needs little", "needs much"])
    def test_stays_with_its_model_on_its_tier_and_nobody_is_asked_for_a_vote(self, needs):
        found = draft(OPEN, standing(), *needs)
        assert (found.decision.tier, found.decision.stays_with, found.decision.rule) == (2, "trusted/c", None)
        assert found.decision.reasons[-1] == "conversation stays with trusted/c"
        assert not found.asks

    def test_stays_with_a_fallback_of_its_tier(self):
        decision = decide(OPEN, standing("spare/b", 1))
        assert (decision.tier, decision.stays_with) == (1, "spare/b")

    def test_stays_however_long_it_took_and_whatever_is_cached(self):
        assert decide(OPEN, standing(at_ms=BASE_MS - 3_500_000, cached=0)).stays_with == "trusted/c"

    def test_of_which_nothing_is_known_goes_where_any_request_goes(self):
        assert decide(OPEN, None) == decide(talk(user()), None)
        assert draft(OPEN, None, 0.5).asks

    @pytest.mark.parametrize(
        ("options", "tier"),
        [
            (rule(floor=3), 3),
            (rule(ceiling=1), 1),
            (rule(tier=3), 3),
            (rule({"in_tool_loop": True}, raise_by=2), 3),
            (rule({"classified_tier": [1]}, floor=3), 3),
            ({"ceilings": ((1, "budget all"),)}, 1),
            ({"routing": {**SETTINGS["routing"], "limits": {"user": {"ann": 1}}}}, 1),
        ],
        ids=["floor", "ceiling", "tier", "raise", "floor by the scores", "budget", "limit"],
    )
    def test_goes_where_rules_and_limits_say(self, options, tier):
        decision = decide(OPEN.model_copy(update={"user_id": "ann"}), standing(), **options)
        assert (decision.tier, decision.stays_with) == (tier, None)

    def test_stays_above_where_a_rule_has_conversations_start(self):
        assert decide(OPEN, standing(), **rule(tier=1)).tier == 2

    @pytest.mark.parametrize("bounds", [{"min_tier": 3}, {"max_tier": 1}])
    def test_keeps_the_bounds_of_the_request(self, bounds):
        assert decide(OPEN.model_copy(update=bounds), standing()).stays_with is None

    @pytest.mark.parametrize(
        "known",
        [standing("trusted/c", 1), standing("trusted/gone"), standing(tier=9)],
        ids=["another tier", "no longer there", "no such tier"],
    )
    def test_does_not_stay_with_who_is_no_longer_there(self, known):
        assert decide(OPEN, known).stays_with is None

    def test_does_not_stay_with_who_may_not_see_it(self):
        secret = talk(*OPEN.messages, context=RequestContext(data_class=DataClass.RESTRICTED))
        assert decide(secret, standing("fast/a", 1)).stays_with is None
        assert decide(secret, standing()).stays_with == "trusted/c"

    def test_does_not_stay_where_it_has_no_room(self):
        models = [{"provider": "trusted", "model": "c", "context_window": 4_000}]
        tiers = [SETTINGS["tiers"][0], {"name": "two", "models": models}, SETTINGS["tiers"][2]]
        long = talk(user(), calls(), result("word " * 6_000))
        assert decide(OPEN, standing(), tiers=tiers).stays_with == "trusted/c"
        assert decide(long, standing(), tiers=tiers).stays_with is None

    def test_asks_for_a_model_by_name_and_gets_it(self):
        assert decide(OPEN.model_copy(update={"model": "fast/a"}), standing()).stays_with is None

    def test_stays_with_the_candidate_that_began_it(self):
        model = {"provider": "trusted", "model": "next"}
        canary = [{"name": "next", "tier": 1, "model": model, "share": 0.1, "min_requests": 10}]
        assert decide(OPEN, standing("trusted/next", 1), canary=canary).stays_with == "trusted/next"
        assert decide(OPEN, standing("trusted/next", 1)).stays_with is None


class TestBehindTheLoop:
    def test_it_stays_where_the_cache_makes_that_cheaper(self):
        decision = decide(ANSWERED, standing(prompt=20_000, cached=19_900))
        assert (decision.tier, decision.stays_with) == (2, "trusted/c")

    @pytest.mark.parametrize(
        "known",
        [
            standing(cached=10_000),
            standing(cached=0),
            standing(cached=19_900, at_ms=BASE_MS - 300_001),
            standing("trusted/d", 3, cached=19_900, answer=5_000),
        ],
        ids=["much to pay for anew", "nothing cached", "cold by now", "a dear answer"],
    )
    def test_it_moves_where_that_is_cheaper(self, known):
        decision = decide(ANSWERED, known)
        assert (decision.tier, decision.stays_with) == (1, None)

    def test_it_never_stays_below_what_the_scores_come_to(self):
        decision = decide(ANSWERED, standing("fast/a", 1, cached=20_000), 0.9, 0.1)
        assert (decision.tier, decision.stays_with) == (2, None)

    def test_it_stays_with_a_fallback_of_the_same_tier(self):
        assert decide(ANSWERED, standing("spare/b", 1)).stays_with == "spare/b"

    def test_whom_the_tier_asks_first_anyway_is_no_reason(self):
        assert decide(ANSWERED, standing("fast/a", 1)) == decide(ANSWERED, None)

    def test_a_rule_that_names_a_tier_is_obeyed(self):
        warm = standing(cached=19_900)
        assert decide(ANSWERED, warm, **rule(tier=1)).stays_with is None
        assert decide(ANSWERED, warm, **rule(floor=2)).stays_with is None
        assert decide(ANSWERED, warm, **rule(ceiling=2)).stays_with == "trusted/c"

    def test_settings_say_how_long_caches_last(self):
        routing = {"routing": {**SETTINGS["routing"], "cache_s": 0}}
        assert decide(ANSWERED, standing(cached=19_900), **routing).stays_with is None
        assert decide(OPEN, standing(), **routing).stays_with == "trusted/c"

    def test_without_a_price_of_cached_tokens_nothing_is_lost(self):
        bare = {ref: {"input": price["input"], "output": price["output"]} for ref, price in PRICES.items()}
        assert decide(ANSWERED, standing("spare/b", 1), prices=bare).stays_with is None

    def test_prices_are_those_of_the_moment_and_of_the_whole_prompt(self):
        asked: list[tuple[str, str, datetime, Usage]] = []

        def price(provider: str, model: str, at: datetime, usage: Usage) -> Rates:
            asked.append((provider, model, at, usage))
            return Rates(input=1, output=1, cached=Decimal("0.1"), source="config")

        settings = settings_of()
        affinity = Affinity(settings, EligibleModels(settings), price)
        router = router_of(settings)
        decision = router.draft(ANSWERED, ANSWERED.digest(), BASE_MS).decision
        bounds = Policy((), 3).bounds(ANSWERED, "faq")
        assert affinity.kept(ANSWERED, standing(cached=19_900), decision, bounds, BASE_MS) is not None
        (*_, warm), (_, model, at, _) = asked
        assert (model, int(at.timestamp() * 1000)) == ("a", BASE_MS)
        added = "".join(text for message in ANSWERED.messages[1:] for text in message.texts())
        assert len(added) / 4 <= warm.input - 20_000 <= len(added) / 4 + 6


tokens = st.integers(0, 10**6)


@given(rates, rates, tokens, tokens, tokens)
def test_the_formula(stay, move, cached, fresh, answer):
    prompt = cached + fresh
    staying = cached * stay.cached + fresh * stay.input + answer * stay.output
    moving = prompt * move.input + answer * move.output
    worth_it = bool(cached) and stay.cached < stay.input and staying < moving
    assert staying_costs_less(stay, move, Usage(input=prompt, cached=cached, output=answer)) is worth_it


def test_old_records_stay_with_nobody_and_new_ones_without_look_the_same():
    decision = decide(talk(user(), tools=()), None)
    written = decision.model_dump(mode="json")
    assert "stays_with" not in written
    assert Decision.model_validate(written).stays_with is None


numbers = st.integers(1, 3)
effects = st.fixed_dictionaries(
    {}, optional={"tier": numbers, "floor": numbers, "ceiling": numbers, "raise_by": numbers}
).filter(lambda effect: effect and effect.get("floor", 1) <= effect.get("ceiling", 3))


@given(
    st.sampled_from((OPEN, ANSWERED)),
    st.lists(effects, max_size=3),
    st.sampled_from(("fast/a", "spare/b", "trusted/c", "trusted/d", "who/knows")),
    numbers,
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    numbers,
    st.integers(0, 20_000),
)
def test_wherever_it_stays_every_bound_holds(request, rules, ref, tier, needs, max_tier, cached):
    named = [{"name": f"r{number}", "when": {}, **effect} for number, effect in enumerate(rules)]
    routing = {"routing": {**SETTINGS["routing"], "rules": named}}
    request = request.model_copy(update={"max_tier": max_tier})
    usual = decide(request, None, *sorted(needs, reverse=True), **routing)
    found = decide(request, standing(ref, tier, cached=cached), *sorted(needs, reverse=True), **routing)
    assert found.floor <= found.tier <= found.ceiling <= max_tier
    assert (found.floor, found.ceiling, found.scores) == (usual.floor, usual.ceiling, usual.scores)
    if found.stays_with is None:
        assert found == usual
    else:
        assert (found.stays_with, found.tier) == (ref, tier)
        assert ref in {f"{one['provider']}/{one['model']}" for one in SETTINGS["tiers"][tier - 1]["models"]}
