"""What a comparison of two periods says, from the ledger's sums."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from analytics.change.decomposition import UNCHANGED, Changed, Effect, added_up, decomposed
from analytics.change.measured import INPUT_KINDS, KINDS, OUTPUT, Cell, Measured, Paid, Segment
from analytics.change.users import USERS_EFFECTS, changed_by_user
from analytics.clickhouse import AsyncClient
from analytics.named_query import named_query
from analytics.period import Grain, Period
from analytics.reports.report import Report

Dimension = Literal["model", "provider", "tier", "feature", "query_type", "purpose", "user"]

_MOSTLY: Final = 3
_KEYS: Final[Mapping[str, Callable[[Cell], str]]] = {
    "model": lambda cell: cell.ref,
    "provider": lambda cell: cell.provider,
    "tier": lambda cell: str(cell.tier),
    "feature": lambda cell: cell.feature,
    "query_type": lambda cell: cell.query_type,
    "purpose": lambda cell: "infer, escalated" if cell.escalated else cell.purpose,
}


class ComparedPeriod(Report):
    """One of the two periods, with what drives its cost."""

    since: datetime
    until: datetime
    grain: Grain
    cost_usd: Decimal
    requests: int
    """That got a result."""
    calls_per_request: float | None
    tokens_per_request: float | None
    escalated_calls_share: float | None
    """Of the calls for an answer."""
    cached_share: float | None
    """Of the input."""


class Share(Report):
    """What one model, feature, … has of an effect."""

    key: str
    usd: Decimal


class EffectSum(Report):
    """One part of the difference."""

    effect: Effect
    usd: Decimal
    mostly: tuple[Share, ...]
    """The largest parts of it, largest first, by what the report is by."""


class ChangedRow(Report):
    """How the cost of one model, feature, … changed."""

    key: str
    """Empty where the request did not say, or has no result yet; tier 0: calls that give no answer."""
    before_usd: Decimal
    after_usd: Decimal
    difference_usd: Decimal
    effects: dict[Effect, Decimal]
    """They add up to the difference."""


class CostChange(Report):
    """Why the cost changed: the effects add up to the difference exactly, in all and in each row."""

    by: Dimension
    before: ComparedPeriod
    after: ComparedPeriod
    difference_usd: Decimal
    effects: tuple[EffectSum, ...]
    rows: tuple[ChangedRow, ...]
    """Those whose cost changed most, most first."""
    others: ChangedRow | None
    """All that have no row of their own; with users, nobody knows by which effects."""


async def cost_change(
    client: AsyncClient, database: str, periods: tuple[Period, Period], by: Dimension = "model", top: int = 10
) -> CostChange:
    """Compare what was paid in two periods.

    Args:
        client: Of the server.
        database: Of the ledger.
        periods: The earlier and the later one.
        by: What rows are by.
        top: How many rows there are at most.
    """
    before, after = await asyncio.gather(*(_measured(client, database, period) for period in periods))
    changes = decomposed(before, after)
    [total] = added_up(changes, lambda _: "").values() if changes else [UNCHANGED]
    if by == "user":
        rows, others = await _users(client, database, periods, top)
        sums = added_up(changes, _KEYS["feature"])
    else:
        sums = added_up(changes, _KEYS[by])
        ordered = sorted(sums.items(), key=lambda item: (-abs(item[1].difference_usd), item[0]))
        rows = [_row(key, changed) for key, changed in ordered[:top]]
        others = _row("others", sum((changed for _, changed in ordered[top:]), start=UNCHANGED))
        others = others if len(ordered) > top else None
    return CostChange(
        by=by,
        before=_compared(periods[0], before),
        after=_compared(periods[1], after),
        difference_usd=total.difference_usd,
        effects=tuple(EffectSum(effect=e, usd=total.effects[e], mostly=_mostly(sums, e)) for e in Effect),
        rows=tuple(rows),
        others=others,
    )


def _mostly(sums: Mapping[str, Changed], effect: Effect) -> tuple[Share, ...]:
    ordered = sorted(sums.items(), key=lambda item: (-abs(item[1].effects[effect]), item[0]))
    return tuple(Share(key=key, usd=one.effects[effect]) for key, one in ordered[:_MOSTLY] if one.effects[effect])


def _row(key: str, changed: Changed) -> ChangedRow:
    return ChangedRow(
        key=key,
        before_usd=changed.before_usd,
        after_usd=changed.after_usd,
        difference_usd=changed.difference_usd,
        effects=dict(changed.effects),
    )


async def _measured(client: AsyncClient, database: str, period: Period) -> Measured:
    spend, results = await asyncio.gather(
        named_query(client, database, "change_spend", {**period.bounds, "spend": f"spend_by_{period.grain}"}),
        named_query(client, database, "change_requests", {**period.bounds, "results": f"results_by_{period.grain}"}),
    )
    requests: dict[Segment, int] = {(row["feature"], row["query_type"]): row["requests"] for row in results}
    return Measured(dict(map(_cell, spend)), requests)


def _cell(row: Mapping[str, Any]) -> tuple[Cell, Paid]:
    cell = Cell(**{name: row[name] for name in Cell.__slots__})
    tokens = {kind: max(0, row[kind]) for kind in KINDS}
    costs = {kind: row[f"{kind}_cost"] for kind in KINDS}
    is_paid = any(tokens.values()) or any(costs.values())
    return cell, Paid(row["answered"] or (row["calls"] if is_paid else 0), tokens, costs)


async def _users(
    client: AsyncClient, database: str, periods: tuple[Period, Period], top: int
) -> tuple[list[ChangedRow], ChangedRow | None]:
    before, after = periods
    versus = {f"versus_{name}": value for name, value in before.bounds.items()}
    parameters = {**after.bounds, **versus, "users": f"users_by_{after.grain}", "top": top}
    found = await named_query(client, database, "change_users", parameters)
    changes = changed_by_user([row for row in found if row["is_named"]])
    rows = [_row(user, changed) for user, changed in changes.items()]
    rows = [row.model_copy(update={"effects": _of_users(row.effects)}) for row in rows]
    rest = [row for row in found if not row["is_named"]]
    paid = [sum((row[f"cost_{side}"] for row in rest), start=Decimal(0)) for side in ("before", "after")]
    others = ChangedRow(
        key="others", before_usd=paid[0], after_usd=paid[1], difference_usd=paid[1] - paid[0], effects={}
    )
    return sorted(rows, key=lambda row: (-abs(row.difference_usd), row.key)), others if rest else None


def _of_users(effects: Mapping[Effect, Decimal]) -> dict[Effect, Decimal]:
    return {effect: usd for effect, usd in effects.items() if effect in USERS_EFFECTS}


def _compared(period: Period, measured: Measured) -> ComparedPeriod:
    requests = sum(measured.requests.values())
    paid = measured.paid
    answers = {cell: one.calls for cell, one in paid.items() if cell.purpose == "infer"}
    given = sum(one.tokens[kind] for one in paid.values() for kind in INPUT_KINDS)
    output = sum(one.tokens[OUTPUT] for one in paid.values())
    return ComparedPeriod(
        since=period.since,
        until=period.until,
        grain=period.grain,
        cost_usd=sum((one.cost_usd for one in paid.values()), start=Decimal(0)),
        requests=requests,
        calls_per_request=_ratio(sum(one.calls for one in paid.values()), requests),
        tokens_per_request=_ratio(given + output, requests),
        escalated_calls_share=_ratio(sum(n for cell, n in answers.items() if cell.escalated), sum(answers.values())),
        cached_share=_ratio(sum(one.tokens["cached"] for one in paid.values()), given),
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
