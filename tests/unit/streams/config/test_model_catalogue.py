"""The table of models: it knows what is shipped, and says what is retired, unknown, unpinned or given in vain."""

from datetime import date

import pytest

from streams.config.model_catalogue import KnownModel, ModelTable, _file
from streams.config.settings import SettingsError, load
from streams.config.settings_sections import ModelSettings, ProviderSettings
from streams.config.tokens import Tokenizer
from tierstream.simulator.behaviour import load_config

TODAY = date(2026, 11, 22)


@pytest.fixture(autouse=True)
def _no_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def provider(protocol="openai", **fields) -> ProviderSettings:
    return ProviderSettings(protocol=protocol, api_key_env="X", **fields)


PROVIDERS = {
    "groq": provider("groq"),
    "groq-eu": provider("groq"),
    "openai": provider(),
    "anthropic": provider("anthropic"),
    "own": provider("openai_compatible", price_list="together", base_url="http://127.0.0.1:1"),
}


def model(name: str, of: str = "groq", **fields) -> ModelSettings:
    return ModelSettings(provider=of, model=name, **fields)


def findings(*models: ModelSettings, retired=None, today=TODAY):
    return ModelTable(PROVIDERS, retired).findings([("tiers[one]", each) for each in models], today)


def test_the_shipped_models_are_known_pinned_and_well_configured():
    settings = load()
    table = ModelTable(settings.providers, settings.retired)
    assert table.findings(settings.models(), TODAY) == []
    for _, each in settings.models():
        assert table.unpinned(each) is None
        assert table.known(each).context_window >= 100_000


def test_the_simulated_models_are_known():
    table = ModelTable(load().providers)
    for name, simulated in load_config().providers.items():
        for each in simulated.models:
            assert table.known(model(each, name)) is not None, each


@pytest.mark.parametrize("of", ["groq", "groq-eu"])
def test_a_model_is_found_by_the_name_of_its_provider_or_by_its_protocol(of):
    known = ModelTable(PROVIDERS).known(model("openai/gpt-oss-20b", of))
    assert (known.context_window, known.tokenizer) == (131_072, Tokenizer.O200K)


def test_a_compatible_provider_leads_to_its_vendor():
    assert ModelTable(PROVIDERS).known(model("openai/gpt-oss-120b", "own")) is not None
    assert ModelTable(PROVIDERS).known(model("gpt-oss-120b", "own")) is None


def test_the_table_has_no_contradictions():
    names = [name for entry in _file().models for name in entry.ids]
    assert len(names) == len(set(names))
    assert not set(names) & {*_file().aliases, *_file().retired}
    for name, retirement in _file().retired.items():
        assert retirement.successor not in _file().retired, name
        assert retirement.successor is None or retirement.successor in names, name
    for entry in _file().models:
        assert isinstance(entry, KnownModel)
        assert (entry.max_output or 0) < entry.context_window


def test_a_retired_model_is_named_with_its_successor():
    (found,) = findings(model("mixtral-8x7b-32768"))
    assert (found.code, found.successor, found.answers) == ("retired", "groq/openai/gpt-oss-20b", False)
    assert found.message == (
        "groq/mixtral-8x7b-32768 is retired and no longer answers since 2025-03-20: use groq/openai/gpt-oss-20b"
    )


def test_a_retirement_to_come_is_announced():
    announced = model("gpt-5-2025-08-07", "openai")
    (found,) = findings(announced)
    assert (found.code, found.answers) == ("retiring", True)
    assert "stops answering on 2026-12-11: use openai/gpt-6.1-sol" in found.message
    assert findings(announced, today=date(2026, 12, 11))[0].code == "retired"


def test_the_settings_add_retired_models():
    ours = model("openai/gpt-oss-20b")
    (found,) = findings(ours, retired={ours.ref: "groq/next"})
    assert (found.code, found.successor) == ("retired", "groq/next")


def test_an_unknown_model_has_no_window_unless_the_settings_give_one():
    (found,) = findings(model("made-up"))
    assert found.code == "unknown"
    assert "set context_window" in found.message
    (found,) = findings(model("made-up", context_window=1000))
    assert "context_window" not in found.message


@pytest.mark.parametrize(
    ("each", "problem"),
    [
        (model("openai/gpt-oss-20b", extra={"reasoning_effort": "low"}), None),
        (model("openai/gpt-oss-20b", extra={"reasoning_effort": "minimal"}), "it takes low, medium, high"),
        (model("openai/gpt-oss-20b", extra={"thinking": {"type": "adaptive"}}), "thinking.type: not a parameter"),
        (model("gpt-6-luna", "openai", extra={"reasoning_effort": "none"}), None),
        (model("gpt-6.1-sol", "openai", extra={"reasoning_effort": "none"}), "it takes low, medium, high, xhigh, max"),
        (model("gpt-6.1-terra", "openai", extra={"reasoning_effort": "whatever"}), None),
        (model("claude-opus-5-5", "anthropic", extra={"output_config": {"effort": "low"}}), None),
        (model("claude-opus-5-5", "anthropic", extra={"reasoning_effort": "low"}), "it takes output_config.effort"),
        (model("claude-opus-5-5", "anthropic", extra={"temperature": 0}), "it takes no sampling parameters"),
        (
            model("claude-opus-5-5", "anthropic", extra={"thinking": {"type": "adaptive", "budget_tokens": 2000}}),
            "thinking.budget_tokens: not a parameter",
        ),
        (
            model("meta-llama/Llama-3.3-70B-Instruct-Turbo", "own", extra={"reasoning_effort": "low"}),
            "it takes none to steer reasoning",
        ),
        (model("openai/gpt-oss-20b", extra={"reasoning_effort": ["low"]}), "it takes low, medium, high"),
        (model("openai/gpt-oss-20b", extra={"service_tier": "auto"}), None),
    ],
)
def test_parameters_that_a_model_does_not_take_are_named(each, problem):
    found = findings(each)
    if problem is None:
        assert found == []
    else:
        assert [finding.code for finding in found] == ["parameter"]
        assert problem in found[0].message


@pytest.mark.parametrize(
    ("each", "why"),
    [
        (model("claude-next-latest", "anthropic"), "the latest"),
        (model("llama3:latest", "own"), "the latest"),
        (model("claude-haiku-4-5", "anthropic"), "claude-haiku-4-5-20251001"),
        (model("gpt-5.5", "openai"), "gpt-5.5-2026-04-23"),
    ],
)
def test_names_that_move_are_told_from_versions(each, why):
    assert why in ModelTable(PROVIDERS).unpinned(each)


def test_the_settings_refuse_what_is_not_pinned(tmp_path):
    judge = '[validation.judge]\nprovider = "openai"\nmodel = "gpt-5.5"\n'
    path = tmp_path / "own.toml"
    path.write_text(judge)
    with pytest.raises(SettingsError, match=r"validation.judge: openai/gpt-5.5 is not pinned: .*allow_unpinned = true"):
        load(path)
    path.write_text(f"allow_unpinned = true\n{judge}")
    assert load(path).validation.judge.model == "gpt-5.5"


@pytest.mark.parametrize(
    ("each", "family"),
    [
        (model("openai/gpt-oss-20b"), "openai"),
        (model("gpt-6-luna", "openai"), "openai"),
        (model("claude-haiku-5-5", "anthropic"), "anthropic"),
        (model("meta-llama/Llama-3.3-70B-Instruct-Turbo", "own"), "meta"),
        (model("DeepSeek-R1-Distill-Llama-70B"), "deepseek"),
        (model("accounts/fireworks/models/qwen3-8b", "own"), "alibaba"),
        (model("Acme/one"), "acme"),
        (model("one", "groq-eu"), "groq-eu"),
        (model("one", "own"), "together"),
        (model("one", "no provider of ours"), "no provider of ours"),
        (model("gpt-6-luna", "openai", family="Mine"), "mine"),
    ],
    ids=str,
)
def test_whose_model_it_is(each, family):
    assert ModelTable(PROVIDERS).family(each) == family
