"""Settings: shipped defaults, files, the environment, and one clear line for what is wrong."""

import os
from pathlib import Path

import pytest
from in_memory import SETTINGS

from streams.settings import Settings, SettingsError, load
from topics.requests import DataClass

TWO_TIERS = """
[[tiers]]
name = "small"
models = [{ provider = "groq", model = "a" }]

[[tiers]]
name = "large"
models = [{ provider = "groq", model = "b" }]
"""


@pytest.fixture(autouse=True)
def _own_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("TIERSTREAM_") or name in {"KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL"}:
            monkeypatch.delenv(name)


def write(text: str, name: str = "tierstream.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def problem(text: str | None = None, **arguments: object) -> str:
    if text is not None:
        write(text)
    with pytest.raises(SettingsError) as caught:
        load(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert 0 < len(message) < 400
    return message


def test_the_defaults_load():
    settings = load()
    assert settings.top_tier == 3
    assert settings.frontier_ref == settings.tiers[-1].models[0].ref
    assert {rule.name for rule in settings.routing.rules} >= {"executive-finance", "legal-review"}
    assert all(settings.may_serve(data_class) for data_class in DataClass)
    assert settings.kafka.bootstrap_servers is None
    assert [place for place, _ in settings.models()][-2:] == ["validation.judge", "validation.fallback"]


def test_tables_merge_and_lists_replace():
    write(
        '[kafka]\nprefix = "x."\n[providers.groq]\nmax_concurrency = 3\n[[routing.rules]]\nname = "only"\n'
        "when = {}\ntier = 2\n"
    )
    settings = load()
    assert (settings.kafka.prefix, settings.kafka.partitions) == ("x.", load().kafka.partitions)
    assert settings.providers["groq"].max_concurrency == 3
    assert settings.providers["groq"].api_key_env == "GROQ_API_KEY"
    assert [rule.name for rule in settings.routing.rules] == ["only"]
    assert settings.top_tier == 3


def test_own_tiers_need_nothing_else():
    write(TWO_TIERS)
    settings = load()
    assert (settings.top_tier, settings.frontier_ref) == (2, "groq/b")


def test_a_named_file_and_the_variable_that_names_one(monkeypatch):
    write('[kafka]\nprefix = "named."\n', "other.toml")
    assert load(Path("other.toml")).kafka.prefix == "named."
    monkeypatch.setenv("TIERSTREAM_CONFIG", "other.toml")
    assert load().kafka.prefix == "named."


def test_the_environment_wins_over_overrides_and_these_over_the_file(monkeypatch):
    write("[kafka]\npartitions = 2\nreplication_factor = 2\nsession_timeout_s = 2\n")
    monkeypatch.setenv("TIERSTREAM_KAFKA__PARTITIONS", "4")
    monkeypatch.setenv("TIERSTREAM_PROVIDERS__GROQ__MAX_CONCURRENCY", "9")
    monkeypatch.setenv("TIERSTREAM_KAFKA__PREFIX", "")
    settings = load(overrides={"kafka": {"partitions": 3, "replication_factor": 3}})
    kafka = settings.kafka
    assert (kafka.partitions, kafka.replication_factor, kafka.session_timeout_s, kafka.prefix) == (4, 3, 2, "llm.")
    assert settings.providers["groq"].max_concurrency == 9


def test_the_variables_of_other_programs(monkeypatch):
    write('[kafka]\nbootstrap_servers = "file:1"\n[clickhouse]\nurl = "http://file"\n')
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.setenv("CLICKHOUSE_URL", "http://clickhouse:8123")
    settings = load()
    assert (settings.kafka.bootstrap_servers, settings.clickhouse.url) == ("broker:9092", "http://clickhouse:8123")


def test_a_group_for_each_stage():
    assert load().group("infer:1") == "llm.infer-1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[kafka\n", "not valid TOML"),
        ("\x00", "not valid TOML"),
        ("[kafka]\npartitons = 3\n", "kafka.partitons"),
        ("[kakfa]\n", "kakfa"),
        ("[kafka]\npartitions = 'many'\n", "kafka.partitions"),
        ("[kafka]\npartitions = 0\n", "kafka.partitions"),
        ("[kafka]\nprefix = 'a b'\n", "kafka.prefix"),
        ("[kafka]\nrecord_max_bytes = 1048577\n", "kafka.record_max_bytes"),
        ("[delivery]\ndedup_window_s = 60\n", "delivery.dedup_window_s 60 is below the longest deadline, 1800"),
        ("[deadlines]\nbulk = 7200\n", "delivery.dedup_window_s 3600 is below the longest deadline, 7200"),
        (TWO_TIERS.replace('"groq"', '"grok"'), "tiers[small]: provider 'grok' is not in [providers]"),
        ("[validation.judge]\nprovider = 'x'\nmodel = 'y'\n", "validation.judge: provider 'x'"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\nfloor = 4\n", "rule 'r': tier 4 does not exist, there are 3"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\ntier = 0\n", "routing.rules.0.tier"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\ntier = 'best'\n", "routing.rules.0.tier"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\n", "a rule needs tier, floor, ceiling, threshold_shift or"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {rol = ['x']}\ntier = 1\n", "routing.rules.0.when.rol"),
        ("[routing]\nfrontier = 'groq/nothing'\n", "routing.frontier 'groq/nothing' is not a model of any tier"),
        ("[routing]\nboundary = [0.4, 1.5]\n", "routing.boundary.1"),
        ("[routing]\nclassifier = 'both'\n", "routing.classifier"),
        ("[routing.llm]\nbatch_wait_ms = 101\n", "routing.llm: batch_wait_ms 101 is above budget_ms, 100"),
        ("[routing.llm]\nask = [0.7, 0.3]\n", "routing.llm: ask: the lower end comes first"),
        (
            "[routing]\nclassifier = 'llm'\nllm.model = {provider = 'x', model = 'y'}\n",
            "routing.llm.model: provider 'x' is not in [providers]",
        ),
        ("[[tiers]]\nname = 'one'\nmodels = [{provider = 'groq', model = 'a'}]\n", "tiers"),
        ('[prices."groq/a"]\ninput = -1\noutput = 1\n', "prices.groq/a.input"),
        ("[clickhouse]\nlog_bodies = 'some'\n", "clickhouse.log_bodies"),
    ],
)
def test_one_line_says_what_is_wrong(text, expected):
    message = problem(text)
    assert expected in message
    assert message.startswith("tierstream.toml: ")


def test_a_missing_file_is_named(monkeypatch):
    assert problem(config=Path("gone.toml")) == "gone.toml: no such config file"
    monkeypatch.setenv("TIERSTREAM_CONFIG", "gone-too.toml")
    assert problem() == "gone-too.toml: no such config file"


def test_a_file_that_is_no_text_is_named():
    Path("binary.toml").write_bytes(b"\xff\xfe")
    assert problem(config=Path("binary.toml")).startswith("binary.toml: not valid TOML")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("TIERSTREAM_KAFKA__PARTITIONS", "many", "kafka.partitions"),
        ("TIERSTREAM_KAFKA__PARTITONS", "3", "kafka.partitons"),
        ("TIERSTREAM_TIERS", "[not json", "tiers"),
        ("TIERSTREAM_KAFKA", "{", "kafka"),
    ],
)
def test_a_bad_variable_is_one_line_too(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    assert expected in problem()


def test_settings_are_frozen():
    settings = Settings(**SETTINGS)
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.prefix = "x"
    with pytest.raises(ValueError, match="frozen"):
        settings.tiers = ()


def test_which_data_may_be_served():
    assert Settings(**SETTINGS).may_serve(DataClass.RESTRICTED)
    providers = {name: given | {"data_classes": ["public"]} for name, given in SETTINGS["providers"].items()}
    assert not Settings(**SETTINGS | {"providers": providers}).may_serve(DataClass.RESTRICTED)
