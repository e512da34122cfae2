"""A deployment's records, consistent until a test makes them lie, for the tests of `tierstream verify`."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest
from aiokafka import TopicPartition
from support.ledger_records import call_pair, hops, result
from typer.testing import CliRunner

from analytics.ledger import Entry, Ledger, SinkStats
from analytics.rows import Position, Row, Table, rows_of
from streams.config.settings import Settings
from streams.kafka.admin import admin_client
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import TopicReader
from tierstream.cli import app
from topics.base import Record
from topics.codec import DecodeError, decode
from topics.dead_letters import dead_letter
from topics.journal import CallEnded, CallStarted
from topics.messages import Message
from topics.registry import CALLS, DEAD_LETTERS, HOPS, REQUESTS, RESULTS
from topics.requests import Request
from topics.results import Result, ResultError, ResultStatus

NUMBERS = (1, 2, 5, 7, 10, 11)
PARTITIONS = 2
UNREADABLE_ID = "bad-1"
STRANGER = UUID("00000000-0000-4000-8000-00000000beef")
UNSEEN = {"status": 200, "fault": None, "model": "small", "provider": "groq", "started_at": "2026-03-31T00:00:00+00:00"}


@dataclass
class World:
    """What a deployment wrote down; consistent until a test changes it."""

    settings: Settings
    config: Path
    usage_log: Path
    requests: list[Request] = field(default_factory=lambda: [request(f"r{n}") for n in NUMBERS])
    calls: list[CallStarted | CallEnded] = field(default_factory=lambda: [c for n in NUMBERS for c in call_pair(n)])
    results: list[Result] = field(default_factory=lambda: [*(result(n) for n in NUMBERS), rejected(UNREADABLE_ID)])
    """Their sources are set to where the requests are."""
    served: list[dict] = field(default_factory=lambda: [served(call_pair(n)[1]) for n in NUMBERS])
    bad_values: list[bytes] = field(default_factory=lambda: [b'{"request_id": "bad-1"}', b"{"])
    letters: bool = True
    edit_rows: Callable[[Table, list[Row]], list[Row]] = lambda _, rows: rows

    async def write(self) -> None:
        """Put everything where it belongs, and the rows of what was written into the ledger."""
        async with Publisher(self.settings.kafka) as publisher:
            places = await publisher.publish([Output(REQUESTS, request) for request in self.requests])
            appended = {UNREADABLE_ID: await self._write_bad(publisher)}
            for asked, delivered in zip(self.requests, places, strict=True):
                appended.setdefault(asked.request_id, delivered.timestamp_ms)
            self.results = [from_copy(found, appended[found.request_id]) for found in self.results]
            await publisher.publish([Output(CALLS, call) for call in self.calls])
            await publisher.publish([Output(HOPS, hops(n)) for n in NUMBERS])
        async with Publisher(self.settings.kafka, transactional_id=f"{self.settings.kafka.prefix}t") as publisher:
            async with publisher.producer.transaction():
                await publisher.publish([Output(RESULTS, result) for result in self.results])
            await publisher.producer.begin_transaction()
            await publisher.publish([Output(RESULTS, result) for result in self.results])
            await publisher.producer.abort_transaction()
        self.usage_log.write_text("".join(f"{json.dumps(line)}\n" for line in self.served))
        await self._fill_ledger()

    async def _write_bad(self, publisher: Publisher) -> int:
        """Write what is no request; return when the first of it was appended, ms since the epoch."""
        topic, appended = REQUESTS.full_name(self.settings.kafka.prefix), []
        for value in self.bad_values:
            delivered = await publisher.producer.send_and_wait(topic, value, key=b"x", partition=0)
            record = await TopicReader(self.settings.kafka).record_at(TopicPartition(topic, 0), delivered.offset)
            appended.append(delivered.timestamp)
            with pytest.raises(DecodeError) as refused:
                decode(REQUESTS, record.value, record.headers)
            letter = dead_letter("classify", refused.value, record, topic=topic, partition=0, at=utc_now())
            if self.letters:
                await publisher.publish([Output(DEAD_LETTERS, letter)])
        return appended[0]

    def change_result(self, n: int, **changed) -> None:
        """Change the result of a request."""
        at = next(at for at, found in enumerate(self.results) if found.request_id == f"r{n}")
        self.results[at] = self.results[at].model_copy(update=changed)

    def change_end(self, n: int, **changed) -> None:
        """Change the end of a call, and its request's result with it."""
        ended = call_pair(n)[1]
        lie = ended.model_copy(update=changed)
        self.calls[self.calls.index(ended)] = lie
        line = result(n).route[0].model_copy(update={"cost_usd": lie.cost_usd})
        self.change_result(n, route=(line,), cost_usd=lie.cost_usd, usage=lie.usage)

    async def _fill_ledger(self) -> None:
        kafka = self.settings.kafka
        async with admin_client(kafka) as admin:
            cluster = (await admin.describe_cluster())["cluster_id"]
        ledger = Ledger(self.settings.clickhouse.url, self.settings.clickhouse.database, SinkStats())
        reader = TopicReader(kafka)
        for spec in (RESULTS, CALLS, HOPS):
            rows: dict[Table, list[Row]] = {}
            for partition in range(PARTITIONS):
                topic = spec.full_name(kafka.prefix)
                async for raw in reader.read(TopicPartition(topic, partition)):
                    position = Position(cluster, topic, partition, raw.offset, raw.timestamp)
                    record: Record = decode(spec, raw.value, raw.headers).record
                    for table, row in rows_of(record, position, "none"):
                        rows.setdefault(table, []).append(row)
            edited = [(table, row) for table, found in rows.items() for row in self.edit_rows(table, found)]
            await ledger.insert([Entry(position, edited)])
        await ledger.close()

    async def verify(self, *options: str) -> tuple[int, dict]:
        """Run the command; return its exit code and its JSON."""
        arguments = ["--config", str(self.config), "verify", "--json", "--usage-log", str(self.usage_log), *options]
        done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        assert done.exit_code in {0, 1}, done.output
        return done.exit_code, json.loads(done.stdout)

    async def violated(self) -> dict[str, list[str]]:
        """Verify; return the violated checks with the subjects that they name."""
        await self.write()
        code, report = await self.verify()
        found = {
            name: [finding["subject"] for finding in check["findings"]]
            for name, check in report["checks"].items()
            if check["state"] == "violated"
        }
        assert (code, report["ok"]) == ((1, False) if found else (0, True))
        return found


def from_copy(found: Result, appended_ms: int) -> Result:
    """The result as an answer to the copy of its request that was appended then."""
    source = found.source.model_copy(update={"timestamp_ms": appended_ms})
    return found.model_copy(update={"source": source})


def request(request_id: str, **fields) -> Request:
    return Request(request_id=request_id, messages=(Message(role="user", content="How many?"),), **fields)


def rejected(request_id: str) -> Result:
    return result(4).model_copy(
        update={
            "request_id": request_id,
            "status": ResultStatus.REJECTED,
            "error": ResultError(code="invalid", message="no messages"),
        }
    )


def served(ended: CallEnded) -> dict:
    usage = {
        "input_tokens": ended.usage.input,
        "output_tokens": ended.usage.output,
        "cached_tokens": ended.usage.cached,
        "reasoning_tokens": ended.usage.reasoning,
    }
    return {**UNSEEN, "call_id": str(ended.call_id), "usage": usage}


def call_id(n: int) -> str:
    return str(call_pair(n)[0].call_id)
