"""The ledger's tables on a cluster: what is sent, read by the real engine's parser, and which clusters are refused."""

import re
from types import SimpleNamespace

import pytest

import analytics.migrate
from analytics.clickhouse import is_away, open_client
from analytics.cluster_schema import ClusterError, ClusterSchema, check_cluster
from analytics.migrate import migrate, split_statements

VALUES = {"{database}": "ledger", "{retention_days}": "10", "{body_retention_days}": "5"}


class Recorded:
    """A client that notes commands; a cluster `main` of one shard is there, and no table."""

    def __init__(self, shards: dict[str, int], engine: str | None = None) -> None:
        self.commands: list[tuple[str, dict]] = []
        self._shards = shards
        self._engine = engine

    async def query(self, text: str, parameters: dict | None = None) -> SimpleNamespace:
        if "system.clusters" in text:
            return SimpleNamespace(result_rows=list(self._shards.items()))
        if "engine_full" in text:
            engine = "ReplicatedReplacingMergeTree TTL {} + toIntervalDay(1)"
            logs = [*analytics.migrate._TABLES, analytics.migrate._BODIES]
            rows = [(name, engine.format("toDateTime(at)")) for name in logs]
            rows += [(name, engine.format("bucket")) for name in analytics.migrate.rollup_tables()]
            return SimpleNamespace(result_rows=rows)
        if "SELECT engine " in text:
            return SimpleNamespace(result_rows=[] if self._engine is None else [(self._engine,)])
        return SimpleNamespace(result_rows=[])

    async def command(self, text: str, settings: dict | None = None) -> None:
        self.commands.append((text, settings or {}))

    async def insert(self, *args, **kwargs) -> None:
        pass


def statements() -> list[str]:
    texts = [text for _, text in analytics.migrate._migrations()]
    return [analytics.migrate._fill(one, VALUES) for text in texts for one in split_statements(text)]


async def test_every_statement_of_a_cluster_is_on_all_servers_and_replicated(clickhouse_url):
    schema, tables = ClusterSchema("main-1"), 0
    async with open_client(clickhouse_url) as client:
        for statement in statements():
            rendered = schema.render(statement)
            assert rendered.count(" ON CLUSTER `main-1`") == 1
            tree = str(await client.command(f"EXPLAIN AST {rendered}"))
            if "CREATE TABLE" in statement:
                tables += 1
                # Also of a table that is made like another one.
                assert re.search(r"Function Replicated(Replacing)?MergeTree", tree), rendered
                assert rendered.count("ENGINE = Replicated") == 1
            # What is left without the cluster is what one server gets.
            if " AS ledger." not in statement:
                plain = rendered.replace(" ON CLUSTER `main-1`", "").replace("ENGINE = Replicated", "ENGINE = ")
                assert plain == statement
    assert tables > 20


async def test_one_server_gets_the_statements_as_they_are_in_the_files():
    client = Recorded({})
    await migrate(client, "ledger", retention_days=10, body_retention_days=5)
    sent = [command for command, _ in client.commands]
    assert [one for one in sent if one in set(statements())] == statements()
    assert not [one for one in sent if "CLUSTER" in one or "Replicated" in one]
    assert not any(settings for _, settings in client.commands)


async def test_a_cluster_gets_everything_with_a_time_limit_for_servers_that_are_down():
    client = Recorded({"main": 1})
    await migrate(client, "ledger", retention_days=10, body_retention_days=5, cluster="main")
    first, *_ = sent = [command for command, _ in client.commands]
    assert first == "CREATE DATABASE IF NOT EXISTS ledger ON CLUSTER `main`"
    assert "ledger.schema_migrations ON CLUSTER" in sent[1]
    assert "ENGINE = ReplicatedReplacingMergeTree" in sent[1]
    assert all(" ON CLUSTER `main`" in one for one in sent)
    assert sum("MODIFY TTL toDateTime(at)" in one for one in sent) == 5
    kept = len(analytics.migrate.rollup_tables())
    assert sum("MODIFY TTL bucket + toIntervalDay(10)" in one for one in sent) == kept > 0
    assert all(settings["distributed_ddl_task_timeout"] < 60 for _, settings in client.commands)
    assert all(settings["distributed_ddl_output_mode"] == "null_status_on_timeout" for _, settings in client.commands)


async def test_a_start_on_a_cluster_with_a_ledger_sends_nothing_that_waits(monkeypatch):
    monkeypatch.setattr(analytics.migrate, "_migrations", list)
    client = Recorded({"main": 1}, engine="ReplicatedReplacingMergeTree")
    await migrate(client, "ledger", retention_days=1, body_retention_days=1, cluster="main")
    assert client.commands == []


@pytest.mark.parametrize(
    ("shards", "engine", "message"),
    [
        ({}, None, r"knows no cluster 'main'.*\(none\)"),
        ({"other": 1}, None, r"knows no cluster 'main'.*\(other\)"),
        ({"main": 2}, None, "has 2 shards, and the ledger needs all rows on each server"),
        ({"main": 1}, "ReplacingMergeTree", "the tables of the database ledger belong to one server"),
    ],
)
async def test_what_no_cluster_can_hold_is_refused_before_anything_is_made(shards, engine, message):
    client = Recorded(shards, engine)
    with pytest.raises(ClusterError, match=message) as refused:
        await migrate(client, "ledger", retention_days=1, body_retention_days=1, cluster="main")
    assert client.commands == []
    # Waiting does not make another cluster of it.
    assert not is_away(refused.value)


async def test_the_engine_has_the_columns_that_a_cluster_is_looked_up_by(clickhouse_url):
    async with open_client(clickhouse_url) as client:
        with pytest.raises(ClusterError, match="knows no cluster"):
            await check_cluster(client, "main", "ledger")


def test_a_statement_that_no_cluster_can_be_told_is_a_bug():
    with pytest.raises(ValueError, match="no cluster can be told"):
        ClusterSchema("main").render("INSERT INTO ledger.a SELECT 1")
    with pytest.raises(ValueError, match="not a table of the MergeTree family"):
        ClusterSchema("main").render("CREATE TABLE ledger.a (b UInt8) ENGINE = Log")
