"""ClickHouse as evidence: the rows of each partition through the views that reports read."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

from analytics.clickhouse import AsyncClient, open_client
from analytics.named_query import named_query, named_query_blocks
from streams.config.settings import Settings, SettingsError
from streams.kafka.admin import cluster_id
from tierstream.verify.ended_calls import pico_usd, usd
from tierstream.verify.evidence import Evidence, Span
from tierstream.verify.findings import Check, Findings
from tierstream.verify.ledger_rows import Expected, Rows, compare_rows
from topics.base import Record
from topics.registry import CALLS, HOPS, RESULTS, TopicSpec

_VIEWS: Final = {RESULTS.name: "requests", CALLS.name: "calls", HOPS.name: "hops"}
_POLL_S: Final = 0.2


@dataclass(slots=True)
class _Total:
    rows: int = 0
    cost_pico: int = 0


class Ledger(Protocol):
    """What the run asks of the ledger, whether there is one or not."""

    async def compare(self, spec: TopicSpec[Record], span: Span, expected: Expected) -> None:
        """Compare the rows of a partition with those that its records must have."""

    async def finish(self, spec: TopicSpec[Record], spans: Sequence[Span]) -> None:
        """Compare a topic as a whole: totals, rows of other partitions, rows counted under another identity."""


class NoLedger:
    """Stands where no ClickHouse is."""

    async def compare(self, spec: TopicSpec[Record], span: Span, expected: Expected) -> None:
        """Compare nothing."""

    async def finish(self, spec: TopicSpec[Record], spans: Sequence[Span]) -> None:
        """Compare nothing."""


class LedgerAudit:
    """Compares the rows in ClickHouse with the records, partition by partition.

    Args:
        client: Of the server.
        settings: Name the database and the topics.
        cluster: Id of the Kafka cluster, by which rows are identified.
        findings: Where problems go.
        evidence: Knows the ends of the topics.
        wait_until: Time of the event loop until which the sink may catch up, in seconds.
    """

    def __init__(
        self,
        client: AsyncClient,
        settings: Settings,
        cluster: str,
        findings: Findings,
        evidence: Evidence,
        *,
        wait_until: float,
    ) -> None:
        self._client = client
        self._database = settings.clickhouse.database
        self._kafka = settings.kafka
        self._cluster = cluster
        self._findings = findings
        self._evidence = evidence
        self._wait_until = wait_until
        self._totals: dict[str, _Total] = {}

    async def compare(self, spec: TopicSpec[Record], span: Span, expected: Expected) -> None:
        """Compare the rows of a partition with those that its records must have."""
        total = self._totals.setdefault(spec.name, _Total())
        total.rows += len(expected.rows)
        total.cost_pico += expected.cost_pico
        if expected.rows:
            await self._caught_up(spec, span.tp.partition, expected.rows.offsets[-1])
        found = Rows()
        parameters = {**self._topic(spec), "partition": span.tp.partition, "start": span.start}
        name = f"ledger_rows_{_VIEWS[spec.name]}"
        async for offsets, indexes, checksums in named_query_blocks(self._client, self._database, name, parameters):
            found.extend(offsets, indexes, checksums)
        is_beyond = bool(found) and found.offsets[-1] >= span.end
        current_end = await self._evidence.end(span.tp) if is_beyond else span.end
        compare_rows(
            self._findings,
            span.tp.topic,
            span.tp.partition,
            expected.rows,
            found,
            end=span.end,
            current_end=current_end,
        )

    async def finish(self, spec: TopicSpec[Record], spans: Sequence[Span]) -> None:
        """Compare a topic as a whole: totals, rows of other partitions, rows counted under another identity."""
        topic = spec.full_name(self._kafka.prefix)
        for row in await self._partitions(spec):
            if row["partition"] >= self._kafka.partitions:
                detail = f"{row['rows']} rows of a partition that the topic does not have"
                self._findings.add(Check.LEDGER_SURPLUS, f"{topic}-{row['partition']}", detail)
        view = _VIEWS[spec.name]
        parameters = {**self._topic(spec), "partitions": self._kafka.partitions}
        for copy in await named_query(self._client, self._database, f"ledger_twice_{view}", parameters):
            detail = f"the view {view} counts it {copy['rows']} times, under another topic or cluster too"
            self._findings.add(Check.LEDGER_TWICE, copy["subject"], detail)
        await self._compare_totals(spec, spans)

    async def _compare_totals(self, spec: TopicSpec[Record], spans: Sequence[Span]) -> None:
        ranges = {"starts": [span.start for span in spans], "ends": [span.end for span in spans]}
        parameters = {**self._topic(spec), **ranges, "view": _VIEWS[spec.name]}
        [sums] = await named_query(self._client, self._database, "ledger_sums", parameters)
        total = self._totals.get(spec.name, _Total())
        if (sums["rows"], pico_usd(Decimal(sums["cost"]))) != (total.rows, total.cost_pico):
            detail = f"SQL: {sums['rows']} rows, ${sums['cost']}; records: {total.rows} rows, ${usd(total.cost_pico)}"
            self._findings.add(Check.LEDGER_TOTALS, spec.full_name(self._kafka.prefix), detail)

    async def _caught_up(self, spec: TopicSpec[Record], partition: int, offset: int) -> None:
        """Return once the sink has written a record, or when the time to wait is over."""
        while asyncio.get_running_loop().time() < self._wait_until:
            held = {row["partition"]: row["last_offset"] for row in await self._partitions(spec)}
            if held.get(partition, -1) >= offset:
                return
            await asyncio.sleep(_POLL_S)

    async def _partitions(self, spec: TopicSpec[Record]) -> Sequence[dict[str, Any]]:
        parameters = {**self._topic(spec), "view": _VIEWS[spec.name]}
        return await named_query(self._client, self._database, "ledger_partitions", parameters)

    def _topic(self, spec: TopicSpec[Record]) -> dict[str, str]:
        return {"cluster": self._cluster, "topic": spec.full_name(self._kafka.prefix)}


@asynccontextmanager
async def open_ledger(
    settings: Settings, findings: Findings, evidence: Evidence, *, wait_until: float
) -> AsyncIterator[Ledger]:
    """Open the ledger that the settings name; without one its checks count as skipped.

    Raises:
        ClickHouseUnavailable: It does not answer.
        SettingsError: The database holds no ledger.
    """
    if settings.clickhouse.url is None:
        findings.skip_ledger("no ClickHouse: set CLICKHOUSE_URL or start the embedded stack")
        yield NoLedger()
        return
    cluster = await cluster_id(settings.kafka)
    async with open_client(settings.clickhouse.url) as client:
        await _require_views(client, settings.clickhouse.database)
        yield LedgerAudit(client, settings, cluster, findings, evidence, wait_until=wait_until)


async def _require_views(client: AsyncClient, database: str) -> None:
    found = await client.query(
        "SELECT name FROM system.tables WHERE database = {database:String}", parameters={"database": database}
    )
    if missing := sorted(set(_VIEWS.values()) - {row[0] for row in found.result_rows}):
        raise SettingsError(
            f"ClickHouse database {database!r} has no {', '.join(missing)}: start `tierstream sink`, "
            "or set clickhouse.database"
        )
