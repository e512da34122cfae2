"""What the tests of the ledger share: an embedded ClickHouse to start and stop, and records with known figures."""

import asyncio
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid5

from analytics.clickhouse import open_client
from analytics.ledger import Entry, Ledger, SinkStats
from analytics.migrate import migrate
from analytics.rows import LogBodies, Position, rows_of
from streams.calls.pricing import PriceBook, split
from streams.config.settings_sections import PriceSettings, ProviderSettings
from topics.base import Record
from topics.control import BreakerState, BreakerStatus
from topics.events import Hop, Hops
from topics.journal import CallEnded, CallError, CallStarted, Purpose, Rates, Usage, attempt_id
from topics.results import Result, ResultError, ResultStatus
from topics.tasks import Attempt, Source

BASE = datetime(2026, 3, 31, 23, 59, 58, tzinfo=UTC)
CALLS = UUID("6a1f7e0e-0f4b-4d43-8d0b-1f5f2d2a9c11")
RATES = Rates(input=Decimal("0.075"), output=Decimal("0.3"), cached=Decimal("0.0375"), source="config")
_LISTENS = re.compile(rb"listens on http://127\.0\.0\.1:(\d+)")


async def fill_ledger(
    url: str, database: str, records: Sequence[Record], *, first_ms: int, bodies: LogBodies = "none"
) -> None:
    """Make the tables of a new ledger, with the rows of records that came in a millisecond after each other."""
    positions = [Position("cluster", "t", 0, offset, first_ms + offset) for offset in range(len(records))]
    async with open_client(url) as client:
        await migrate(client, database, retention_days=4000, body_retention_days=4000)
    ledger = Ledger(url, database, SinkStats())
    await ledger.insert([Entry(p, rows_of(record, p, bodies)) for p, record in zip(positions, records, strict=True)])
    await ledger.close()


class ClickHouseProcess:
    """The embedded server in a process of its own; it keeps its port when it is started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tierstream.stack.clickhouse_server"),
            *("--port", str(self._port), "--data", str(self._folder)),
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            if match := _LISTENS.search(line):
                self._port = int(match[1])
                return
        raise AssertionError("ClickHouse did not start")

    async def stop(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.communicate()


def call_pair(n: int, *, purpose: Purpose = Purpose.INFER, failed: bool = False) -> tuple[CallStarted, CallEnded]:
    """The two records of a call of request n."""
    stage = "validate" if purpose is Purpose.JUDGE else "infer"
    fields = {
        "call_id": uuid5(CALLS, f"{n}-{purpose}-{failed}"),
        "attempt_id": attempt_id(f"r{n}", 0, stage, int(not failed)),
        "request_id": f"r{n}",
        "revision": 0,
        "stage": stage,
        "n": int(not failed),
        "purpose": purpose,
        "tier": 1,
        "provider": "groq",
        "model": "small",
        "started_at": BASE + timedelta(milliseconds=n),
    }
    started = CallStarted(**fields, deadline=BASE + timedelta(seconds=60))
    usage = Usage(input=100 + n, output=7 * n + 1, cached=n, reasoning=n)
    ended = CallEnded(
        **fields,
        ended_at=BASE + timedelta(milliseconds=3 * n + 10, microseconds=7),
        content=None if failed else f"answer {n}",
        finish_reason=None if failed else "stop",
        error=CallError(kind="overloaded", message="busy", status=503, retry_after_ms=10) if failed else None,
        usage=None if failed else usage,
        rates=RATES,
        cost_usd=Decimal(0) if failed else RATES.cost(usage),
    )
    return started, ended


PROVIDER_BATCH = "batch_0f3a"
BATCH_PRICE = Decimal("0.5")
IN_BATCH = timedelta(minutes=50)
"""How long a call of a batch takes."""


def batch_pair(n: int) -> tuple[CallStarted, CallEnded]:
    """The two records of the call of request n, as one that a batch of the provider answered at half the price."""
    started, ended = call_pair(n)
    price = PriceBook(
        {"groq/small": PriceSettings(input=RATES.input, output=RATES.output, cached=RATES.cached)},
        {"groq": ProviderSettings(protocol="groq", api_key_env="KEY", batch_price=BATCH_PRICE)},
    )
    rates = price.rates("groq", "small", started.started_at, ended.usage, batch=True)
    changed = {"rates": rates, "cost_usd": rates.cost(ended.usage), "provider_batch": PROVIDER_BATCH}
    late = {"deadline": started.deadline + timedelta(days=1)}
    return started.model_copy(update=late), ended.model_copy(
        update={"ended_at": started.started_at + IN_BATCH, **changed}
    )


def result(n: int, *, tags: tuple[str, ...] = ()) -> Result:
    """The result of request n: each fifth is rejected, each third was escalated, each fourth judged."""
    source = Source(topic="llm.requests", partition=n % 3, offset=n, timestamp_ms=int(BASE.timestamp() * 1000) + n)
    end = {"request_id": f"r{n}", "source": source, "tags": tags, "settled_at": BASE + timedelta(seconds=1)}
    if n % 5 == 4:
        return Result(
            **end,
            status=ResultStatus.REJECTED,
            error=ResultError(code="invalid", message="no messages"),
            cost_usd=Decimal(0),
            latency_ms=2.5,
        )
    _, ended = call_pair(n)
    whys = ["classified"] + ["escalated from tier 1: refusal"] * (n % 3 == 0)
    route = [_attempt(ended, "infer", tier, why) for tier, why in enumerate(whys, start=1)]
    route += [_attempt(ended, "validate", 1, "judge")] * (n % 4 == 0)
    return Result(
        **end,
        status=ResultStatus.OK,
        attempt_id=ended.attempt_id,
        content=f"answer {n}",
        tier=len(whys),
        provider="groq",
        model="small",
        finish_reason="stop",
        usage=ended.usage,
        cost_usd=ended.cost_usd,
        latency_ms=200.0 + n * n,
        provider_ms=150.0 + n,
        route=tuple(route),
        user_id=f"user{n % 2}",
        feature="chat",
        query_type="qa",
    )


def _attempt(ended: CallEnded, stage: str, tier: int, why: str) -> Attempt:
    return Attempt(
        attempt_id=ended.attempt_id,
        stage=stage,
        tier=tier,
        provider="groq",
        model="small",
        why=why,
        outcome="ok",
        cost_usd=ended.cost_usd,
        provider_ms=ended.provider_ms,
    )


def hops(n: int) -> Hops:
    """Two steps of request n."""
    started_at = BASE + timedelta(milliseconds=n)
    _, ended = call_pair(n)
    classify = Hop(
        stage="classify",
        started_at=started_at,
        ended_at=started_at + timedelta(milliseconds=4),
        queue_ms=1.5,
        outcome="routed",
        tier=1,
        rule="bulk",
        classifier="requests/1:0a1b2c3d",
        scores=(0.75, 0.25),
    )
    infer = Hop(
        stage="infer",
        started_at=started_at + timedelta(milliseconds=5),
        ended_at=started_at + timedelta(milliseconds=25),
        queue_ms=0.5,
        outcome="ok",
        tier=1,
        attempt_id=ended.attempt_id,
        provider="groq",
        model="small",
        provider_ms=18.0,
        cost_usd=ended.cost_usd,
    )
    return Hops(request_id=f"r{n}", hops=(classify, infer))


def shared_call(*numbers: int) -> tuple[list[CallStarted], list[CallEnded]]:
    """The starts and the ends of one streamed call, in a batch of three, that these requests share.

    All of it together is call 7.
    """
    _, whole = call_pair(7)
    started, ended = [], []
    for n, (usage, cost) in zip(
        numbers, split(whole.usage or Usage(input=0, output=0), RATES, len(numbers)), strict=True
    ):
        start, end = call_pair(n)
        started.append(start.model_copy(update={"call_id": whole.call_id}))
        part = {"usage": usage, "cost_usd": cost, "shares": len(numbers)}
        left = {"first_token_ms": 80.0, "batch_size": 3, "batch_wait_ms": 12.0}
        ended.append(end.model_copy(update={"call_id": whole.call_id, **part, **left}))
    return started, ended


def breaker(n: int, *, target: str = "groq/small", state: BreakerState = BreakerState.OPEN) -> BreakerStatus:
    """The n-th word of a process on a breaker."""
    return BreakerStatus(
        worker="host:1",
        target=target,
        state=state,
        reason="5 of 8 calls failed",
        since=BASE,
        until=BASE + timedelta(seconds=5) if state is BreakerState.OPEN else None,
        calls=8,
        failures=5,
        slow=1,
        at=BASE + timedelta(seconds=n),
    )
