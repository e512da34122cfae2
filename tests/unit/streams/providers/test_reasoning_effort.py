"""The level of reasoning that is asked for: one that the model takes, and not more than was wanted."""

from dataclasses import replace

import pytest
from support.provider_calls import call_of

from streams.config.model_catalogue import KnownModel
from streams.config.settings import load
from streams.providers.anthropic import AnthropicProvider
from streams.providers.groq import GroqProvider
from streams.providers.openai import OpenAIProvider
from streams.providers.openai_compatible import OpenAICompatibleProvider
from streams.providers.reasoning import effort
from streams.providers.registry import build_providers
from streams.providers.vendor_sdk import Connection
from topics.messages import Tool
from topics.requests import Params

TOOL = Tool.model_validate({"type": "function", "function": {"name": "look"}})


def wanting(level, model="m", **extra):
    return call_of(model, params=Params(reasoning_effort=level), extra=extra)


@pytest.mark.parametrize(
    ("levels", "wanted", "asked"),
    [
        (("low", "medium", "high"), "none", "low"),
        (("low", "medium", "high"), "medium", "medium"),
        (("low", "medium", "high"), "max", "high"),
        (("none", "low", "max"), "minimal", "none"),
        (("none", "low", "max"), "xhigh", "low"),
        ((), "xhigh", "xhigh"),
        (("default",), "high", "high"),
    ],
)
def test_the_nearest_level_that_is_not_more_than_wanted(levels, wanted, asked):
    known = KnownModel(reasoning={"reasoning_effort": levels})
    assert effort(wanting(wanted), lambda _: known, "reasoning_effort") == asked


def test_a_model_that_has_no_levels_is_told_none_and_an_unknown_one_what_is_wanted():
    assert effort(wanting("low"), lambda _: KnownModel(), "reasoning_effort") is None
    assert effort(wanting("low"), lambda _: None, "reasoning_effort") == "low"
    assert effort(wanting(None), lambda _: KnownModel(), "reasoning_effort") is None


def body(kind, call, known=None):
    speaker = kind(Connection("p", "key", None, use_proxy=False), lambda _: known)
    return speaker.request_body(call)


def with_tools(level):
    return call_of("gpt-6-luna", params=Params(reasoning_effort=level), asked={"tools": (TOOL,)})


NONE_TOO = KnownModel(reasoning={"reasoning_effort": ("none", "low", "high")})


def test_openai_is_asked_for_a_level_where_the_model_reasons():
    assert body(OpenAIProvider, wanting("high", "gpt-6-luna"), NONE_TOO)["reasoning_effort"] == "high"
    assert "reasoning_effort" not in body(OpenAIProvider, wanting("high", "gpt-4o"))


def test_openai_does_not_reason_beside_tools():
    for known in (NONE_TOO, KnownModel(reasoning={"reasoning_effort": ()})):
        assert body(OpenAIProvider, with_tools("high"), known)["reasoning_effort"] == "none"
    always = KnownModel(reasoning={"reasoning_effort": ("low", "high")})
    assert "reasoning_effort" not in body(OpenAIProvider, with_tools("high"), always)
    assert "reasoning_effort" not in body(OpenAIProvider, with_tools("high"), None)


def test_a_model_that_does_not_reason_takes_sampling():
    params = Params(reasoning_effort="none", temperature=0.5, logprobs=True)
    asked = body(OpenAIProvider, call_of("gpt-6-luna", params=params), NONE_TOO)
    assert (asked["reasoning_effort"], asked["temperature"], asked["logprobs"]) == ("none", 0.5, True)


@pytest.mark.parametrize(("kind", "of_unknown"), [(GroqProvider, "high"), (OpenAICompatibleProvider, "max")])
def test_other_servers_are_asked_in_their_levels(kind, of_unknown):
    known = KnownModel(reasoning={"reasoning_effort": ("low", "medium")})
    assert body(kind, wanting("max"), known)["reasoning_effort"] == "medium"
    assert body(kind, wanting("max"), None)["reasoning_effort"] == of_unknown


def test_anthropic_has_it_beside_the_format_and_only_of_models_that_take_it():
    known = KnownModel(reasoning={"output_config.effort": ("low", "high")})
    call = call_of("m", params=Params(reasoning_effort="max"), response_schema={"type": "object"})
    assert body(AnthropicProvider, call, known)["output_config"]["effort"] == "high"
    assert body(AnthropicProvider, call, known)["output_config"]["format"]["type"] == "json_schema"
    assert "effort" not in body(AnthropicProvider, call, None)["output_config"]
    assert "output_config" not in body(AnthropicProvider, wanting("low"), KnownModel())


def test_providers_know_the_models_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load()
    providers = build_providers(
        settings, environ={}, simulator_url="http://127.0.0.1:1", simulated=list(settings.providers)
    )
    model = next(model for _, model in settings.models() if model.provider == "groq")
    asked = providers["groq"].request_body(replace(wanting("max"), model=model))
    assert asked["reasoning_effort"] == "high"
