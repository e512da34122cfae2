"""Spendings that nobody has written: a worker died right after the end of a call that another has paid for again."""

from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from analytics.bound_times import microsecond_of
from analytics.clickhouse import open_client
from analytics.named_query import named_query_blocks
from streams.budgets.plan import places
from streams.budgets.replay import SLACK_MS, log_of, read
from streams.budgets.state import BudgetState, identity_of
from streams.config.settings import Settings
from streams.kafka.admin import cluster_id
from streams.kafka.publisher import Output, Publisher
from streams.kafka.topic_reader import TopicReader
from tierstream.operations.budgets import BudgetView
from topics.base import from_millis
from topics.budgets import Payer, Spending
from topics.registry import BUDGETS, CALLS


async def write_missing(settings: Settings, view: BudgetView) -> list[Spending]:
    """Write down what the ledger's calls have cost that the log of budgets does not have; return what was written.

    A spending that somebody else writes as well counts once. Calls whose request has no result yet are left out: the
    ledger does not say whose they are.

    Args:
        settings: Of the deployment.
        view: Of the moment up to which ledger and log are compared; the ledger has the journal up to there.

    Raises:
        ClickHouseUnavailable: It does not answer.
        DeliveryError: The log could not be written.
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
    """
    if not view.state.plans:
        return []
    reader, log = TopicReader(settings.kafka), log_of(settings)
    since_ms = min(view.since_ms(plan) for plan in view.state.plans)
    first = await reader.next_record(log, 0)
    if first is not None and first.offset:
        # What stood before it may have been written, and be counted in a snapshot.
        since_ms = max(since_ms, first.timestamp + SLACK_MS)
    paid = [one async for one in _paid(settings, from_millis(since_ms), view.until)]
    written: set[bytes] = set()
    # A spending is appended after its call has ended.
    async for record in reader.read(log, since_ms=since_ms - SLACK_MS):
        if isinstance(found := read(record), Spending):
            written.add(identity_of(found))
    missing = [one for one in counted(paid, view.state) if identity_of(one) not in written]
    if missing:
        async with Publisher(settings.kafka) as publisher:
            await publisher.publish([Output(BUDGETS, one) for one in missing])
    return missing


def counted(spendings: Iterable[Spending], state: BudgetState) -> list[Spending]:
    """Return those that are charged to a budget, and to none that has not counted yet when the call ended."""
    found = []
    for one in spendings:
        plans = [plan for plan, _ in places(state.plans, one.payer)]
        begun_ms = max((state.since_ms.get(plan.name, 0) for plan in plans), default=None)
        if begun_ms is not None and one.ended_at.timestamp() * 1000 >= begun_ms:
            found.append(one)
    return found


async def _paid(settings: Settings, since: datetime, until: datetime) -> AsyncIterator[Spending]:
    clickhouse = settings.clickhouse
    parameters = {
        "cluster": await cluster_id(settings.kafka),
        "topic": CALLS.full_name(settings.kafka.prefix),
        "since": microsecond_of(since),
        "until": microsecond_of(until),
    }
    async with open_client(clickhouse.url or "") as client:
        async for block in named_query_blocks(client, clickhouse.database, "budget_calls", parameters):
            for call_id, request_id, revision, usd, ended_at, user_id, feature, tags in zip(*block, strict=True):
                yield Spending(
                    call_id=call_id,
                    request_id=request_id,
                    revision=revision,
                    payer=Payer(user_id=user_id or None, feature=feature or None, tags=tuple(tags)),
                    cost_usd=usd,
                    ended_at=ended_at,
                )
