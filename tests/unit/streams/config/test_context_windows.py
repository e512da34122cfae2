"""The context-window check: before the call, up a tier where a tier has outgrown, refused where none has room."""

import pytest
from support.fixed_classifiers import Fixed
from support.handler_runs import run
from support.in_memory import SETTINGS, new_bench, new_request
from support.tool_loop import call, image, said, tool

from agents.classify import classify
from streams.config.context_windows import ContextWindows
from streams.config.eligible_models import EligibleModels, NoModelError
from streams.config.model_catalogue import ModelTable
from streams.config.settings import Settings, load
from streams.config.settings_sections import RuleCondition, RuleSettings
from streams.routing.policy import Policy
from streams.routing.router import Router
from streams.routing.versions import ClassifierVersions
from streams.runtime.stage import RefusedError
from topics.messages import Message, TextPart

WORD = "word "
PROVIDERS = {
    name: {"protocol": "openai_compatible", "base_url": "http://127.0.0.1:1", "api_key_env": "X"}
    for name in ("small", "large", "trusted")
} | {"vendor": {"protocol": "openai", "api_key_env": "X"}}
PROVIDERS["trusted"]["data_classes"] = ["public", "internal", "restricted"]


def model(provider: str, window: int | None, name: str = "m", **fields):
    return {"provider": provider, "model": name, "max_tokens": 100, "context_window": window} | fields


def settings_of(*tiers, **fields) -> Settings:
    named = [{"name": f"t{number}", "models": models} for number, models in enumerate(tiers, start=1)]
    return Settings(**SETTINGS | {"providers": PROVIDERS, "tiers": named, "validation": {}, "routing": {}} | fields)


LADDER = settings_of([model("small", 1_000)], [model("small", 4_000)], [model("large", 20_000)])


def decide(settings: Settings, request, *, rules=()):
    router = Router(
        policy=Policy(rules, settings.top_tier),
        classifiers=ClassifierVersions(Fixed()),
        tiers=settings.top_tier,
        boundary=(0.45, 0.55),
        models=EligibleModels(settings),
    )
    return router.draft(request, request.digest(), 0).decision


def history(words: int, **fields):
    """A conversation that has become long, with a plain question at its end."""
    request = new_request("What are your opening hours?", **fields)
    said = Message(role="user", content=WORD * words)
    return request.model_copy(update={"messages": (said, Message(role="assistant", content="ok"), *request.messages)})


@pytest.mark.parametrize(("words", "tier"), [(0, 1), (400, 1), (1_500, 2), (10_000, 3)])
def test_a_history_that_outgrows_a_tier_moves_up_before_the_call(words, tier):
    decision = decide(LADDER, history(words))
    assert decision.tier == tier
    moved = decision.reasons == ("context window of tier 1",)
    assert moved == (tier > 1)
    assert decision.floor == tier
    assert decision.rule is None


def test_the_rule_stays_named_when_its_tier_is_too_small():
    rules = (RuleSettings(name="cheap", when=RuleCondition(), tier=1, ceiling=2),)
    decision = decide(LADDER, history(1_500), rules=rules)
    assert (decision.tier, decision.rule, decision.floor, decision.ceiling) == (2, "cheap", 2, 2)
    assert decision.reasons == ("cheap", "context window of tier 1")


def test_without_room_up_to_the_ceiling_the_message_says_what_was_needed():
    with pytest.raises(NoModelError) as caught:
        decide(LADDER, history(50_000))
    assert "the largest context window is 20,000 tokens (m)" in str(caught.value)
    assert "and 100 for the answer" in str(caught.value)
    assert decide(LADDER, history(10_000)).tier == 3
    with pytest.raises(NoModelError, match="window is 4,000 tokens"):
        decide(LADDER, history(10_000, max_tier=2))


def test_the_expected_answer_takes_room_too():
    assert decide(LADDER, history(400)).tier == 1
    assert decide(LADDER, history(400, params={"max_tokens": 3_000})).tier == 2


def test_an_answer_that_no_model_gives_is_refused_by_its_name():
    settings = settings_of([model("vendor", None, "gpt-6-luna")], [model("vendor", None, "gpt-6.1-sol")])
    with pytest.raises(NoModelError, match=r"params.max_tokens: 200,000 tokens; .* gives at most 128,000"):
        decide(settings, new_request(params={"max_tokens": 200_000}))


def test_one_roomy_model_is_enough_for_a_tier_and_the_others_are_told_apart():
    settings = settings_of([model("small", 1_000), model("large", 20_000, "roomy")], [model("large", 20_000)])
    request = history(1_500)
    assert decide(settings, request).tier == 1
    windows = ContextWindows(settings)
    assert [windows.holds(each, request) for each in settings.tiers[0].models] == [False, True]


def test_only_models_that_may_see_the_request_count():
    settings = settings_of(
        [model("small", 1_000), model("large", 9_000)], [model("large", 9_000)], [model("trusted", 2_000)]
    )
    restricted = {"context": {"data_class": "restricted"}}
    assert decide(settings, history(1_000)).tier == 1
    # Tiers whose providers may not see it are left to the stage that calls; the window is no reason to move it.
    assert decide(settings, history(1_000, **restricted)).tier == 1
    with pytest.raises(NoModelError, match="2,000 tokens"):
        decide(settings, history(1_800, **restricted))
    assert decide(settings, history(1_800, max_tier=2, **restricted)).tier == 1


def test_a_model_without_a_known_window_takes_everything():
    settings = settings_of([model("small", None)], [model("large", 1_000)])
    assert decide(settings, history(150_000)).tier == 1
    assert ContextWindows(settings).limits(settings.tiers[0].models[0]).window is None


def test_the_window_of_the_settings_wins_over_the_table():
    settings = settings_of([model("vendor", 500, "gpt-6-luna")], [model("vendor", None, "gpt-6-luna")])
    windows = ContextWindows(settings)
    own, listed = (windows.limits(tier.models[0]) for tier in settings.tiers)
    assert (own.window, own.prompt, own.answer) == (500, None, 128_000)
    assert (listed.window, listed.prompt) == (1_050_000, 922_000)
    assert ModelTable(settings.providers).known(settings.tiers[1].models[0]).max_input == 922_000


def test_the_edges_of_a_window():
    settings = settings_of([model("vendor", None, "gpt-6-luna")], [model("small", 1_000)])
    windows = ContextWindows(settings)
    luna, small = (tier.models[0] for tier in settings.tiers)
    assert windows.fits(small, 900, 100)
    assert not windows.fits(small, 901, 100)
    assert windows.fits(luna, 922_000, 128_000)
    assert not windows.fits(luna, 922_001, 1)
    assert not windows.fits(luna, 1, 128_001)


def test_schema_parts_and_messages_count():
    windows = ContextWindows(LADDER)
    small = LADDER.tiers[0].models[0]
    plain = windows.prompt_tokens(small, new_request())
    properties = {f"field_{n}": {"type": "string"} for n in range(50)}
    assert windows.prompt_tokens(small, new_request(response_schema={"properties": properties})) > plain + 300
    parts = new_request().model_copy(
        update={"messages": (Message(role="user", content=(TextPart(type="text", text=WORD * 500),)),)}
    )
    assert windows.prompt_tokens(small, parts) > 500
    many = new_request().model_copy(update={"messages": (Message(role="user", content=""),) * 100})
    assert windows.prompt_tokens(small, many) > 400


def test_tools_calls_and_images_count_and_their_data_does_not():
    windows = ContextWindows(LADDER)
    small = LADDER.tiers[0].models[0]
    plain = windows.prompt_tokens(small, new_request())
    offered = new_request(tools=(tool(description=WORD * 300),))
    assert windows.prompt_tokens(small, offered) > plain + 1_000
    called = said("assistant", None, tool_calls=[call("c1", arguments=WORD * 300)])
    assert windows.prompt_tokens(small, new_request().model_copy(update={"messages": (called,)})) > 250
    pixels = image(f"data:image/png;base64,{'A' * 400_000}")
    shown = new_request().model_copy(update={"messages": (said("user", [pixels]),)})
    assert 5_000 < windows.prompt_tokens(small, shown) < 6_000
    assert [windows.holds(tier.models[0], shown) for tier in LADDER.tiers] == [False, False, True]


def test_the_shipped_tiers_hold_what_their_vendors_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load()
    assert decide(settings, history(90_000)).tier == 1
    moved = decide(settings, history(180_000))
    assert (moved.tier, moved.reasons) == (2, ("context window of tier 1",))


def test_a_close_case_is_counted_exactly_where_the_tokenizer_is_installed():
    pytest.importorskip("bpe_openai")
    settings = settings_of([model("vendor", 10_000, "gpt-6-luna")], [model("vendor", None, "gpt-6-luna")])
    request = new_request("the quick brown fox, jumps over 12 lazy dogs. " * 750)
    tight, roomy = (tier.models[0] for tier in settings.tiers)
    windows = ContextWindows(settings)
    assert windows.prompt_tokens(roomy, request) > 9_900
    assert windows.prompt_tokens(tight, request) < 9_900
    assert windows.holds(tight, request)


async def test_the_stage_refuses_what_no_tier_has_room_for():
    with pytest.raises(RefusedError, match="fit no model of the allowed tiers"):
        await run(classify, history(50_000), new_bench(LADDER), "classify")
