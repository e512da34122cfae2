"""Budgets as an operator sees them: what each account has spent, and whether the ledger says so too."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, Literal

from aiokafka import TopicPartition

from analytics.bound_times import microsecond_of
from analytics.clickhouse import AsyncClient, open_client
from analytics.named_query import named_query
from streams.budgets.money import pico_of, plain, usd_of
from streams.budgets.plan import BudgetPlan, places, plans_of
from streams.budgets.replay import begun_replay, log_of, read
from streams.budgets.state import BudgetState, identity_of
from streams.config.settings import Settings
from streams.kafka.admin import cluster_id
from streams.kafka.topic_reader import TopicReader, partitions_of
from topics.alerts import Alert
from topics.base import from_millis
from topics.budgets import Spending
from topics.codec import DecodeError, decode
from topics.registry import ALERTS, CALLS

_JUST_NOW: Final = timedelta(seconds=5)
"""A call that ended longer ago stands in the journal and on the log of budgets."""
_LOOK_S: Final = 0.2

State = Literal["ok", "soft", "exhausted"]


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """A budget of one user, feature or tag, or of all, at a moment."""

    plan: BudgetPlan
    key: str
    spent_usd: Decimal
    held_usd: Decimal
    """What calls under way may cost at most."""
    since: datetime
    """What was spent before then is not counted."""

    @property
    def share(self) -> float:
        """How much of it is used up, 1 for all of it."""
        return float(self.spent_usd / self.plan.settings.usd)

    @property
    def state(self) -> State:
        """Whether the soft share is passed, or all is spent."""
        spent = pico_of(self.spent_usd)
        return "exhausted" if spent >= self.plan.limit else "soft" if spent >= self.plan.soft else "ok"

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        one = self.plan.settings
        return {
            "budget": one.name,
            "key": self.plan.account(self.key),
            "window": one.window,
            "spent_usd": plain(self.spent_usd),
            "held_usd": plain(self.held_usd),
            "limit_usd": plain(one.usd),
            "share": round(self.share, 6),
            "state": self.state,
            "hard": one.hard,
            "since": self.since.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Difference:
    """An account of which the log of budgets and the ledger say different things."""

    plan: BudgetPlan
    key: str
    spent_usd: Decimal
    """By the log of budgets."""
    ledger_usd: Decimal

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "budget": self.plan.name,
            "key": self.plan.account(self.key),
            "spent_usd": plain(self.spent_usd),
            "ledger_usd": plain(self.ledger_usd),
        }


class LedgerBehindError(Exception):
    """The ledger has not come to the end of the journal in time; the message says what to do."""


@dataclass(slots=True)
class BudgetView:
    """All accounts at a moment.

    Attributes:
        state: That the log has come to.
        now_ms: The moment.
        late: Of each account what calls have cost that ended just now, which the ledger may not have yet.
    """

    state: BudgetState
    now_ms: int
    late: Mapping[tuple[str, str], int]

    @property
    def reports(self) -> list[BudgetReport]:
        """Every account that has spent something or holds something, by budget, who has spent most first."""
        found = [
            BudgetReport(
                account.plan,
                account.key,
                usd_of(spent),
                usd_of(account.held),
                from_millis(self.since_ms(account.plan)),
            )
            for account, spent in self.state.sums(self.now_ms)
            if spent or account.held
        ]
        order = {plan.name: number for number, plan in enumerate(self.state.plans)}
        return sorted(found, key=lambda one: (order[one.plan.name], -one.spent_usd, one.key))

    @property
    def until(self) -> datetime:
        """Up to when calls are compared with the ledger."""
        return from_millis(self.now_ms) - _JUST_NOW

    def since_ms(self, plan: BudgetPlan) -> int:
        """Return the beginning of a budget's window, or of its counting, ms since the epoch."""
        return max(plan.first_step(self.now_ms) * plan.settings.step_ms, self.state.since_ms.get(plan.name, 0))

    def spent(self, plan: BudgetPlan) -> dict[str, Decimal]:
        """Return what each account of a budget has spent, but for what ended just now."""
        spent = {a.key: amount for a, amount in self.state.sums(self.now_ms) if a.plan is plan}
        return {key: usd_of(amount - self.late.get((plan.name, key), 0)) for key, amount in spent.items()}


async def read_budgets(settings: Settings, now: datetime) -> BudgetView:
    """Read the log of budgets up to its end.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
    """
    reader, now_ms, tp = TopicReader(settings.kafka), int(now.timestamp() * 1000), log_of(settings)
    plans, late = plans_of(settings), defaultdict[tuple[str, str], int](int)
    if not plans:
        return BudgetView(BudgetState((), 0), now_ms, {})
    replay, seen = await begun_replay(reader, settings, now_ms), set[bytes]()
    async for record in reader.read(tp, since_ms=replay.since_ms):
        replay.take(record)
        found = read(record) if record.timestamp >= now_ms - 2 * _JUST_NOW.total_seconds() * 1000 else None
        if isinstance(found, Spending) and found.ended_at >= now - _JUST_NOW and identity_of(found) not in seen:
            seen.add(identity_of(found))
            for plan, key in places(plans, found.payer):
                late[plan.name, key] += pico_of(found.cost_usd)
    return BudgetView(replay.state, now_ms, late)


async def differences(settings: Settings, now: datetime, patience_s: float) -> tuple[BudgetView, list[Difference]]:
    """Compare what budgets have spent with the ledger, call by call that ended up to a few seconds ago.

    Raises:
        LedgerBehindError: The sink does not come to the end of the journal in time.
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
        ClickHouseUnavailable: It does not answer.
    """
    ends = await TopicReader(settings.kafka).end_offsets(partitions_of(CALLS, settings.kafka))
    view = await read_budgets(settings, now)
    async with open_client(settings.clickhouse.url or "") as client:
        await _caught_up(client, settings, ends, patience_s)
        found: list[Difference] = []
        for plan in view.state.plans:
            found += await _of_plan(client, settings, view, plan)
    return view, found


async def _of_plan(client: AsyncClient, settings: Settings, view: BudgetView, plan: BudgetPlan) -> Iterable[Difference]:
    parameters = {
        "by": plan.settings.by,
        "since": microsecond_of(from_millis(view.since_ms(plan))),
        "until": microsecond_of(view.until),
    }
    ledger: dict[str, Decimal] = {}
    unknown = Decimal(0)
    for row in await named_query(client, settings.clickhouse.database, "budget_spending", parameters):
        if plan.settings.by == "all":
            ledger[""] = ledger.get("", Decimal(0)) + row["usd"]
        elif not row["has_result"]:
            unknown += row["usd"]
        elif row["key"] and plan.settings.value in {None, row["key"]}:
            ledger[row["key"]] = row["usd"]
    return list(_differing(plan, view.spent(plan), ledger, unknown))


def _differing(
    plan: BudgetPlan, spent: Mapping[str, Decimal], ledger: Mapping[str, Decimal], unknown: Decimal
) -> Iterator[Difference]:
    """Yield the accounts that differ; the ledger learns whose a call is when its request has a result."""
    for key in dict.fromkeys([*spent, *ledger]):
        ours, theirs = spent.get(key, Decimal(0)), ledger.get(key, Decimal(0))
        if not theirs <= ours <= theirs + unknown:
            yield Difference(plan, key, ours, theirs)


async def _caught_up(
    client: AsyncClient, settings: Settings, ends: Mapping[TopicPartition, int], patience_s: float
) -> None:
    """Wait until the ledger has all that the journal held."""
    parameters = {"cluster": await cluster_id(settings.kafka), "topic": CALLS.full_name(settings.kafka.prefix)}
    give_up_at = asyncio.get_running_loop().time() + patience_s
    while True:
        rows = await named_query(client, settings.clickhouse.database, "budget_progress", parameters)
        held = {row["partition"]: row["last_offset"] for row in rows}
        if all(held.get(tp.partition, -1) + 1 >= end for tp, end in ends.items()):
            return
        if asyncio.get_running_loop().time() >= give_up_at:
            raise LedgerBehindError(
                f"the ledger is still behind the journal after {patience_s:g} s: is `tierstream sink` running?"
            )
        await asyncio.sleep(_LOOK_S)


async def read_alerts(settings: Settings, since: datetime) -> list[Alert]:
    """Read the alerts since a moment, each once, the latest last.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
    """
    reader, found = TopicReader(settings.kafka), dict[str, Alert]()
    for tp in partitions_of(ALERTS, settings.kafka):
        async for record in reader.read(tp, since_ms=int(since.timestamp() * 1000)):
            try:
                alert = decode(ALERTS, record.value, record.headers).record
            except DecodeError:
                continue
            found.setdefault(str(alert.id), alert)
    return sorted(found.values(), key=lambda alert: alert.at)
