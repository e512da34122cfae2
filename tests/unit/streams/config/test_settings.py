"""Settings: shipped defaults, files, the environment, and one clear line for what is wrong."""

import os
from pathlib import Path

import pytest
from support.in_memory import SETTINGS

from streams.config.settings import Settings, SettingsError, load
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
    assert all(0 < len(line) < 400 for line in message.split("\n"))
    return message


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", 256),
        ("[batches]\nin_flight = 20\n", 20),
        (f"{TWO_TIERS}batching = {{ provider = true }}\n", 10_000),
        (f"{TWO_TIERS}batching = {{ provider = true }}\n[batches]\nin_flight = 20\n", 20),
    ],
)
def test_more_lines_are_under_way_where_they_wait_for_batches_of_providers(text, lines):
    write(text)
    assert load().lines_in_flight == lines


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
        ("[kafka]\npartitons = 3\n", "kafka.partitons: there is no such setting; did you mean partitions?"),
        ("[kakfa]\n", "kakfa"),
        ("[kafka]\npartitions = 'many'\n", "kafka.partitions: must be a whole number"),
        ("[kafka]\npartitions = 0\n", "kafka.partitions: must be at least 1"),
        ("[kafka]\nprefix = 'a b'\n", "kafka.prefix"),
        ("[kafka]\nrecord_max_bytes = 1048577\n", "kafka.record_max_bytes"),
        ("[delivery]\ndedup_window_s = 60\n", "delivery.dedup_window_s 60 is below the longest deadline, 1800"),
        ("[deadlines]\nbulk = 7200\n", "delivery.dedup_window_s 3600 is below the longest deadline, 7200"),
        (TWO_TIERS.replace('"groq"', '"grok"'), "tiers[small]: provider 'grok' is not in [providers]"),
        ("[validation.judge]\nprovider = 'x'\nmodel = 'y'\n", "validation.judge: provider 'x'"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\nfloor = 4\n", "rule 'r': tier 4 does not exist, there are 3"),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\ntier = 0\n", "routing.rules.0.tier"),
        (
            "[[routing.rules]]\nname = 'r'\nwhen = {}\ntier = 'best'\n",
            "routing.rules.0.tier: must be the number of a tier",
        ),
        ("[[routing.rules]]\nname = 'r'\nwhen = {}\n", "a rule needs tier, floor, ceiling, threshold_shift, "),
        ("[[routing.rules]]\nname = 'r'\nwhen = {rol = ['x']}\ntier = 1\n", "routing.rules.0.when.rol"),
        ("[routing]\nfrontier = 'groq/nothing'\n", "routing.frontier 'groq/nothing' is not a model of any tier"),
        ("[routing]\nboundary = [0.4, 1.5]\n", "routing.boundary.1"),
        ("[routing]\nclassifier = 'both'\n", "routing.classifier"),
        ("[routing.llm]\nbatch_wait_ms = 101\n", "routing.llm: batch_wait_ms 101 is above budget_ms, 100"),
        ("[routing.llm]\nask = [0.7, 0.3]\n", "routing.llm.ask: the lower end comes first"),
        (
            "[routing]\nclassifier = 'llm'\nllm.model = {provider = 'x', model = 'y'}\n",
            "routing.llm.model: provider 'x' is not in [providers]",
        ),
        ("[[tiers]]\nname = 'one'\nmodels = [{provider = 'groq', model = 'a'}]\n", "tiers"),
        ('[prices."groq/a"]\ninput = -1\noutput = 1\n', "prices.groq/a.input"),
        ("[clickhouse]\nlog_bodies = 'some'\n", "clickhouse.log_bodies: must be 'none', 'hash' or 'full'"),
        ("[clickhouse]\nurl = 'foo'\n", "clickhouse.url: must be a URL such as http://host:8123"),
        ("[clickhouse]\nurl = 'http://db:port'\n", "clickhouse.url: must be a URL"),
        ("[kafka]\nbootstrap_servers = 'kafka://a:1'\n", "kafka.bootstrap_servers: must be host:port, or several"),
        ("[kafka]\nbootstrap_servers = 'a:1,b'\n", "kafka.bootstrap_servers: must be host:port"),
        ("[kafka]\nbootstrap_servers = 'a:99999'\n", "kafka.bootstrap_servers: must be host:port"),
        ("[kafka]\ncommit_interval_s = 10\n", "kafka.commit_interval_s must be below kafka.session_timeout_s, 10"),
        ("[providers.openai]\nbase_url = 'api.example'\n", "providers.openai.base_url: must be a URL"),
        (
            "[providers.own]\nprotocol = 'openai_compatible'\napi_key_env = 'OWN_KEY'\n",
            "providers.own: the protocol openai_compatible needs base_url",
        ),
        ("[providers.openai]\napi_key_env = 'sk-x'\n", "providers.openai.api_key_env: must be the name of an environ"),
        ("[routing]\nboundary = [0.9, 0.1]\n", "routing.boundary: the lower end comes first"),
        ("[routing]\npreset = 'four-tier'\n", "routing.preset: must be 'two-tier', 'three-tier', "),
        (
            "[[routing.rules]]\nname = 'r'\nwhen = {}\nfloor = 3\nceiling = 2\n",
            "routing.rules.0: floor 3 is above ceiling, 2",
        ),
        ("[stack]\nkafka_port = 8123\n", "stack: kafka_port and clickhouse_port are both 8123"),
        (TWO_TIERS.replace("large", "small"), "tiers: 2 of them are called 'small'"),
        (
            TWO_TIERS.replace('"a" }', '"a", timeout_s = 5, slow_call_s = 6 }'),
            "tiers.0.models.0: slow_call_s 6 is above",
        ),
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
        ("TIERSTREAM_TIERS", "[not json", "TIERSTREAM_TIERS: not valid JSON"),
        ("TIERSTREAM_KAFKA", "{", "TIERSTREAM_KAFKA: not valid JSON"),
        ("TIERSTREAM_ROUTING__BOUNDARY", "[0.4", "TIERSTREAM_ROUTING__BOUNDARY: not valid JSON"),
        ("TIERSTREAM_ROUTING__BOUNDARY", "[0.9, 0.1]", "TIERSTREAM_ROUTING__BOUNDARY: routing.boundary: the lower end"),
        ("CLICKHOUSE_URL", "foo", "CLICKHOUSE_URL: clickhouse.url: must be a URL"),
        ("KAFKA_BOOTSTRAP_SERVERS", "foo", "KAFKA_BOOTSTRAP_SERVERS: kafka.bootstrap_servers: must be host:port"),
        ("TIERSTREAM_KAFAK__PREFIX", "x.", "no setting is called so; did you mean TIERSTREAM_KAFKA__PREFIX?"),
        ("TIERSTREAM_KAFKA_PREFIX", "x.", "no setting is called so; did you mean TIERSTREAM_KAFKA__PREFIX?"),
        ("TIERSTREAM_NOTHING__LIKE__IT", "x", "TIERSTREAM_NOTHING__LIKE__IT: no setting is called so"),
        (
            "TIERSTREAM_DELIVERY__DEDUP_WINDOW_S",
            "60",
            "TIERSTREAM_DELIVERY__DEDUP_WINDOW_S: delivery.dedup_window_s 60",
        ),
    ],
)
def test_a_bad_variable_is_one_line_too(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    assert expected in problem()


@pytest.mark.parametrize(
    "name",
    [
        *("TIERSTREAM_READY_FILE", "TIERSTREAM_SIMULATED", "TIERSTREAM_SIMULATOR_URL", "TIERSTREAM_CLICKHOUSE_FAULTS"),
        *("TIERSTREAM_PORT", "TIERSTREAM_SERVICE_HOST", "TIERSTREAM_WORKER_PORT_8080_TCP_ADDR"),
    ],
)
def test_variables_that_are_no_settings_are_let_be(monkeypatch, name):
    monkeypatch.setenv(name, "x")
    assert load() == load()


def test_all_problems_are_named_each_with_its_place(monkeypatch):
    monkeypatch.setenv("CLICKHOUSE_URL", "http://ann:pa55word@")
    monkeypatch.setenv("TIERSTREAM_KAFKA__PARTITIONS", "0")
    monkeypatch.setenv("TIERSTREAM_KAFAK__PREFIX", "x.")
    lines = problem("[kafka]\npartitions = 3\nprefix = 'a b'\n[routing]\nboundary = [0.9, 0.1]\n").split("\n")
    assert lines == [
        "TIERSTREAM_KAFAK__PREFIX: no setting is called so; did you mean TIERSTREAM_KAFKA__PREFIX?",
        "tierstream.toml: kafka.prefix: must match ^[A-Za-z0-9._-]*$",
        "TIERSTREAM_KAFKA__PARTITIONS: kafka.partitions: must be at least 1",
        "CLICKHOUSE_URL: clickhouse.url: must be a URL such as http://host:8123",
        "tierstream.toml: routing.boundary: the lower end comes first",
    ]


def test_all_contradictions_are_named(monkeypatch):
    monkeypatch.setenv("TIERSTREAM_KAFKA__REQUEST_MAX_BYTES", "8388608")
    lines = problem(TWO_TIERS.replace("groq", "grok") + "[deadlines]\nbulk = 7200\n").split("\n")
    assert lines == [
        "tierstream.toml: tiers[small]: provider 'grok' is not in [providers]",
        "tierstream.toml: tiers[large]: provider 'grok' is not in [providers]",
        "tierstream.toml: delivery.dedup_window_s 3600 is below the longest deadline, 7200",
        "tierstream.toml: kafka.record_max_bytes must be at least twice kafka.request_max_bytes",
    ]


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


JUDGES = """
[validation]
sample_rate = 0.1
judges = [
    { provider = "openai", model = "gpt-6-luna" },
    { provider = "groq", model = "mine", family = "Ours" },
    { provider = "anthropic", model = "claude-haiku-5-5" },
]
batching = { max_wait_ms = 50 }
"""


def test_a_list_of_judges_replaces_judge_and_fallback():
    write(JUDGES)
    settings = load()
    assert [judge.model for judge in settings.validation.chain] == ["gpt-6-luna", "mine", "claude-haiku-5-5"]
    places = [place for place, _ in settings.models() if place.startswith("validation")]
    assert places == [f"validation.judges[{n}]" for n in range(3)]
    assert settings.family_of("groq", "mine") == "ours"
    assert settings.family_of("groq", "unheard/of") == "unheard"


def test_when_the_calls_of_each_stage_leave():
    write(JUDGES)
    settings = load()
    assert settings.batching("infer:1") == settings.tiers[0].batching
    assert settings.batching("validate").max_wait_ms == 50
    assert settings.batching("escalate").max_wait_ms == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("min_sample_rate = 0.6", "min_sample_rate 0.6 is above max_sample_rate, 0.5"),
        ('batching = { shared_features = ["faq"] }', "batching.shared_features: judges' calls are not shared"),
        ('without_judge = "wait"', "validation.without_judge: must be 'pass', 'escalate' or 'park'"),
        ("max_spend_share = 1", "validation.max_spend_share: must be below 1"),
        ('judges = [{ provider = "nobody", model = "x" }]', "validation.judges[0]: provider 'nobody'"),
    ],
)
def test_what_is_wrong_with_judges(text, said):
    assert said in problem(f"[validation]\n{text}")
