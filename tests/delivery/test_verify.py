"""`tierstream verify` on a real broker and the real engine: a clean world passes, each planted fault is named."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from support.ledger_records import RATES, call_pair, result, shared_call
from support.topics import created_topics
from support.verify_world import (
    NUMBERS,
    PARTITIONS,
    STRANGER,
    UNREADABLE_ID,
    UNSEEN,
    World,
    call_id,
    from_copy,
    request,
    served,
)
from typer.testing import CliRunner

from analytics.clickhouse import open_client
from analytics.migrate import migrate
from analytics.rows import Row, Table
from streams.config.settings import load
from streams.kafka.admin import delete_records
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from tierstream.cli import app
from topics.feedback import Feedback, FeedbackKind
from topics.journal import CallEnded, attempt_id
from topics.partitioning import partition_for
from topics.registry import CALLS, FEEDBACK, REQUESTS, RESULTS
from topics.results import Result, ResultError, ResultStatus
from topics.tasks import Source


@pytest.fixture
async def world(kafka, clickhouse_url: str, tmp_path: Path, monkeypatch) -> AsyncIterator["World"]:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)
    name = f"verify{uuid4().hex[:8]}"
    config = tmp_path / "tierstream.toml"
    config.write_text(
        f"""
        [kafka]
        bootstrap_servers = "{kafka.bootstrap_servers}"
        prefix = "{name}."
        partitions = {PARTITIONS}
        [clickhouse]
        url = "{clickhouse_url}"
        database = "{name}"
        [stack]
        data_dir = "{tmp_path}"
        [prices."groq/small"]
        input = {RATES.input}
        output = {RATES.output}
        cached = {RATES.cached}
        """
    )
    settings = load(config)
    async with open_client(clickhouse_url) as client:
        await migrate(client, name, retention_days=4000, body_retention_days=4000)
    async with created_topics(settings):
        yield World(settings, config, tmp_path / "served.jsonl")


async def test_a_clean_world_passes_and_is_counted(world):
    await world.write()
    code, report = await world.verify()
    assert (code, report["ok"]) == (0, True), report
    assert {check["state"] for check in report["checks"].values()} == {"ok"}
    assert report["counts"] == {
        "requests": 8,
        "distinct_requests": 7,
        "unreadable_requests": 2,
        "results": 7,
        "feedback": 0,
        "retried_revisions": 0,
        "dead_letters": 2,
        "calls_started": 6,
        "calls_ended": 6,
        "calls_shared": 0,
        "attempts_ended": 6,
        "shadow_calls": 0,
        "hops": 12,
        "served_calls": 6,
        "served_without_id": 0,
    }
    cost = sum((call_pair(n)[1].cost_usd for n in NUMBERS), start=Decimal(0))
    spent = {name: Decimal(value) for name, value in report["cost_usd"].items()}
    assert spent == {"results": cost, "calls": cost, "shadows": 0}
    shown = await asyncio.to_thread(CliRunner().invoke, app, ["--config", str(world.config), "verify"])
    assert shown.exit_code == 0
    assert "every invariant holds" in shown.stdout
    assert "no log of served calls" in shown.stdout
    arguments = ["--config", str(world.config), "report", "ledger"]
    books = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, "--json"])
    money = json.loads(books.stdout)["money"]
    assert Decimal(money["results_cost_usd"]) == Decimal(money["calls_cost_usd"]) == cost
    assert Decimal(money["unexplained_usd"]) == 0
    shown = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert (shown.exit_code, "unexplained" in shown.stdout) == (0, True)


async def test_feedback_that_nobody_has_read_yet_is_pending_and_its_revision_is_not_made_up(world):
    await world.write()
    [revision] = [found for found in world.results if found.request_id == "r1"]
    said = Feedback(request_id="r1", kind=FeedbackKind.WRONG, retry=True)
    async with Publisher(world.settings.kafka) as publisher:
        [place] = await publisher.publish([Output(FEEDBACK, said)])
    code, report = await world.verify()
    assert (code, report["checks"]["pending"]["count"], report["counts"]["feedback"]) == (0, 1, 1)
    source = Source(
        topic=FEEDBACK.full_name(world.settings.kafka.prefix),
        partition=place.partition,
        offset=place.offset + 1,
        timestamp_ms=place.timestamp_ms,
    )
    error = ResultError(code="no_provider", message="nobody")
    ended = revision.model_copy(update={"revision": 1, "source": source, "status": ResultStatus.FAILED, "error": error})
    bare = ended.model_copy(update={"route": (), "cost_usd": Decimal(0), "content": None, "attempt_id": None})
    async with Publisher(world.settings.kafka) as publisher:
        await publisher.publish([Output(RESULTS, bare)])
    code, report = await world.verify()
    assert (code, report["checks"]["revision_unasked"]["count"]) == (1, 1)


@pytest.mark.parametrize("is_whole", [True, False])
async def test_a_shared_call_is_compared_as_one(world, is_whole):
    """Three requests of two partitions share a call; then the records of one of them are missing."""
    sharers, others = (1, 5, 7), (2, 10, 11)
    started, ended = shared_call(*sharers)
    assert len({partition_for(call.request_id, PARTITIONS) for call in started}) == 2
    parts = {call.request_id: call for call in ended}
    missing = 0 if is_whole else 1
    world.calls = [*(c for n in others for c in call_pair(n)), *started[missing:], *ended[missing:]]
    world.served = [served(call_pair(n)[1]) for n in (*others, 7)]
    world.results = [with_part(r, parts.get(r.request_id)) for r in world.results]
    await world.write()
    code, report = await world.verify()
    counts = report["counts"]
    assert (counts["calls_started"], counts["calls_ended"], counts["calls_shared"]) == (4, 4, 1)
    assert counts["attempts_ended"] == 6 - missing
    found = {
        check: [f["subject"] for f in told["findings"]] for check, told in report["checks"].items() if told["count"]
    }
    wire_call = str(started[0].call_id)
    # The result of the request whose part is missing names an attempt that the journal does not know.
    assert found == ({} if is_whole else {"mispriced": [wire_call], "unrecorded": ["r1"]})
    assert code == int(not is_whole)


def with_part(found: Result, part: CallEnded | None) -> Result:
    """The result of a request that has a part in a call."""
    if part is None:
        return found
    route = (found.route[0].model_copy(update={"cost_usd": part.cost_usd}),)
    return found.model_copy(update={"cost_usd": part.cost_usd, "usage": part.usage, "route": route})


async def test_what_breaks_no_promise_is_noted_and_listed(world):
    world.requests += [request("later"), request("r1", tags=("another body",))]
    dead, _ = call_pair(2, failed=True)
    surplus = call_pair(5)[0].model_copy(update={"call_id": STRANGER})
    world.calls = [dead, surplus, *world.calls]
    world.served.append({**UNSEEN, "call_id": str(dead.call_id), "usage": None})
    await world.write()
    code, report = await world.verify()
    assert code == 0, report
    noted = {name: check for name, check in report["checks"].items() if check["state"] == "noted"}
    assert set(noted) == {"pending", "id_reused", "unknown", "unmade", "duplicate"}
    assert noted["pending"]["findings"][0]["subject"] == "later"
    assert [finding["subject"] for finding in noted["unknown"]["findings"]] == [str(dead.call_id)]
    assert [finding["subject"] for finding in noted["unmade"]["findings"]] == [str(STRANGER)]
    assert "groq/small" in noted["unknown"]["findings"][0]["detail"]


async def test_it_waits_for_what_is_on_its_way(world):
    last = world.results.pop(0)
    await world.write()
    verifying = asyncio.create_task(world.verify("--wait", "60"))
    async with (
        Publisher(world.settings.kafka, transactional_id=f"{world.settings.kafka.prefix}t") as publisher,
        publisher.producer.transaction(),
    ):
        await publisher.publish([Output(RESULTS, from_copy(last, world.results[0].source.timestamp_ms))])
    await world._fill_ledger()
    code, report = await verifying
    assert code == 0, report
    assert report["counts"]["results"] == 7


async def test_nothing_is_judged_before_since(world):
    world.requests.append(request("lost", timeout_ms=1))
    await world.write()
    since = utc_now().isoformat()
    code, report = await world.verify("--since", since)
    assert (code, report["counts"]["requests"], report["counts"]["results"]) == (0, 0, 0)


async def test_what_retention_deleted_is_not_called_lost(world):
    await world.write()
    topic = CALLS.full_name(world.settings.kafka.prefix)
    await delete_records(world.settings.kafka, {TopicPartition(topic, p): 1 for p in (0, 1)})
    code, report = await world.verify()
    assert code == 0, report
    assert report["since"] > utc_now().isoformat()


async def test_a_lost_result(world):
    world.requests.append(request("gone", timeout_ms=1))
    assert await world.violated() == {"lost": ["gone"]}


async def test_an_unreadable_request_without_a_rejection(world):
    world.results.pop()
    assert await world.violated() == {"lost": [UNREADABLE_ID]}


async def test_a_doubled_result(world):
    world.results.append(result(5))
    assert await world.violated() == {"doubled": ["r5"]}


async def test_a_missing_dead_letter(world):
    world.letters = False
    topic = REQUESTS.full_name(world.settings.kafka.prefix)
    found = await world.violated()
    assert set(found) == {"dead_letter_missing"}
    assert [name.rpartition("@")[0] for name in found["dead_letter_missing"]] == [f"{topic}-0"] * 2


async def test_an_unrecorded_call(world):
    world.served.append({**UNSEEN, "call_id": str(STRANGER), "usage": None})
    assert await world.violated() == {"unrecorded": [str(STRANGER)]}


async def test_a_cost_that_is_not_rates_times_usage(world):
    ended = call_pair(7)[1]
    wrong = ended.cost_usd + Decimal("0.000000000001")
    world.calls = [c.model_copy(update={"cost_usd": wrong}) if c == ended else c for c in world.calls]
    # The result repeats the wrong cost, so that only the price itself is wrong.
    line = result(7).route[0].model_copy(update={"cost_usd": wrong})
    right = result(7)
    world.results = [
        r.model_copy(update={"cost_usd": wrong, "route": (line,)}) if r == right else r for r in world.results
    ]
    assert await world.violated() == {"mispriced": [call_id(7)]}


async def test_usage_other_than_the_providers(world):
    world.served[0]["usage"]["output_tokens"] += 1
    assert await world.violated() == {"mispriced": [call_id(1)]}


async def test_a_result_that_does_not_cost_what_its_calls_do(world):
    right = result(2)
    world.results = [r.model_copy(update={"cost_usd": r.cost_usd * 2}) if r == right else r for r in world.results]
    assert await world.violated() == {"mispriced": ["r2"]}


async def test_a_repeated_attempt(world):
    again = call_pair(10)[0].model_copy(update={"call_id": STRANGER})
    world.calls.append(again)
    world.served.append({**UNSEEN, "call_id": str(STRANGER), "usage": None})
    assert await world.violated() == {"repeated": [str(STRANGER)]}


async def test_eleven_lies_are_each_named(world):
    """Each in a request of its own; the sums agree where the lie does not consist in that they don't."""
    lies = (13, 17, 22, 23, 25)
    world.requests += [*(request(f"r{n}") for n in lies), request("lost", timeout_ms=1)]
    world.calls += [call for n in lies for call in call_pair(n)]
    world.results += [result(n) for n in lies]
    world.served += [served(call_pair(n)[1]) for n in lies]
    # Doubled, and mispriced.
    world.results.append(result(5))
    world.change_result(2, cost_usd=result(2).cost_usd * 2)
    # Free of charge though its call was paid; and a call that is in no route.
    world.change_result(1, route=(), cost_usd=Decimal(0))
    another = {"call_id": STRANGER, "n": 7, "attempt_id": attempt_id("r10", 0, "infer", 7)}
    world.calls += [call.model_copy(update=another) for call in call_pair(10)]
    world.served.append({**served(call_pair(10)[1]), "call_id": str(STRANGER)})
    # The content of another, and none though there was one.
    world.change_result(7, content="the answer to another question")
    nobody = ResultError(code="no_provider", message="nobody")
    world.change_result(11, status=ResultStatus.FAILED, error=nobody, content=None, usage=None, attempt_id=None)
    # Rates that never held; an estimate of what the provider said; an answer without usage.
    wrong, usage = RATES.model_copy(update={"input": Decimal(1)}), call_pair(13)[1].usage
    world.change_end(13, rates=wrong, cost_usd=wrong.cost(usage))
    usage = call_pair(17)[1].usage.model_copy(update={"source": "estimated", "output": 1})
    world.change_end(17, usage=usage, cost_usd=RATES.cost(usage))
    world.change_end(22, usage=None, rates=None, cost_usd=Decimal(0))
    world.edit_rows = lambda _, rows: [{**row, **blame_bob(row)} for row in rows]
    found = await world.violated()
    [differing] = found.pop("ledger_differing")
    assert differing.startswith(RESULTS.full_name(world.settings.kafka.prefix))
    assert {name: sorted(subjects) for name, subjects in found.items()} == {
        "lost": ["lost"],
        "doubled": ["r5"],
        "mispriced": sorted(["r2", call_id(13), call_id(17), call_id(22)]),
        "unrouted": sorted(["r1", call_id(1), str(STRANGER)]),
        "foreign_answer": ["r7"],
        "withheld": ["r11"],
    }


def blame_bob(row: Row) -> Row:
    """Whose request r23 was, by the ledger alone."""
    return {"user_id": "bob"} if row["request_id"] == "r23" and "user_id" in row else {}


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (Table.REQUESTS, {"feature": "search"}),
        (Table.REQUESTS, {"tags": ["vip"]}),
        (Table.REQUESTS, {"latency_ms": 1.0}),
        (Table.REQUESTS, {"route.tier": [3]}),
        (Table.CALLS, {"purpose": "judge"}),
        (Table.HOPS, {"rule": "another"}),
    ],
)
async def test_a_row_with_another_dimension(world, table, columns):
    world.edit_rows = lambda edited, rows: [{**rows[0], **columns}, *rows[1:]] if edited is table else rows
    found = await world.violated()
    assert {name: len(named) for name, named in found.items()} == {"ledger_differing": 1}


async def test_a_missing_row(world):
    world.edit_rows = lambda table, rows: rows[1:] if table is Table.CALLS else rows
    found = await world.violated()
    topic = CALLS.full_name(world.settings.kafka.prefix)
    assert set(found) == {"ledger_missing", "ledger_totals"}
    assert found["ledger_missing"][0].endswith("@0")
    assert found["ledger_totals"] == [topic]


async def test_a_row_counted_twice_under_another_cluster(world):
    world.edit_rows = lambda table, rows: (
        [*rows, {**rows[-1], "cluster": "another"}] if table is Table.REQUESTS else rows
    )
    found = await world.violated()
    assert set(found) == {"ledger_twice"}


async def test_a_row_without_a_record(world):
    world.edit_rows = lambda table, rows: [*rows, {**rows[-1], "offset": 10_000}] if table is Table.CALLS else rows
    assert {name: len(named) for name, named in (await world.violated()).items()} == {"ledger_surplus": 1}


async def test_a_view_that_counts_a_repeated_row_twice(world):
    world.edit_rows = lambda table, rows: [*rows, rows[0]] if table is Table.HOPS else rows
    database = world.settings.clickhouse.database
    async with open_client(world.settings.clickhouse.url) as client:
        for statement in (
            f"CREATE TABLE {database}.plain ENGINE = MergeTree ORDER BY offset AS SELECT * FROM {database}.hops_log",
            f"EXCHANGE TABLES {database}.plain AND {database}.hops_log",
            f"CREATE OR REPLACE VIEW {database}.hops AS SELECT * FROM {database}.hops_log",
        ):
            await client.command(statement)
    found = await world.violated()
    assert set(found) == {"ledger_twice", "ledger_totals"}


async def test_a_row_that_says_something_else(world):
    def add_a_cent(table: Table, rows: list[Row]) -> list[Row]:
        if table is not Table.REQUESTS:
            return rows
        return [{**rows[0], "cost_usd": rows[0]["cost_usd"] + Decimal("0.01")}, *rows[1:]]

    world.edit_rows = add_a_cent
    assert set(await world.violated()) == {"ledger_differing", "ledger_totals"}
