"""The demo: sends the corpus through a running stack and reads from the ledger what it cost and how good it was."""

import asyncio
import json
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from pydantic import BaseModel, ConfigDict

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from analytics.reports.summary import Percentiles, Summary, summary
from streams.config.settings import Settings
from tierstream.client.request_run import RunReport, run_requests
from tierstream.demo.corpus import CorpusEntry, sample, script_entries
from tierstream.operations.price_list import configured_prices
from topics.requests import Request
from topics.results import Result

_LEDGER_WAIT_S = 60.0
_LEDGER_POLL_S = 0.25
_GIVE_UP_S = 60.0
_JSON_LINES = "application/x-ndjson"


class TierFigures(BaseModel):
    """The requests that one tier answered."""

    model_config = ConfigDict(frozen=True)

    requests: int
    share: float
    cost_usd: float
    latency_ms: Percentiles | None
    provider_ms: Percentiles | None
    """Waiting for the simulated provider."""
    own_ms: Percentiles | None
    """Everything that is ours: queues, decisions, hops."""


class Misrouted(BaseModel):
    """Requests whose first tier was not the lowest one that should serve them, by the labels."""

    model_config = ConfigDict(frozen=True)

    too_low: int
    too_high: int


class DemoFigures(BaseModel):
    """What a demo run came to; money in US dollars, read from the ledger."""

    model_config = ConfigDict(frozen=True)

    run: str
    requests: int
    results: int
    duplicates: int
    by_status: dict[str, int]
    by_tier: dict[str, TierFigures]
    cost_usd: float
    frontier_cost_usd: float
    """The same tokens at the rates of the config's frontier model."""
    frontier_model: str
    saved_share: float
    quality: float
    """Share of right answers, by the labels."""
    frontier_quality: float
    """Share that the top tier would have answered right, by the labels."""
    misrouted: Misrouted
    latency_ms: Percentiles
    escalations: int
    promotions: int
    validations: int
    example: str | None
    """A request id with an eventful route, worth a look with `tierstream trace`."""


@dataclass(frozen=True)
class _Asked:
    entry: CorpusEntry
    request: Request


async def run_demo(
    settings: Settings, *, requests: int, rate: float, seed: int, simulator: str, report: RunReport
) -> DemoFigures:
    """Send `requests` requests of the corpus at `rate` a second and wait until the ledger has all of them.

    Args:
        settings: With the addresses of Kafka and ClickHouse.
        requests: How many.
        rate: Requests a second.
        seed: Decides which ones, and in which order.
        simulator: URL of the provider simulator, which is told the right answers first.
        report: Filled while the run goes on.
    """
    run = f"demo-{uuid.uuid4().hex[:8]}"
    await teach(simulator, script_entries())
    asked = _asked(sample(requests, seed), run)
    results: dict[str, Result] = {}
    outcome = await run_requests(
        settings,
        [item.request for item in asked.values()],
        on_result=lambda result: results.update({result.request_id: result}),
        timeout_s=_GIVE_UP_S,
        rate=rate,
        report=report,
    )
    ledger = await _read_ledger(settings, run, len(results))
    return _figures(settings, run, asked, results, outcome, ledger)


async def teach(simulator: str, entries: Iterable[Mapping[str, Any]]) -> None:
    """Give the simulator right answers, and with them what a weaker model says.

    Args:
        simulator: Its URL.
        entries: Of its script.
    """
    lines = [json.dumps(entry, ensure_ascii=False) for entry in entries]
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{simulator}/script", data="\n".join(lines).encode(), headers={"Content-Type": _JSON_LINES}
        ) as response,
    ):
        response.raise_for_status()


def _asked(entries: Sequence[CorpusEntry], run: str) -> dict[str, _Asked]:
    asked = {}
    for number, entry in enumerate(entries):
        fields = entry.request_fields()
        fields["tags"] = [*fields.get("tags", []), run]
        request = Request.model_validate({**fields, "request_id": f"{run}-{number:05d}"})
        asked[request.request_id] = _Asked(entry, request)
    return asked


async def _read_ledger(settings: Settings, run: str, results: int) -> Summary:
    """Wait until the sink has written every result, then add them up."""
    prices = configured_prices(settings)
    deadline = asyncio.get_running_loop().time() + _LEDGER_WAIT_S
    async with open_client(settings.clickhouse.url or "") as client:
        window = LedgerWindow(client, settings.clickhouse.database, tag=run, prices=lambda: prices)
        while True:
            found = await summary(window)
            if found.requests >= results or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(_LEDGER_POLL_S)


def _figures(
    settings: Settings,
    run: str,
    asked: dict[str, _Asked],
    results: dict[str, Result],
    outcome: RunReport,
    ledger: Summary,
) -> DemoFigures:
    right = sum(asked[i].entry.right(result.content) for i, result in results.items() if result.content is not None)
    reachable = sum(_served_by(item.entry, settings.top_tier) for item in asked.values())
    return DemoFigures(
        run=run,
        requests=len(asked),
        results=ledger.requests,
        duplicates=outcome.duplicates,
        by_status=ledger.statuses,
        by_tier={
            str(tier.tier): TierFigures(
                requests=tier.requests,
                share=round(tier.share, 4),
                cost_usd=float(tier.cost_usd),
                latency_ms=_rounded(tier.latency),
                provider_ms=_rounded(tier.provider),
                own_ms=_rounded(tier.own),
            )
            for tier in ledger.tiers
            if tier.tier is not None
        },
        cost_usd=float(ledger.total_cost_usd),
        frontier_cost_usd=float(ledger.frontier_cost_usd),
        frontier_model=settings.frontier_ref,
        saved_share=round(ledger.saved_share or 0.0, 4),
        quality=round(right / len(asked), 4),
        frontier_quality=round(reachable / len(asked), 4),
        misrouted=Misrouted(
            too_low=_count(asked, results, lambda first, label: label is None or first < label),
            too_high=_count(asked, results, lambda first, label: label is not None and first > label),
        ),
        latency_ms=Percentiles(p50=outcome.latency_ms(0.5) or 0.0, p95=outcome.latency_ms(0.95) or 0.0),
        escalations=ledger.escalations,
        promotions=ledger.promotions,
        validations=ledger.validations,
        example=max(results, key=lambda i: len(results[i].route), default=None),
    )


def _served_by(entry: CorpusEntry, tier: int) -> bool:
    return entry.label is not None and entry.label <= tier


def _count(asked: dict[str, _Asked], results: dict[str, Result], misses: Callable[[int, int | None], bool]) -> int:
    """Count the results whose first attempt was on a tier that `misses` the label."""
    return sum(misses(result.route[0].tier, asked[i].entry.label) for i, result in results.items() if result.route)


def _rounded(span: Percentiles | None) -> Percentiles | None:
    return span and Percentiles(p50=round(span.p50, 1), p95=round(span.p95, 1))
