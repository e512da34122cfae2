"""Made traffic with things to find in it, small enough for a test, and what each of them is truly worth."""

from collections import Counter
from collections.abc import Mapping, Sequence
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
PLANTS = Plants(PowerUser(others_share=0.04), PriceChange(), SlowProvider(), MisTiered(share=0.08, judged=0.8))
NOTHING = Plants()
_LIFETIME_S = 3600


def made(seed: int, requests: int, days: int, plants: Plants = NOTHING) -> Traffic:
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

    On the tier that answers as well, they cost the first tier's prices, as its models share its calls, and what is
    escalated because a check or a judge errs. Else they cost the former price, or what the other model costs, which is
    the same.
    """
    calls, results = _told(traffic)
    first = [call for call in calls if call.tier == 1]
    mix = {rates: Decimal(count) / len(first) for rates, count in Counter(call.rates for call in first).items()}
    saved, changed = Truth(), plants.price_change
    raised_at = traffic.start + timedelta(days=changed.day)
    for call in calls:
        result = results.get(call.request_id)
        if result is not None and call.tier == 3 and _is_first(call, result):
            gain = call.cost_usd - sum(share * _cost(rates, call.usage) for rates, share in mix.items())
            if result.user_id == plants.power_user.user_id:
                saved.power_user += gain - call.cost_usd * _escalated(0.3)
            elif result.feature == plants.mis_tiered.feature:
                saved.mis_tiered += gain - call.cost_usd * _escalated(plants.mis_tiered.judged)
        if (call.provider, call.model) == (changed.provider, changed.model) and call.ended_at >= raised_at:
            extra = call.cost_usd * (1 - 1 / changed.factor)
            saved.price_change += extra * traffic.days / (traffic.days - changed.day)
            saved.slow_provider += extra
    month = Decimal(30) / traffic.days
    return Truth(*(getattr(saved, name) * month for name in Truth.__dataclass_fields__))


def _told(traffic: Traffic) -> tuple[Sequence[CallEnded], Mapping[str, Result]]:
    """Return the calls for answers that were billed, and the results."""
    said = [record for records in traffic for _, record in records]
    calls = [one for one in said if isinstance(one, CallEnded) and one.purpose is Purpose.INFER and one.usage]
    return calls, {one.request_id: one for one in said if isinstance(one, Result)}


def _escalated(judged: float) -> Decimal:
    """Checks fail 8 of 1,000 good answers, and a judge 3 of 100 of those that it looks at."""
    return Decimal("0.008") + Decimal("0.03") * Decimal(str(judged))


def _is_first(call: CallEnded, result: Result) -> bool:
    return next(line.tier for line in result.route if line.stage.startswith("infer")) == call.tier


def _cost(rates: Rates, usage: Usage) -> Decimal:
    return rates.cost(usage.model_copy(update={"cache_written": 0}))


def of_kind(report: FindingsReport, kind: str) -> Sequence[str]:
    return [one.id for one in report.findings if one.kind == kind]
