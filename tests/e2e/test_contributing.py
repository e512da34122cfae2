"""The examples of CONTRIBUTING.md are added as it says, and work."""

import asyncio
import re
import sys
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import ClassVar

from support.in_memory import SETTINGS, Bench, new_bench, new_request, new_task
from support.ledger_records import ClickHouseProcess, call_pair, fill_ledger, result
from typer.testing import CliRunner

import analytics.named_query
import analytics.reports
import topics.requests
from analytics.clickhouse import open_client
from analytics.rollups import RollupBuilder
from streams.config.settings import Settings
from streams.validation import checks
from tierstream.cli import _Commands, app
from tierstream.cli.root import Listed
from topics.base import Record
from topics.events import Hops
from topics.registry import HOPS, TopicSpec
from topics.requests import Request
from topics.tasks import TierTask

PAGE = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def example(*info: str) -> str:
    """The block whose first line is so."""
    [(_, text)] = re.findall(rf"^( *)```{' '.join(info)}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    return dedent(text)


def added_to(module: ModuleType, code: str, **more: object) -> dict[str, object]:
    """The names of a module, with those that the code adds when it stands at the end of it."""
    names = {**vars(module), **more}
    exec(compile(code, "CONTRIBUTING.md", "exec", dont_inherit=True), names)
    return names


def test_a_free_check(monkeypatch):
    names = added_to(checks, example("python", "check"))
    [(name, function)] = re.findall(r'`"(\w+)": (\w+),`', PAGE)
    monkeypatch.setitem(checks.CHECKS, name, names[function])
    assert checks.failed_check(new_request(), "It is 4.\n\nIt is 4.\n", "stop") == "repeats"
    assert checks.failed_check(new_request(), "a fine answer", "stop") is None


async def test_a_stage():
    # As the package has it, `agents.validate` is the stage and not the file.
    file = import_module("agents.validate")
    more = {"Record": Record, "ClassVar": ClassVar, "TopicSpec": TopicSpec, "TierTask": TierTask}
    more |= {"HOPS": HOPS, "Hops": Hops}
    names = added_to(file, example("python", "stage"), **more)
    declared = names["opinion"]
    assert (declared.name, declared.ends_requests, declared.pays) == ("opinion", False, True)
    bench: Bench = new_bench(Settings(**SETTINGS))
    task = new_task()
    [output] = await declared.handler(names["OpinionTask"](task=task), bench.context("opinion"))
    assert isinstance(output.record, Hops)
    assert [hop.outcome for hop in output.record.hops] == ["compared"]
    assert len(bench.providers["trusted"].calls) == 1


async def test_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = ModuleType("analytics.reports.models")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(example("python", "report"), "CONTRIBUTING.md", "exec", dont_inherit=True), vars(module))
    monkeypatch.setitem(analytics.reports.REPORTS, "models", module.models)
    text, query = analytics.named_query._text, example("sql", "query")
    monkeypatch.setattr(analytics.named_query, "_text", lambda name: query if name == "report_models" else text(name))
    server = ClickHouseProcess(tmp_path / "clickhouse")
    await server.start()
    try:
        records = [result(1), *call_pair(1)]
        await fill_ledger(server.url, "tierstream", records, first_ms=1_790_000_000_000)
        async with open_client(server.url) as client:
            await RollupBuilder(client, "tierstream", lifetime_s=60).build()
        monkeypatch.setenv("CLICKHOUSE_URL", server.url)
        done = await asyncio.to_thread(CliRunner().invoke, app, ["report", "models", "--top", "1"])
        assert done.exit_code == 0, done.output
        [shown] = [re.findall(r"[\w$.]+", line) for line in done.stdout.splitlines() if "small" in line]
        assert shown == ["small", "1", f"${call_pair(1)[1].cost_usd:.6f}"]
        assert "Show what the calls of each model cost." in CliRunner().invoke(app, ["report", "--help"]).stdout
    finally:
        await server.stop()


def test_a_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = ModuleType("tierstream.cli.commands.tiers")
    exec(compile(example("python", "command"), "CONTRIBUTING.md", "exec", dont_inherit=True), vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    about = "Name the tiers, the cheapest first."
    monkeypatch.setattr(_Commands, "listed", (*_Commands.listed, Listed("tiers", "tiers", about)))
    assert about in CliRunner().invoke(app, ["--help"]).stdout
    assert CliRunner().invoke(app, ["tiers"]).stdout.splitlines()[-1] == "frontier"
    assert "Example" in CliRunner().invoke(app, ["tiers", "--help"]).stdout


def test_a_field():
    field = example("python", "field")
    added = added_to(topics.requests, f"class Asked(Request):\n    {field}")["Asked"]
    plain, given = added(**new_request().model_dump()), added(**new_request().model_dump(), priority="high")
    assert plain.digest() == new_request().digest() != given.digest()
    assert given.priority == "high"
    assert Request.model_validate_json(given.model_dump_json()) == new_request()
