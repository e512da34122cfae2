"""Made traffic with things to find in it, small enough for a test, and what each of them is truly worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow, PriceList
from analytics.reports.findings import FindingsReport, findings
from analytics.rollups import RollupBuilder
from tierstream.bench.ledger_load import load
from tierstream.bench.ledger_plants import MisTiered, Plants, PowerUser, PriceChange, SlowProvider
from tierstream.bench.ledger_traffic import Traffic
from topics.journal import CallEnded, Purpose, Rates, Usage
from topics.results import Result

START = datetime(2026, 10, 1, tzinfo=UTC)
# Of so few requests more have to be looked at, for the same to be said of them.
PLANTS = Plants(PowerUser(others_share=0.04), PriceChange(), SlowProvider(), MisTiered(share=0.06, judged=0.6))
_LIFETIME_S = 3600


def made(seed: int, requests: int, days: int, plants: Plants = Plants()) -> Traffic:
    return Traffic(seed, requests, days, START, 1_000, plants)


async def found(url: str, database: str, traffic: Traffic, **asked: float) -> FindingsReport:
    """Write the traffic into a new ledger, build its roll-ups and look for findings in all of it."""
    await load(traffic, url, database)
    async with open_client(url) as client:
        await RollupBuilder(client, database, lifetime_s=_LIFETIME_S).build()
        return await findings(window(client, database, traffic), **asked)


def window(client, database: str, traffic: Traffic) -> LedgerWindow:
    until = traffic.start + timedelta(days=traffic.days)
    return LedgerWindow(client, database, traffic.start, until, prices=lambda: PriceList("none", {}))


@dataclass
class Truth:
    """US dollars that each plant costs more than it has to, in 30 days."""

    power_user: Decimal = Decimal(0)
    mis_tiered: Decimal = Decimal(0)
    price_change: Decimal = Decimal(0)
    slow_provider: Decimal = Decimal(0)


def truth(traffic: Traffic, plants: Plants) -> Truth:
    """Add up what answers cost, less what they would have cost.

    On the tier that answers as well, that is the tokens of the answers at the first tier's prices, as its models share
    its calls, and three answers of a hundred escalated because a judge errs; at the former price; on the other model.
    """
    calls: list[CallEnded] = []
    results: dict[str, Result] = {}
    for records in traffic:
        for _, record in records:
            match record:
                case CallEnded(purpose=Purpose.INFER):
                    calls.append(record)
                case Result():
                    results[record.request_id] = record
    first = [call for call in calls if call.tier == 1 and call.usage and call.rates]
    share = Decimal(sum(call.provider == first[0].provider for call in first)) / len(first)
    by_provider = {call.provider: call.rates for call in first}
    saved = Truth()
    for call in calls:
        result = results.get(call.request_id)
        if call.usage is None or call.rates is None or result is None:
            continue
        if call.tier == 3 and _is_first(call, result):
            cheap = sum(
                (share if provider == first[0].provider else 1 - share) * _cost(rates, call.usage)
                for provider, rates in by_provider.items()
            )
            gain = call.cost_usd - cheap
            if result.user_id == plants.power_user.user_id:
                saved.power_user += gain - call.cost_usd * _ESCALATED_SAMPLED
            elif result.feature == plants.mis_tiered.feature:
                saved.mis_tiered += gain - call.cost_usd * _ESCALATED_JUDGED
        changed = plants.price_change
        if (call.provider, call.model) == (changed.provider, changed.model):
            extra = call.cost_usd * (1 - 1 / changed.factor)
            if call.ended_at >= traffic.start + timedelta(days=changed.day):
                saved.price_change += extra * traffic.days / (traffic.days - changed.day)
                saved.slow_provider += extra
    month = Decimal(30) / traffic.days
    return Truth(*(getattr(saved, name) * month for name in Truth.__dataclass_fields__))


# Checks that fail 8 of 1,000 good answers, and a judge that looks at some and fails 3 of 100.
_ESCALATED_SAMPLED = Decimal("0.008") + Decimal("0.3") * Decimal("0.03")
_ESCALATED_JUDGED = Decimal("0.008") + Decimal("0.6") * Decimal("0.03")


def _is_first(call: CallEnded, result: Result) -> bool:
    return next(line.tier for line in result.route if line.stage.startswith("infer")) == call.tier


def _cost(rates: Rates, usage: Usage) -> Decimal:
    return rates.cost(usage.model_copy(update={"cache_written": 0}))


def of_kind(report: FindingsReport, kind: str) -> Sequence[str]:
    return [one.id for one in report.findings if one.kind == kind]
