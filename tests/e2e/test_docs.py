"""The documentation runs: its scripts against real stages, its commands and options, its SQL, its links."""

import ast
import asyncio
import os
import re
import shutil
import sys
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from urllib.parse import unquote

import pytest
import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from support.command_lines import commands_in, parse
from support.deployment import clean_environment
from support.ledger_records import call_pair, fill_ledger, hops, result

from analytics.clickhouse import open_client
from analytics.migrate import split_statements
from streams.calls.pricing import PriceBook
from streams.config.settings import load
from streams.kafka.clock import utc_now
from topics.registry import CHUNKS, RESULTS
from topics.results import ResultStatus

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: what follows the backticks, and the text."""

    page: str
    info: tuple[str, ...]
    text: str


def blocks_of(path):
    name = str(path.relative_to(ROOT))
    return [Block(name, tuple(info.split()), dedent(text)) for _, info, text in _FENCE.findall(path.read_text())]


def lines_of(path):
    """The command lines of a page: those of its shell blocks, and its inline code."""
    for block in blocks_of(path):
        if block.info[:1] == ("sh",):
            yield from block.text.replace("\\\n", " ").splitlines()
        elif block.info[:1] == ("console",):
            yield from (line.removeprefix("$ ") for line in block.text.splitlines() if line.startswith("$ "))
    yield from _INLINE.findall(_FENCE.sub("", path.read_text()))


BLOCKS = [block for path in PAGES for block in blocks_of(path)]
COMMANDS = sorted(
    {
        (str(path.relative_to(ROOT)), tuple(command))
        for path in PAGES
        for line in lines_of(path)
        if re.search(r"\btierstream ", line)
        for command in commands_in(line)
    }
)


def scripts(kind):
    return [block for block in BLOCKS if block.info[:2] == ("python", kind)]


def test_there_is_something_to_test():
    assert {path.name for path in PAGES} >= {"README.md", "contract.md", "operations.md", "quickstart.md", "sql.md"}
    assert len(COMMANDS) > 20
    assert scripts("producer")
    assert scripts("consumer")
    assert scripts("stream")
    assert scripts("feedback")


@pytest.mark.parametrize(
    ("page", "command"), COMMANDS, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_commands_and_options_exist(page, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for named in (tmp_path / word for word in command if word.endswith((".jsonl", ".toml"))):
        named.parent.mkdir(parents=True, exist_ok=True)
        named.touch()
    parse(list(command))


@pytest.mark.parametrize("words", ["nothing", "send --colour", "worker --stages", "demo --requests many"])
def test_the_check_of_commands_sees_mistakes(words):
    with pytest.raises(Exception, match=r"(?i)no such|requires an argument|not a valid|a valid integer") as caught:
        parse(words.split())
    assert not isinstance(caught.value, typer.Exit)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.info[:1] == ("python",)], ids=lambda block: block.page)
def test_python_compiles(block):
    ast.parse(block.text)


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.info[:1] == ("toml",)], ids=lambda block: block.page)
def test_settings_are_accepted_and_priced(block, tmp_path, monkeypatch):
    for name in os.environ.keys() - clean_environment().keys():
        monkeypatch.delenv(name)
    path = tmp_path / "tierstream.toml"
    path.write_text(block.text)
    settings = load(path)
    prices = PriceBook(settings.prices, settings.providers)
    assert all(prices.rates(model.provider, model.model, utc_now()) for _, model in settings.models())


async def test_producers_and_consumers_work_with_real_stages(deployment):
    await deployment.start_worker()
    ids = [request_id for block in scripts("producer") for request_id in await produce(deployment, block)]
    settled = await deployment.settled(ids)
    assert {found.status for found in settled.values()} <= {ResultStatus.OK, ResultStatus.DEGRADED}
    for block in scripts("consumer"):
        await consume(deployment, block, ids)


async def test_streaming_examples_show_the_answer(deployment):
    await deployment.start_worker()
    for block in scripts("stream"):
        async with script(deployment, block) as process:
            output, _ = await process.communicate()
            assert process.returncode == 0, block.text
        [result] = [found for found in await deployment.read(RESULTS) if found.content in output.decode()]
        assert result.attempt_id in {chunk.attempt_id for chunk in await deployment.read(CHUNKS)}


async def test_feedback_examples_end_with_the_next_revision(deployment):
    await deployment.start_worker()
    for block in scripts("feedback"):
        async with script(deployment, block) as process:
            output, _ = await process.communicate()
            assert process.returncode == 0, block.text
        shown = [line.split()[:3] for line in output.decode().splitlines() if re.match(r"\d ok \d ", line)]
        assert [revision for revision, *_ in shown] == ["0", "1"]
        assert int(shown[1][2]) == int(shown[0][2]) + 1


@asynccontextmanager
async def script(deployment, block):
    """The block as a process, on the test's broker and topics instead of the default ones."""
    text = block.text.replace("127.0.0.1:9092", deployment.kafka.bootstrap_servers)
    text = text.replace('"llm.', f'"{deployment.kafka.prefix}')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", text),
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def produce(deployment, block):
    async with script(deployment, block) as process:
        output, _ = await process.communicate()
        assert process.returncode == 0, block.text
    ids = output.decode().split()
    assert ids
    return ids


async def consume(deployment, block, ids):
    """Read what the consumer prints until it has named every request."""
    missing = set(ids)
    async with script(deployment, block) as process:
        assert process.stdout is not None
        while missing:
            line = (await process.stdout.readline()).decode()
            assert line, f"the consumer ended without {missing}"
            missing = {request_id for request_id in missing if request_id not in line}


@pytest.mark.skipif(shutil.which("kcat") is None, reason="kcat is not installed")
async def test_kcat_asks_and_reads(deployment):
    await deployment.start_worker()
    places = {"127.0.0.1:9092": deployment.kafka.bootstrap_servers, "-t llm.": f"-t {deployment.kafka.prefix}"}
    asking = lines_with("kcat -P ")
    ids = re.findall(r'"request_id": "([^"]+)"', " ".join(asking))
    assert ids
    for line in asking:
        await run_line(line, places)
    await deployment.settled(ids)
    for line in lines_with("kcat -C "):
        output = await run_line(line, places)
        assert any(request_id in output for request_id in ids), line


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_asks_the_ledger(ledger_url):
    for line in lines_with("curl http://127.0.0.1:8123"):
        assert "Code:" not in await run_line(line, {"http://127.0.0.1:8123": ledger_url}), line


def lines_with(start):
    """The lines of shell sessions in which a command begins like this."""
    lines = {line for path in PAGES for line in lines_of(path) if start in line and re.search(rf"(^|\| ){start}", line)}
    assert lines
    return sorted(lines)


async def run_line(line, places):
    """Run a line of a shell session, with these texts replaced, and return its output."""
    for documented, actual in places.items():
        line = line.replace(documented, actual)
    process = await asyncio.create_subprocess_shell(
        line, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env=clean_environment()
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, line
    return output.decode()


async def test_sql_runs_on_the_ledger(ledger_url):
    queries = [
        (block.page, query) for block in BLOCKS if block.info == ("sql",) for query in split_statements(block.text)
    ]
    assert len(queries) > 10
    async with open_client(ledger_url) as client:
        for page, query in queries:
            try:
                await client.query(query)
            except ClickHouseError as error:
                pytest.fail(f"{page}: {error}\n{query}")


@pytest.fixture
async def ledger_url(clickhouse_url):
    """A ClickHouse with a few rows in each table of the ledger."""
    records = [record for n in range(1, 6) for record in (result(n), *call_pair(n), hops(n))]
    await fill_ledger(clickhouse_url, "tierstream", records, first_ms=1_790_000_000_000, bodies="full")
    return clickhouse_url


def test_the_glossary_has_one_meaning_for_each_word():
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    words = Counter(word for row in rows if row != "word" for word in re.split(r", (?:or )?", row))
    assert len(words) > 80
    assert not [word for word, times in words.items() if times > 1]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_within_the_repository_lead_somewhere(path):
    for target in _LINK.findall(_FENCE.sub("", path.read_text())):
        place, _, anchor = unquote(target).partition("#")
        if "://" in place:
            continue
        page = (path.parent / place).resolve() if place else path
        assert page.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}, target
