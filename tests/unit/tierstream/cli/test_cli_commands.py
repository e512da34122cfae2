"""The commands without a broker: usage, exit codes, and one clear line for each mistake."""

import importlib
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from aiokafka.errors import KafkaTimeoutError
from support.shipped_providers import KEYS
from typer.testing import CliRunner

from streams.config.settings import load
from tierstream.cli import _COMMANDS, app, commands
from tierstream.cli.commands.config import without_password
from tierstream.cli.errors import _EXPLAINED, _KAFKA_ERROR, _SETTINGS_ERROR, explain
from tierstream.cli.log_output import configure_logging
from tierstream.cli.moments import parse_duration

NOBODY = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "TIERSTREAM_CONFIG", *KEYS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def restore_logging():
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def run(*arguments, **options):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)


def assert_refused(result, *words):
    """It ended with code 2 and one line on stderr that has the words."""
    assert result.exit_code == 2, result.output
    line = result.stderr.strip()
    assert line.startswith("error: "), line
    assert "\n" not in line
    for word in words:
        assert word in line


def every_command(group=None, context=None, *above):
    """The words of each command and group, and whether it is a group."""
    group = group or typer.main.get_command(app)
    context = context or group.make_context("tierstream", ["up"])
    yield above, True
    for name in group.list_commands(context):
        command = group.resolve_command(context, [name])[1]
        if hasattr(command, "list_commands"):
            yield from every_command(command, context, *above, name)
        else:
            yield (*above, name), False


def test_every_command_has_a_help_with_an_example():
    for words, is_group in every_command():
        result = run(*words, "--help")
        assert (result.exit_code, "Usage" in result.stdout) == (0, True), words
        assert is_group or "Example" in result.stdout, f"`tierstream {' '.join(words)} --help` has no example: epilog="


def test_every_command_is_listed():
    files = {path.stem for path in Path(commands.__file__).parent.glob("*.py")} - {"__init__"}
    for module in sorted(files):
        made = typer.Typer()
        importlib.import_module(f"{commands.__name__}.{module}").register(made)
        listed = {one.name for one in _COMMANDS if one.module == module}
        unlisted = typer.main.get_group(made).commands.keys() - listed
        assert not unlisted, (
            f"nobody can call {unlisted} of commands/{module}.py: _COMMANDS in tierstream/cli/__init__.py"
        )
    missing = {one.module for one in _COMMANDS} - files
    assert not missing, f"_COMMANDS in tierstream/cli/__init__.py names {missing}, which are no files in commands/"


def test_the_list_of_commands_says_what_each_says_of_itself():
    root = typer.main.get_command(app)
    with root.make_context("tierstream", ["up"]) as context:
        for name in root.list_commands(context):
            command = root.resolve_command(context, [name])[1]
            assert command.name == name
            assert command.get_short_help_str(200) == root.get_command(context, name).get_short_help_str(200)


@pytest.mark.parametrize("arguments", [["--version"], ["--help"]])
def test_what_needs_no_command_imports_none(arguments):
    heavy = {"pydantic", "aiohttp", "aiokafka", "faust", "numpy", "tierstream.cli.commands.send"}
    code = f"""
import sys
from pathlib import Path
from tierstream.cli import _COMMANDS, app, commands
try:
    app({arguments!r})
except SystemExit as end:
    assert end.code == 0
assert not {heavy!r} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_examples_stand_on_lines_of_their_own():
    lines = [line.strip() for line in run("send", "--help", env={"COLUMNS": "80"}).stdout.splitlines()]
    first = lines.index("Examples:") + 1
    assert lines[first : first + 2] == [
        'tierstream send --wait "What is 2 + 2?"',
        'tierstream send --wait --stream "Why is the sky blue?"',
    ]


def test_version():
    assert run("--version").stdout.startswith("tierstream ")


@pytest.mark.parametrize(
    "command",
    [
        ["topics", "create"],
        ["topics", "check"],
        ["send", "hi"],
        ["results"],
        ["breakers", "list"],
        ["breakers", "open", "tier:1"],
        ["worker"],
    ],
)
def test_without_a_broker_the_line_says_what_to_do(command):
    assert_refused(run(*command), "KAFKA_BOOTSTRAP_SERVERS", "tierstream up")


@pytest.mark.parametrize("command", [["topics", "check"], ["send", "hi"], ["results"], ["breakers", "list"]])
def test_a_broker_that_does_not_answer(command, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    result = run(*command)
    assert result.exit_code == 2
    assert f"Kafka at {NOBODY} does not answer" in result.stderr
    assert "Traceback" not in result.stderr


def test_settings_that_can_not_be_used(tmp_path):
    assert_refused(run("--config", "nope.toml", "config", "check"), "nope.toml", "no such config file")
    (tmp_path / "bad.toml").write_text("[kafka]\npartitions = 0\n")
    assert_refused(run("--config", "bad.toml", "config", "check"), "bad.toml", "kafka.partitions")


def test_every_problem_of_the_settings_has_a_line(monkeypatch, tmp_path):
    (tmp_path / "bad.toml").write_text("[kafka]\npartitions = 0\n")
    monkeypatch.setenv("CLICKHOUSE_URL", "foo")
    for command in (["config", "check"], ["worker"]):
        result = run("--config", "bad.toml", *command)
        assert result.exit_code == 2
        assert result.stderr.splitlines() == [
            "error: bad.toml: kafka.partitions: must be at least 1",
            "error: CLICKHOUSE_URL: clickhouse.url: must be a URL such as http://host:8123",
        ]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("[routing]\nmodel = 'gone.npz'\n", "routing.model: gone.npz: No such file or directory"),
        ("[routing]\nmodel = 'text.npz'\n", "routing.model: text.npz: not a model file"),
        ("[stack]\nsimulator_config = 'gone.toml'\n", "stack.simulator_config: gone.toml: no such file"),
        ("[stack]\nsimulator_scripts = ['a.toml']\n", "stack.simulator_scripts: a.toml: no such file"),
        ("[stack]\ndata_dir = 'text.npz'\n", "stack.data_dir: text.npz: not a folder"),
    ],
)
def test_files_that_can_not_be_used_are_found_by_the_check_and_stop_the_start(settings, problem, tmp_path):
    (tmp_path / "text.npz").write_text("no model")
    (tmp_path / "tierstream.toml").write_text(settings)
    result = run("config", "check", "--json")
    assert result.exit_code == 1
    assert any(line.startswith(problem) for line in json.loads(result.stdout)["problems"])
    assert_refused(run("up"), problem)


def test_config_check_names_what_has_no_effect(tmp_path):
    (tmp_path / "tierstream.toml").write_text(
        """
        [[tiers]]
        name = "one"
        models = [
            { provider = "groq", model = "openai/gpt-oss-20b" },
            { provider = "groq", model = "openai/gpt-oss-20b" },
        ]
        [[tiers]]
        name = "two"
        models = [{ provider = "anthropic", model = "claude-opus-5-5" }]
        [validation]
        judge = { provider = "anthropic", model = "claude-haiku-5-5" }
        [prices."groq/openai/gpt-oss-2b"]
        input = 1
        output = 1
        """
    )
    warnings = json.loads(run("config", "check", "--json").stdout)["warnings"]
    assert "prices.groq/openai/gpt-oss-2b: no model in use is called so" in warnings
    assert "tiers[one]: groq/openai/gpt-oss-20b stands there twice and is asked once" in warnings
    assert any("validation.fallback: anthropic/claude-haiku-5-5 is the judge itself" in line for line in warnings)
    assert (
        "tiers[two]: anthropic/claude-opus-5-5 has no judge of another family than anthropic: "
        "one of its own family judges it"
    ) in warnings
    assert not any("tiers[one]: groq/openai/gpt-oss-20b has no judge" in line for line in warnings)


def test_config_check_says_what_each_model_takes(tmp_path):
    (tmp_path / "tierstream.toml").write_text(
        """
        [[tiers]]
        name = "one"
        models = [{ provider = "groq", model = "openai/gpt-oss-20b", takes = ["images", "logprobs"] }]
        [[tiers]]
        name = "two"
        models = [{ provider = "anthropic", model = "claude-opus-5-5" }]
        """
    )
    models = json.loads(run("config", "check", "--json").stdout)["models"]
    taken = {one["place"]: one["takes"] for one in models}
    assert taken["tiers[one]"] == ["images", "logprobs"]
    assert taken["tiers[two]"] == ["file_urls", "files", "images", "tools"]
    assert "images, logprobs" in " ".join(run("config", "check").stdout.split())


def test_an_unknown_capability(tmp_path):
    models = '[{ provider = "groq", model = "openai/gpt-oss-20b", takes = ["smells"] }]'
    tiers = "".join(f'[[tiers]]\nname = "{name}"\nmodels = {models}\n' for name in ("one", "two"))
    (tmp_path / "tierstream.toml").write_text(tiers)
    refused = run("config", "check")
    assert refused.exit_code == 2
    assert "takes.0: must be 'tools', 'images', 'files', 'file_urls' or 'logprobs'" in refused.stderr


def test_an_unknown_stage(monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    assert_refused(run("worker", "--stages", "classify,inferno"), "inferno", "infer:1")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["send", "--impact", "huge", "hi"], "huge"),
        (["send", "--prompt", "a", "b"], "once"),
        (["send", "--input", "x.jsonl", "hi"], "--input"),
        (["send", "--input", "x.jsonl", "--user", "ann"], "--input"),
        (["send", " "], "empty"),
        (["results", "--since", "soon"], "soon"),
        (["results", "--since", "1m", "--from-beginning"], "either"),
        (["results", "--request", "r", "--follow"], "--request"),
        (["results", "--limit", "0"], "--limit"),
        (["run", "--input", "x"], "--output"),
        (["run", "--input", "x", "--output", "y", "--in-flight", "0"], "--in-flight"),
        (["frobnicate"], "frobnicate"),
    ],
)
def test_wrong_usage(arguments, word, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    result = run(*arguments)
    assert result.exit_code == 2
    assert word in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--id", " x"], ["--id: ", "printable"]),
        (["--max-cost", "cheap"], ["--max-cost: "]),
        (["--min-tier", "100"], ["--min-tier: "]),
        (["--schema", "missing.json"], ["missing.json", "No such file"]),
        (["--schema", "broken.json"], ["broken.json", "not JSON"]),
        (["--schema", "list.json"], ["--schema: "]),
    ],
)
def test_a_wrong_option_of_send_is_named(options, words, monkeypatch, tmp_path):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    assert_refused(run("send", *options, "hi"), *words)


def test_files_are_checked_before_anything_is_sent(monkeypatch, tmp_path):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", NOBODY)
    (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b", "context": {"error_tolerance": "none"}}\n')
    for command in (["send", "--input", "in.jsonl"], ["run", "--input", "in.jsonl", "--output", "out.jsonl"]):
        assert_refused(run(*command), "in.jsonl line 2", "context.error_tolerance")
    assert not (tmp_path / "out.jsonl").exists()
    assert_refused(run("send", "--input", "-", input="nonsense\n"), "stdin line 1", "not JSON")
    assert_refused(run("run", "--input", "no.jsonl", "--output", "out.jsonl"), "no.jsonl", "No such file")


def test_config_check_shows_no_secret(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-very-secret")
    monkeypatch.setenv("CLICKHOUSE_URL", "http://ann:pa55word@db:8123/x?password=pa55word")
    for options in ([], ["--json"]):
        result = run("config", "check", *options)
        assert result.exit_code == 0
        assert "very-secret" not in result.output
        assert "pa55word" not in result.output
        assert "db:8123" in result.output


def test_config_check_tells_what_would_be_simulated(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    found = json.loads(run("config", "check", "--json").stdout)
    simulated = {row["name"]: row["simulated"] for row in found["providers"] if row["used"]}
    assert simulated == {"groq": True, "together": True, "openai": False, "anthropic": True}
    assert found["problems"] == []
    assert len(found["warnings"]) == 3
    strict = run("config", "check", "--json", "--require-keys")
    assert strict.exit_code == 1
    assert len(json.loads(strict.stdout)["problems"]) == 3


def test_config_check_finds_models_without_price_and_retired_ones(tmp_path):
    (tmp_path / "tierstream.toml").write_text(
        """
        [[tiers]]
        name = "one"
        models = [{ provider = "groq", model = "mixtral-8x7b-32768" }, { provider = "groq", model = "made-up-9b" }]
        [[tiers]]
        name = "two"
        models = [{ provider = "anthropic", model = "claude-opus-5-5" }]
        """
    )
    result = run("config", "check", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert any("groq/made-up-9b" in problem for problem in found["problems"])
    assert any("mixtral" in problem and "groq/openai/gpt-oss-20b" in problem for problem in found["problems"])
    assert any("groq/made-up-9b is not in the table" in warning for warning in found["warnings"])
    assert [(row["code"], row["successor"]) for row in found["findings"]] == [
        ("retired", "groq/openai/gpt-oss-20b"),
        ("unknown", None),
    ]
    human = run("config", "check")
    assert human.exit_code == 1
    assert "problem: tiers[one]" in human.stdout


def test_config_check_warns_of_parameters_that_a_model_does_not_take(tmp_path):
    (tmp_path / "tierstream.toml").write_text(
        """
        [[tiers]]
        name = "one"
        models = [{ provider = "groq", model = "openai/gpt-oss-20b", extra = { reasoning_effort = "none" } }]
        [[tiers]]
        name = "two"
        models = [{ provider = "anthropic", model = "claude-opus-5-5", extra = { thinking = { type = "disabled" } } }]
        """
    )
    result = run("config", "check", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert [row["code"] for row in found["findings"]] == ["parameter", "parameter"]
    assert any("'none': it takes low, medium, high" in warning for warning in found["warnings"])
    assert any("'disabled': it takes adaptive" in warning for warning in found["warnings"])


def test_an_id_that_is_not_pinned_is_refused(tmp_path):
    tiers = """
        [[tiers]]
        name = "one"
        models = [{ provider = "openai", model = "gpt-5.5" }]
        [[tiers]]
        name = "two"
        models = [{ provider = "anthropic", model = "claude-opus-5-5" }]
        """
    (tmp_path / "tierstream.toml").write_text(tiers)
    assert_refused(run("config", "check"), "openai/gpt-5.5 is not pinned", "gpt-5.5-2026-04-23", "allow_unpinned")
    (tmp_path / "tierstream.toml").write_text(f"allow_unpinned = true\n{tiers}")
    assert run("config", "check").exit_code == 0


def test_topics_docs(tmp_path):
    shown = json.loads(run("topics", "docs").stdout)
    assert shown["channels"]["requests"]["address"] == "llm.requests"
    result = run("topics", "docs", "--all", "--out", "docs")
    assert result.exit_code == 0
    written = json.loads((tmp_path / "docs/asyncapi.json").read_text())
    assert set(shown["channels"]) < set(written["channels"])
    names = {path.stem for path in (tmp_path / "docs/schemas").iterdir()}
    assert {"request", "result", "tier-task"} <= names


def test_an_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    assert_refused(run("topics", "docs", "--out", "file/docs"), "file")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("30s", 30), ("10m", 600), ("1.5h", 5400), ("2d", 172800)])
def test_durations(text, seconds):
    assert parse_duration(text).total_seconds() == seconds


def test_passwords_in_urls_are_hidden():
    assert without_password("http://ann:pw@db:8123/x?token=t#f") == "http://ann:***@db:8123/x?***"
    assert without_password("http://db:8123") == "http://db:8123"


@pytest.mark.parametrize(("module", "name"), [_SETTINGS_ERROR, _KAFKA_ERROR, *_EXPLAINED])
def test_the_explained_errors_exist(module, name):
    error = getattr(importlib.import_module(module), name)
    assert issubclass(error, Exception)


def test_only_known_errors_are_explained():
    assert explain(KafkaTimeoutError()) is not None
    assert explain(FileNotFoundError(2, "No such file", "x")) == "x: No such file"
    assert explain(BrokenPipeError(32, "Broken pipe")) is None
    assert explain(RuntimeError("a bug")) is None


def test_libraries_are_quiet_unless_asked(capfd):
    configure_logging(0)
    logging.getLogger("aiokafka").error("noise")
    logging.getLogger("streams.runtime.stage").info("detail")
    logging.getLogger("streams.runtime.stage").warning("signal")
    assert "signal" in (shown := capfd.readouterr().err)
    assert "noise" not in shown
    assert "detail" not in shown
    configure_logging(2)
    logging.getLogger("streams.runtime.stage").debug("detail")
    assert "detail" in capfd.readouterr().err


def test_defaults_load():
    assert load().top_tier >= 2
