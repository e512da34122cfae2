"""Which models may serve a request by what it needs, and the model that it names itself."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fixed_classifiers import Fixed
from support.handler_runs import run
from support.in_memory import SETTINGS, new_bench, new_request
from support.record_strategies import requests

from agents.classify import classify
from streams.config.eligible_models import EligibleModels, NoModelError, moved_up
from streams.config.request_needs import needs
from streams.config.setting_types import Capability
from streams.config.settings import Settings, load
from streams.config.settings_sections import LimitSettings, RuleCondition, RuleSettings
from streams.routing.policy import Policy, bounds_problem
from streams.routing.router import Router
from streams.routing.versions import ClassifierVersions
from streams.runtime.stage import RefusedError
from topics.requests import Request

PNG = "data:image/png;base64,AAAA"
PROVIDERS = {
    name: {"protocol": "openai_compatible", "base_url": "http://127.0.0.1:1", "api_key_env": "X"}
    for name in ("here", "there", "trusted")
} | {"anthropic": {"protocol": "anthropic", "api_key_env": "X"}}
PROVIDERS["trusted"]["data_classes"] = ["public", "internal", "restricted"]
TOOL = {"type": "function", "function": {"name": "look"}}
CALL = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": PNG}}
FILE = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAAA"}}
FILE_URL = {"type": "file", "file": {"file_url": "https://example.org/a.pdf"}}
EVERYTHING = tuple(Capability)


def model(name: str, *takes: str, provider: str = "here", **fields):
    return {"provider": provider, "model": name, "max_tokens": 100, "takes": takes} | fields


def settings_of(*tiers, **fields) -> Settings:
    named = [{"name": f"t{number}", "models": models} for number, models in enumerate(tiers, start=1)]
    return Settings(**SETTINGS | {"providers": PROVIDERS, "tiers": named, "validation": {}, "routing": {}} | fields)


def asks(*content, **fields) -> Request:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *content]}]
    return Request.model_validate({"request_id": "r", "messages": messages} | fields)


def decide(found: Settings, request: Request, *, rules=(), limits=None, needed=(0.0, 0.0)):
    router = Router(
        policy=Policy(rules, found.top_tier, limits),
        classifiers=ClassifierVersions(Fixed(*needed)),
        tiers=found.top_tier,
        boundary=(0.45, 0.55),
        models=EligibleModels(found),
    )
    return router.draft(request, request.digest(), 0).decision


LADDER = settings_of([model("blind")], [model("sees", "images")], [model("all", *EVERYTHING)])


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (asks(), {}),
        (asks(params={"logprobs": False}), {}),
        (asks(IMAGE), {"images": "messages.0.content.1"}),
        (asks(FILE, IMAGE, FILE), {"files": "messages.0.content.1", "images": "messages.0.content.2"}),
        (asks(FILE_URL), {"file_urls": "messages.0.content.1"}),
        (asks({"type": "file", "file": {"file_url": PNG}}), {"files": "messages.0.content.1"}),
        (asks(params={"logprobs": True}), {"logprobs": "params.logprobs"}),
        (asks(tools=[TOOL]), {"tools": "tools"}),
    ],
)
def test_what_a_request_needs_and_which_field_says_so(request_, found):
    assert needs(request_) == found


def test_calls_of_the_history_need_a_model_that_can_read_them():
    user, called = {"role": "user", "content": "Look."}, {"role": "assistant", "content": None, "tool_calls": [CALL]}
    result = {"role": "tool", "tool_call_id": "c1", "content": [IMAGE]}
    request = Request.model_validate({"request_id": "r", "messages": [user, called, result]})
    assert needs(request) == {"tools": "messages.1.tool_calls", "images": "messages.2.content.0"}


@pytest.mark.parametrize(
    ("content", "tier", "reasons"),
    [([], 1, ()), ([IMAGE], 2, ("images: tier 2",)), ([FILE_URL], 3, ("file urls: tier 3",))],
)
def test_what_the_models_of_a_tier_do_not_take_moves_the_request_up(content, tier, reasons):
    decision = decide(LADDER, asks(*content))
    assert (decision.tier, decision.floor, decision.rule, decision.reasons) == (tier, tier, None, reasons)
    assert all(map(moved_up, reasons))


def test_a_tier_with_room_that_is_blind_and_one_that_sees_without_room_are_both_passed_over():
    small = {"context_window": 500}
    found = settings_of([model("roomy"), model("sees", "images", **small)], [model("wide", "images")])
    request = asks(IMAGE, {"type": "text", "text": "word " * 600})
    decision = decide(found, request)
    assert (decision.tier, decision.reasons) == (2, ("context window of tier 1",))
    assert [one.model for one in EligibleModels(found).of_tier(1, request)] == []


def test_what_no_model_takes_together_with_the_rest_is_lacking_too():
    found = settings_of([model("sees", "images"), model("reads", "files")], [model("both", "images", "files")])
    assert decide(found, asks(IMAGE, FILE)).reasons == ("images and files: tier 2",)
    with pytest.raises(NoModelError, match=r"^messages.0.content.1: no model of the allowed tiers takes images and fi"):
        decide(found, asks(IMAGE, FILE, max_tier=1))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (asks(IMAGE, max_tier=1), "messages.0.content.1: no model of the allowed tiers takes images"),
        (asks(FILE_URL, max_tier=2), "messages.0.content.1: no model of the allowed tiers takes file urls"),
        (asks(tools=[TOOL], max_tier=2), "tools: no model of the allowed tiers takes tools"),
    ],
)
def test_where_nobody_can_the_message_names_the_field_and_what_is_lacking(request_, message):
    with pytest.raises(NoModelError) as caught:
        decide(LADDER, request_)
    assert str(caught.value) == message


def test_a_model_that_may_not_see_the_request_is_no_help():
    found = settings_of([model("sees", "images")], [model("blind", provider="trusted")])
    with pytest.raises(NoModelError, match="takes images"):
        decide(found, asks(IMAGE, context={"data_class": "restricted"}))


def test_of_an_unknown_model_tools_are_taken_for_granted_and_the_settings_win_over_the_table():
    known = model("claude-haiku-5-5", provider="anthropic") | {"takes": None}
    found = settings_of(
        [model("new") | {"takes": None}, model("told", "images")], [known, known | {"takes": ["tools"]}]
    )
    models = EligibleModels(found)
    taken = [[models.takes(one) for one in tier.models] for tier in found.tiers]
    assert taken == [[{"tools"}, {"images"}], [{"tools", "images", "files", "file_urls"}, {"tools"}]]


def test_the_shipped_models_take_images_and_files_above_the_first_tier(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = load()
    request = asks(IMAGE, tools=[TOOL])
    decision = decide(found, request)
    assert (decision.tier, decision.reasons) == (2, ("images: tier 2",))
    # It takes no tools in chat completions.
    assert "gpt-6.1-sol" not in [one.model for one in EligibleModels(found).of_tier(3, request)]
    assert [one.provider for one in EligibleModels(found).of_tier(2, asks(FILE_URL))] == ["anthropic"]


async def test_the_stage_refuses_what_no_model_takes():
    with pytest.raises(RefusedError, match=r"messages.0.content.1: no model of the allowed tiers takes images"):
        await run(classify, asks(IMAGE), new_bench(Settings(**SETTINGS)), "classify")


NAMED = settings_of(
    [model("one"), model("shared"), model("vendor/x")],
    [model("two", "images"), model("shared", provider="there")],
    [model("three", provider="trusted"), model("one", "images")],
)


class TestNamedModel:
    @pytest.mark.parametrize(
        ("name", "tier", "ref"),
        [
            ("here/two", 2, "here/two"),
            ("two", 2, "here/two"),
            ("one", 1, "here/one"),
            ("there/shared", 2, "there/shared"),
            ("vendor/x", 1, "here/vendor/x"),
        ],
    )
    @pytest.mark.parametrize("needed", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
    def test_the_request_goes_to_the_lowest_tier_that_has_it_and_stays_there(self, name, tier, ref, needed):
        request = asks(model=name)
        decision = decide(NAMED, request, needed=needed)
        assert (decision.tier, decision.floor, decision.ceiling) == (tier, tier, tier)
        assert (decision.rule, decision.reasons) == (f"model {ref}", (f"model {ref}",))
        assert [one.ref for one in EligibleModels(NAMED).of_tier(tier, request)] == [ref]

    def test_no_rule_moves_it_but_a_judge_may_still_see_the_answer(self):
        rules = [
            RuleSettings(name="low", when=RuleCondition(), ceiling=1, tier=1, validate_answer=True),
            RuleSettings(name="high", when=RuleCondition(classified_tier=(1,)), floor=3, raise_by=2),
        ]
        decision = decide(NAMED, asks(model="two"), rules=rules)
        assert (decision.tier, decision.floor, decision.ceiling, decision.validate_answer) == (2, 2, 2, True)

    @pytest.mark.parametrize(
        ("fields", "limits", "message"),
        [
            ({"model": "nobody"}, None, "model: the deployment has no model of that name"),
            ({"model": "shared"}, None, "model: several have that name: here/shared, there/shared"),
            (
                {"model": "two", "max_tier": 1},
                None,
                "model: here/two is of tier 2; allowed are 1 to 1",
            ),
            (
                {"model": "two", "min_tier": 3},
                None,
                "model: here/two is of tier 2; allowed are 3 to 3",
            ),
            (
                {"model": "three", "user_id": "ann"},
                LimitSettings(user={"ann": 2}),
                "model: trusted/three is of tier 3; allowed are 1 to 2",
            ),
            (
                {"model": "two", "context": {"data_class": "restricted"}},
                None,
                "model: the provider of here/two may not see restricted data",
            ),
            ({"model": "two", "tools": [TOOL]}, None, "tools: here/two does not take tools"),
        ],
    )
    def test_what_it_can_not_be_asked_is_refused_by_name(self, fields, limits, message):
        with pytest.raises(NoModelError) as caught:
            decide(NAMED, asks(**fields), limits=limits)
        assert str(caught.value) == message

    def test_above_its_lowest_tier_it_is_found_where_that_is_not_allowed_or_not_able(self):
        assert decide(NAMED, asks(model="one", min_tier=2)).tier == 3
        assert decide(NAMED, asks(IMAGE, model="here/one")).tier == 3

    def test_a_whole_name_counts_before_the_id_of_another_providers_model(self):
        found = settings_of([model("there/m")], [model("m", provider="there")])
        assert decide(found, asks(model="there/m")).reasons == ("model there/m",)
        assert decide(found, asks(model="there/m")).tier == 2

    def test_nobody_is_asked_what_tier_it_needs(self):
        request = asks(model="two")
        router = Router(
            policy=Policy((), 3),
            classifiers=ClassifierVersions(Fixed(0.5, 0.5)),
            tiers=3,
            boundary=(0.45, 0.55),
            models=EligibleModels(NAMED),
            ask_band=(0.0, 1.0),
        )
        assert not router.draft(request, request.digest(), 0).asks

    async def test_the_stage_refuses_a_name_that_nobody_has(self):
        with pytest.raises(RefusedError, match="model: the deployment has no model of that name"):
            await run(classify, new_request(model="gpt-2"), new_bench(Settings(**SETTINGS)), "classify")


capabilities = st.sets(st.sampled_from(EVERYTHING)).map(tuple)
models_of_a_tier = st.lists(
    st.builds(
        lambda takes, provider, window: model("m", *takes, provider=provider, context_window=window),
        capabilities,
        st.sampled_from(("here", "trusted")),
        st.sampled_from((300, 2_000, 1_000_000)),
    ),
    min_size=1,
    max_size=2,
)


@settings(max_examples=examples(100))
@given(st.lists(models_of_a_tier, min_size=3, max_size=3), requests, st.none() | st.just("m"))
def test_whatever_a_request_needs_its_tier_has_a_model_for_it_or_it_is_refused(tiers, request, name):
    found = settings_of(*tiers)
    request = request.model_copy(update={"model": name and "here/m"})
    if bounds_problem(request, found.top_tier) is not None:
        return
    models = EligibleModels(found)
    try:
        decision = decide(found, request)
    except NoModelError:
        return
    assert (request.min_tier or 1) <= decision.tier <= (request.max_tier or found.top_tier)
    serving = list(models.of_tier(decision.tier, request))
    seers = [one for one in found.tiers[decision.tier - 1].models if found.may_see(one, request.context.data_class)]
    # A tier whose models may see nothing of it is left to the stage that calls.
    assert serving or (not seers and name is None)
    for one in serving:
        assert needs(request).keys() <= models.takes(one)
        assert models.windows.holds(one, request)
        assert name is None or one.ref == "here/m"
