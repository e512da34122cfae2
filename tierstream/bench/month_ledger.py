"""What the records of a run say at its end: costs by day, steps of models, and what else was learned."""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from streams.config.settings import Settings
from streams.control.control_follower import read_control
from streams.control.control_state import Learned as LearnedRecord
from streams.control.control_state import entries_of
from streams.kafka.topic_reader import TopicReader, partitions_of
from tierstream.bench.month_report import Learned, LearnedRate, Step
from tierstream.bench.month_traffic import day_tag
from topics.learned import JudgeRates, OnlinePolicyUpdate
from topics.registry import CONTROL


async def cost_by_day(settings: Settings, days: int) -> dict[int, Decimal]:
    """Return what all paid calls for the requests of each day cost, in US dollars."""
    found = {}
    async with open_client(settings.clickhouse.url or "") as client:
        for day in range(1, days + 1):
            window = LedgerWindow(client, settings.clickhouse.database, tag=day_tag(day))
            rows = await window.rows("summary_calls")
            found[day] = sum((row["cost"] for row in rows), start=Decimal(0))
    return found


async def steps_of(settings: Settings, began: Sequence[datetime]) -> tuple[Step, ...]:
    """Return what was done with models, in the order of time.

    Args:
        settings: With the address of Kafka.
        began: When each day did.
    """
    pages = (await read_control(settings.kafka)).promotions.values()
    done = sorted(((page.version, one) for page in pages for one in page.steps), key=lambda pair: pair[1].at)
    return tuple(
        Step(day=bisect_right(began, one.at), version=version, state=one.state, by=one.by, reason=one.reason)
        for version, one in done
    )


async def learned_of(settings: Settings, revisions: int, revisions_right: int) -> Learned:
    """Return what was learned besides models.

    Args:
        settings: With the addresses of Kafka and ClickHouse.
        revisions: Results that feedback asked for.
        revisions_right: Those of them that are right.
    """
    rates, policies, canaries = await _control(settings)
    async with open_client(settings.clickhouse.url or "") as client:
        window = LedgerWindow(client, settings.clickhouse.database)
        [steps] = await window.rows("summary_steps")
        said = {row["outcome"]: row["said"] for row in await window.rows("summary_feedback")}
        costs = {row["purpose"]: row["cost"] for row in await window.rows("summary_calls")}
    return Learned(
        judge_rates=tuple(
            LearnedRate(
                tier=cell.tier, model=cell.model, query_type=cell.query_type, rate=cell.rate, reason=cell.reason
            )
            for cell in (rates.cells if rates is not None else ())
        ),
        judge_others=None if rates is None else rates.others,
        online_policies=policies,
        canaries=canaries,
        escalations=steps["escalations"],
        validations=steps["validations"],
        feedback=said,
        revisions=revisions,
        revisions_right=revisions_right,
        cost_by_purpose=costs,
    )


async def _control(settings: Settings) -> tuple[JudgeRates | None, int, dict[str, str]]:
    """Return the latest rates, the number of the latest policy, and the states of canaries."""
    rates: JudgeRates | None = None
    policies, canaries = 0, dict[str, str]()
    async with TopicReader(settings.kafka).opened(partitions_of(CONTROL, settings.kafka)) as cursor:
        ends = await cursor.ends()
        cursor.seek(await cursor.beginnings())
        async for record in cursor.until(ends):
            for entry in entries_of([record]):
                match entry:
                    case LearnedRecord(JudgeRates() as found):
                        rates = found if rates is None or found.at >= rates.at else rates
                    case LearnedRecord(OnlinePolicyUpdate() as policy):
                        policies = max(policies, policy.version)
                    case _:
                        pass
    for name, state in (await read_control(settings.kafka)).canaries.items():
        canaries[name] = f"{state.state}: {state.reason}"
    return rates, policies, canaries
