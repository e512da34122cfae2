"""The decision: the account's own cases, the boundary, and that any text whatever gets a tier, always the same one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fixed_classifiers import Fixed
from support.in_memory import new_request
from support.record_strategies import requests

from streams.config.eligible_models import NoModelError, Start
from streams.config.settings import Settings, load
from streams.config.settings_sections import LlmClassifierSettings, RuleCondition, RuleSettings
from streams.routing.classifier import tier_probabilities
from streams.routing.policy import Policy
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.router import ASK_ALWAYS, Router, TierVote
from streams.routing.simhash import signature
from streams.routing.versions import ClassifierVersions
from tierstream.worker import new_router as router_of
from topics.requests import Request
from topics.tasks import Decision


class Willing:
    """Models of which every tier has one for every request."""

    def named(self, request):
        return None

    def lowest_tier(self, request, tier, ceiling):
        return Start(tier)


def new_router(
    classifier=None,
    *,
    rules=(),
    tiers=3,
    boundary=(0.45, 0.55),
    limits=None,
    ask_band=None,
    models=None,
) -> Router:
    return Router(
        policy=Policy(rules, tiers, limits),
        classifiers=ClassifierVersions(classifier or RequestClassifier.shipped()),
        tiers=tiers,
        boundary=boundary,
        models=models or Willing(),
        ask_band=ask_band,
    )


@pytest.fixture
def rules(tmp_path, monkeypatch):
    """The shipped ones."""
    monkeypatch.chdir(tmp_path)
    return load().routing.rules


def decide(router: Router, request: Request):
    return router.draft(request, request.digest(), 0).decision


EXTRACTION = {
    "text": "Extract name, e-mail and order number from this mail as JSON: ...",
    "response_schema": {"type": "object"},
    "service_class": "bulk",
}


@pytest.mark.parametrize("tiers", [2, 3, 4, 5])
def test_a_ceo_on_projections_gets_the_best_however_simple_the_question(rules, tiers):
    request = new_request("Are our Q3 projections ok?", context={"user_role": "CEO"})
    decision = decide(new_router(rules=rules, tiers=tiers), request)
    assert (decision.tier, decision.rule) == (tiers, "executive-finance")


def test_a_ceo_on_lunch_does_not(rules):
    assert decide(new_router(rules=rules), new_request("Where is lunch?", context={"user_role": "ceo"})).tier == 1


def test_bulk_extraction_with_its_own_validation_goes_to_tier_1(rules):
    hard = EXTRACTION["text"] + " Prove, derive and justify each step by step." * 20
    request = new_request(**EXTRACTION | {"text": hard}, context={"self_validating": True})
    decision = decide(new_router(rules=rules), request)
    assert (decision.tier, decision.rule, decision.query_type) == (1, "bulk-with-own-validation", "extraction")


def test_critical_legal_work_goes_to_the_top_and_is_validated(rules):
    context = {"user_role": "legal", "business_impact": "critical"}
    decision = decide(new_router(rules=rules), new_request("Is this clause fine?", context=context))
    assert (decision.tier, decision.rule, decision.floor) == (3, "legal-review", 3)
    assert decision.reasons == ("legal-review", "legal-clause", "critical-path")
    assert decision.validate_answer


@pytest.mark.parametrize(
    "question", ["What are your opening hours?", "Do you ship to Norway?", "¿Dónde está mi pedido?", "hi"]
)
def test_a_plain_question_goes_to_tier_1(rules, question):
    decision = decide(new_router(rules=rules), new_request(question))
    assert (decision.tier, decision.rule, decision.validate_answer) == (1, None, False)


def test_frontier_work_goes_up_without_any_rule():
    question = (
        "Design a distributed rate limiter: prove that it has no race condition, evaluate the trade-offs of three "
        "architectures, justify the complexity of each, and derive the sensitivity to clock drift. It must survive a "
        "partition without losing counts, unless at least two replicas fail.\n1. State assumptions\n2. Give code\n"
        "3. Compare with token buckets\n4. List scenarios"
    )
    assert decide(new_router(), new_request(question)).tier == 3


@pytest.mark.parametrize(
    ("needs", "tier", "boundary"),
    [
        ((0.44, 0.1), 1, False),
        ((0.45, 0.1), 2, True),
        ((0.55, 0.1), 2, True),
        ((0.56, 0.1), 2, False),
        ((0.9, 0.44), 2, False),
        ((0.9, 0.5), 3, True),
        ((0.9, 0.9), 3, False),
        ((0.0, 0.0), 1, False),
        ((1.0, 1.0), 3, False),
    ],
)
def test_whoever_is_at_the_boundary_goes_one_tier_up(needs, tier, boundary):
    decision = decide(new_router(Fixed(*needs)), new_request())
    assert decision.tier == tier
    assert ("boundary" in decision.reasons) is boundary


@pytest.mark.parametrize(
    ("shift", "need", "tier", "band"),
    [
        (0.2, 0.64, 1, (0.65, 0.75)),
        (0.2, 0.65, 2, (0.65, 0.75)),
        (-0.2, 0.24, 1, (0.25, 0.35)),
        (-0.2, 0.25, 2, (0.25, 0.35)),
        (1.0, 0.89, 1, (0.9, 1.0)),
        (-1.0, 0.0, 3, (0.0, 0.1)),
        (0.0, 0.45, 2, (0.45, 0.55)),
    ],
)
def test_a_rule_shifts_the_threshold_and_the_band_with_it(shift, need, tier, band):
    rule = RuleSettings(name="lean", when=RuleCondition(), threshold_shift=shift)
    decision = decide(new_router(Fixed(need, 0.0), rules=[rule]), new_request())
    assert (decision.tier, decision.boundary, decision.rule) == (tier, band, None)
    assert ("boundary" in decision.reasons) is (tier > 1)


def test_a_rule_about_the_scores_looks_at_what_the_classifier_came_to():
    when = RuleCondition(classified_tier=("top",), confidence_below=0.6)
    rule = RuleSettings(name="doubtful", when=when, ceiling=2)
    found = [decide(new_router(Fixed(0.9, need), rules=[rule]), new_request()) for need in (0.7, 0.58, 0.2)]
    assert [(d.tier, d.rule, d.classified_tier) for d in found] == [(3, None, 3), (2, "doubtful", 3), (2, None, 2)]


def test_the_decision_keeps_what_the_scores_alone_came_to(rules):
    decision = decide(new_router(Fixed(0.9, 0.1), rules=rules), new_request(context={"business_impact": "critical"}))
    assert (decision.tier, decision.classified_tier, decision.rule) == (2, 2, None)
    assert decision.reasons == ("critical-path",)


def test_the_decision_has_the_signature_of_the_question():
    one, other = (decide(new_router(), new_request(text)) for text in ("Where is order 17?", "where is order 4811"))
    assert one.signature == other.signature == signature("Where is order 17?")


def test_a_decision_from_before_the_newer_fields_is_read():
    written = decide(new_router(), new_request()).model_dump(mode="json", exclude={"classified_tier", "signature"})
    read = Decision.model_validate(written)
    assert (read.classified_tier, read.signature) == (None, None)


@pytest.mark.parametrize("preset", ["two-tier", "three-tier", "max-savings", "max-quality"])
def test_the_accounts_examples_hold_in_every_preset(preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load(overrides={"routing": {"preset": preset}})
    top = settings.top_tier
    router = new_router(
        rules=settings.routing.rules, tiers=top, boundary=settings.routing.boundary, limits=settings.routing.limits
    )
    ceo = new_request("Are our Q3 projections ok?", context={"user_role": "ceo"})
    bulk = new_request(**EXTRACTION, context={"self_validating": True})
    legal = new_request("Is this clause fine?", context={"user_role": "legal"})
    assert [decide(router, request).tier for request in (ceo, bulk, legal)] == [top, 1, top]
    assert decide(router, new_request("Do you ship to Norway?")).tier <= 1 + (preset == "max-quality")


@pytest.mark.parametrize("preset", ["two-tier", "three-tier", "max-savings", "max-quality"])
def test_the_cascade_asks_on_both_sides_of_the_boundary_of_a_preset(preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    routing = load(overrides={"routing": {"preset": preset}}).routing
    assert routing.llm.ask[0] < routing.boundary[0]
    assert routing.boundary[1] < routing.llm.ask[1]


def test_the_requests_own_bounds_bind_rules_and_classifier(rules):
    ceo = {"user_role": "ceo"}
    question = "What is our revenue forecast?"
    assert decide(new_router(rules=rules), new_request(question, context=ceo, max_tier=1)).tier == 1
    bulk = new_request(**EXTRACTION, context={"self_validating": True}, min_tier=2)
    assert decide(new_router(rules=rules), bulk).tier == 2
    assert decide(new_router(Fixed(0, 0)), new_request(min_tier=3)).tier == 3
    assert decide(new_router(Fixed(1, 1)), new_request(max_tier=2)).tier == 2
    assert decide(new_router(Fixed(1, 1)), new_request(max_tier=99)).tier == 3


@settings(max_examples=examples(60))
@given(requests, st.integers(2, 5))
def test_any_request_gets_a_tier_always_the_same(request, tiers):
    router = new_router(tiers=tiers)
    decision = decide(router, request)
    assert decide(new_router(tiers=tiers), request) == decision
    assert decision.floor <= decision.tier <= decision.ceiling <= tiers
    assert len(decision.scores) == tiers
    assert sum(decision.scores) == pytest.approx(1, abs=1e-5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5).map(lambda values: sorted(values, reverse=True)))
def test_tier_probabilities_are_a_distribution(needs):
    scores = tier_probabilities(needs)
    assert len(scores) == len(needs) + 1
    assert all(0 <= score <= 1 for score in scores)
    assert sum(scores) == pytest.approx(1, abs=1e-5)


BAND = (0.3, 0.7)
SAYS = {tier: TierVote(tuple(0.9 if k == tier else 0.05 for k in (1, 2, 3)), "p/m classify/1") for tier in (1, 2, 3)}


def draft(router: Router, request: Request | None = None):
    request = request or new_request()
    return router.draft(request, request.digest(), 0)


@pytest.mark.parametrize(
    ("needs", "asks"),
    [
        ((0.29, 0.1), False),
        ((0.3, 0.1), True),
        ((0.44, 0.1), True),
        ((0.6, 0.1), True),
        ((0.71, 0.1), False),
        ((0.9, 0.29), False),
        ((0.9, 0.35), True),
        ((0.9, 0.7), True),
        ((0.9, 0.71), False),
        ((0.75, 0.75), False),
    ],
)
def test_it_asks_where_the_scores_next_to_the_tier_leave_it_open(needs, asks):
    assert draft(new_router(Fixed(*needs), ask_band=BAND)).asks is asks
    assert draft(new_router(Fixed(*needs), ask_band=ASK_ALWAYS)).asks
    assert not draft(new_router(Fixed(*needs))).asks


def test_only_the_thresholds_next_to_the_tier_count():
    assert not draft(new_router(Fixed(0.95, 0.9, 0.5, 0.05), tiers=5, boundary=(0.0, 0.0), ask_band=BAND)).asks
    assert draft(new_router(Fixed(0.95, 0.9, 0.5, 0.05), tiers=5, ask_band=BAND)).asks


def test_a_rule_shifts_the_band_with_the_boundary():
    rule = RuleSettings(name="lean", when=RuleCondition(), threshold_shift=0.2)
    found = [draft(new_router(Fixed(p, 0.0), rules=[rule], ask_band=BAND)).asks for p in (0.45, 0.55, 0.85, 0.95)]
    assert found == [False, True, True, False]


@pytest.mark.parametrize(
    ("effect", "request_fields"),
    [
        ({"tier": 2}, {}),
        ({"floor": "top"}, {}),
        ({"ceiling": 1}, {}),
        ({"threshold_shift": 0.0}, {"min_tier": 2, "max_tier": 2}),
        ({"threshold_shift": 0.0}, {"max_tier": 1}),
    ],
)
def test_it_never_asks_where_a_vote_could_change_nothing(effect, request_fields):
    rule = RuleSettings(name="r", when=RuleCondition(), **effect)
    router = new_router(Fixed(0.5, 0.2), rules=[rule], ask_band=ASK_ALWAYS)
    drafted = draft(router, new_request(**request_fields))
    assert not drafted.asks
    assert router.decide(drafted, SAYS[3]) is drafted.decision


@pytest.mark.parametrize(
    ("needs", "says", "tier"),
    [
        ((0.4, 0.1), 1, 1),
        ((0.4, 0.1), 2, 2),
        ((0.4, 0.1), 3, 2),
        ((0.6, 0.1), 1, 1),
        ((0.6, 0.1), 3, 3),
        ((0.9, 0.6), 1, 2),
        ((0.9, 0.6), 2, 2),
        ((0.9, 0.6), 3, 3),
    ],
)
def test_a_vote_moves_at_most_one_tier(needs, says, tier):
    router = new_router(Fixed(*needs), ask_band=BAND)
    decision = router.decide(draft(router), SAYS[says])
    assert (decision.tier, decision.classified_tier, decision.rule) == (tier, tier, None)
    assert decision.classifier == "fixed/1 then p/m classify/1"
    assert sum(decision.scores) == pytest.approx(1)
    assert decision.scores[tier - 1] == max(decision.scores)


def test_a_vote_at_the_boundary_goes_one_tier_up_too():
    router = new_router(Fixed(0.4, 0.1), ask_band=BAND)
    decision = router.decide(draft(router), TierVote((0.5, 0.5, 0.0), "o"))
    assert (decision.tier, decision.reasons) == (2, ("boundary",))


def test_rules_about_the_scores_look_at_those_of_the_vote():
    doubtful = RuleSettings(name="doubtful", when=RuleCondition(confidence_below=0.8), validate_answer=True)
    router = new_router(Fixed(0.4, 0.1), rules=[doubtful], ask_band=BAND)
    drafted = draft(router)
    assert drafted.decision.reasons == ("doubtful",)
    decision = router.decide(drafted, SAYS[1])
    assert (decision.reasons, decision.validate_answer) == ((), False)


class Full(Willing):
    """Models of which one tier has none."""

    def lowest_tier(self, request, tier, ceiling):
        if tier == 2:
            raise NoModelError("too long")
        return Start(tier)


@pytest.mark.parametrize("vote", [None, TierVote((0.1, 0.9), "two tiers"), SAYS[2]])
def test_what_helps_nobody_leaves_the_draft_as_it_is(vote):
    router = new_router(Fixed(0.4, 0.1), ask_band=BAND, models=Full())
    drafted = draft(router)
    assert drafted.asks
    assert router.decide(drafted, vote) is drafted.decision


probabilities = st.lists(st.floats(0.001, 1), min_size=2, max_size=5).map(lambda w: tuple(v / sum(w) for v in w))
bands = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: tuple(sorted(pair)))
rule_effects = st.fixed_dictionaries(
    {},
    optional={
        "floor": st.sampled_from([1, 2, "top"]),
        "ceiling": st.sampled_from([1, 2, "top"]),
        "threshold_shift": st.floats(-1, 1),
    },
).filter(lambda effect: bool(effect) and (effect.get("floor"), effect.get("ceiling")) != (2, 1))


@settings(max_examples=examples(150))
@given(
    st.data(),
    probabilities,
    bands,
    st.lists(rule_effects, max_size=2),
    st.one_of(st.none(), st.integers(1, 5)),
    st.one_of(st.none(), st.integers(1, 5)),
)
def test_no_vote_gets_out_of_its_bounds(data, distribution, boundary, effects, least, most):
    tiers = len(distribution)
    needs = sorted(data.draw(st.lists(st.floats(0, 1), min_size=tiers - 1, max_size=tiers - 1)), reverse=True)
    rules = [RuleSettings(name=f"r{k}", when=RuleCondition(), **effect) for k, effect in enumerate(effects)]
    router = new_router(Fixed(*needs), rules=rules, tiers=tiers, boundary=boundary, ask_band=ASK_ALWAYS)
    request = new_request(min_tier=least, max_tier=most if most is None else max(most, least or 1))
    drafted, vote = draft(router, request), TierVote(distribution, "o")
    local, decision = drafted.decision, router.decide(drafted, vote)
    assert router.decide(drafted, None) is local
    assert decision == router.decide(draft(router, request), vote)
    assert (decision.floor, decision.ceiling, decision.boundary) == (local.floor, local.ceiling, local.boundary)
    assert decision.floor <= decision.tier <= decision.ceiling
    assert abs(decision.classified_tier - local.classified_tier) <= 1
    assert abs(decision.tier - local.tier) <= 1
    assert (decision.tier == local.tier) or drafted.asks


def test_the_settings_say_who_asks_and_whom():
    base = Settings()
    for name, asks in (("learned", False), ("llm", True), ("cascade", True)):
        chosen = base.model_copy(update={"routing": base.routing.model_copy(update={"classifier": name})})
        router = router_of(chosen, Willing())
        assert draft(router, new_request("Do you ship to Norway?")).asks is (name == "llm")
        # It is a model of the first tier, which is listed there.
        assert chosen.classifier_model is chosen.tiers[0].models[0]
        assert "routing.llm.model" not in dict(chosen.models())
        llm = LlmClassifierSettings(model=chosen.tiers[1].models[0])
        other = chosen.model_copy(update={"routing": chosen.routing.model_copy(update={"llm": llm})})
        assert other.classifier_model is llm.model
        assert ("routing.llm.model" in dict(other.models())) == asks
