"""The statements of the migrations, for a cluster of ClickHouse servers that each hold the whole ledger.

A statement is for one server as it stands in its file. For a cluster it runs on all of its servers (`ON CLUSTER`), and
its tables are replicated ones; their place in Keeper is the servers' own setting (`default_replica_path`).
"""

import re
from typing import Final

from analytics.clickhouse import AsyncClient, ClickHouseRefused

_TARGET: Final = re.compile(
    r"^(?:--[^\n]*\n|\s)*(?:CREATE\s+(?:OR\s+REPLACE\s+)?(?P<made>DATABASE|TABLE|VIEW)|(?P<altered>ALTER\s+TABLE))"
    r"\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<name>[\w.{}]+)"
)
_ENGINE: Final = re.compile(r"\bENGINE\s*=\s*(?=\w*MergeTree\b)")
_LIKE: Final = re.compile(r"\s+AS\s+(?P<other>[\w.{}]+)\s*$")


class ClusterError(ClickHouseRefused):
    """The cluster that the settings name can't hold the ledger; the message says why and what to do."""


class ClusterSchema:
    """Renders statements, which have to come in the order of the migrations.

    Args:
        cluster: Its name in `system.clusters`, without quotes and backticks.
    """

    def __init__(self, cluster: str) -> None:
        self._on = f" ON CLUSTER `{cluster}`"
        self._storage: dict[str, str] = {}
        """From the engine on, of each table made so far."""

    def render(self, statement: str) -> str:
        """Return the statement for all servers of the cluster.

        Raises:
            ValueError: It is neither CREATE DATABASE, TABLE or VIEW nor ALTER TABLE.
        """
        target = _TARGET.match(statement)
        if target is None:
            raise ValueError(f"no cluster can be told: {statement[:60]!r}")
        rest = statement[target.end() :]
        if target["made"] == "TABLE":
            rest = self._replicated(target["name"], rest)
        return statement[: target.end()] + self._on + rest

    def _replicated(self, name: str, rest: str) -> str:
        like = _LIKE.search(rest)
        if like is not None:
            # The copy of a replicated engine would have the place of its model in Keeper.
            storage = self._storage[name] = self._storage[like["other"]]
            return f"{rest.rstrip()}\n{storage}"
        parts = _ENGINE.split(rest)
        if len(parts) != 2:  # noqa: PLR2004 - the columns, and what is stored how
            raise ValueError(f"not a table of the MergeTree family: {name}")
        columns, engine = parts
        self._storage[name] = f"ENGINE = Replicated{engine.rstrip()}"
        return columns + self._storage[name]


async def check_cluster(client: AsyncClient, cluster: str, database: str) -> bool:
    """Find out whether the cluster can hold the ledger; return whether it has begun to.

    Raises:
        ClusterError: It is not known, has several shards, or the server has this ledger already for itself alone.
    """
    found = await client.query("SELECT cluster, uniqExact(shard_num) FROM system.clusters GROUP BY cluster")
    shards = {name: int(number) for name, number in found.result_rows}
    if cluster not in shards:
        known = ", ".join(sorted(shards)) or "none"
        raise ClusterError(
            f"ClickHouse knows no cluster {cluster!r}: set clickhouse.cluster to one of system.clusters ({known}), or "
            "add it to remote_servers of each server"
        )
    if shards[cluster] != 1:
        raise ClusterError(
            f"the cluster {cluster!r} has {shards[cluster]} shards, and the ledger needs all rows on each server: the "
            "sink resumes behind the highest offset that a table holds, and a table drops repeated rows and replaces "
            "roll-ups within itself alone. Name a cluster of one shard, with as many replicas as you like"
        )
    made = await client.query(
        "SELECT engine FROM system.tables WHERE database = {database:String} AND name = 'schema_migrations'",
        parameters={"database": database},
    )
    if not made.result_rows:
        return False
    if not made.result_rows[0][0].startswith("Replicated"):
        raise ClusterError(
            f"the tables of the database {database} belong to one server, which a cluster does not change: take "
            "another clickhouse.database, which the sink fills with what Kafka still has, and copy older rows, "
            "or make these replicated by hand (docs/operations.md)"
        )
    return True
