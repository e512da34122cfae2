"""What a negotiation with a provider needs to know, from the ledger's sums."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from analytics.clickhouse import AsyncClient
from analytics.leverage.model_facts import FactsOf, ModelFacts
from analytics.leverage.moves import MEASURED, Cell, Ledgered, Move, Place, Standing, Traffic, best_moves, of_provider
from analytics.leverage.quality import Evidence
from analytics.named_query import named_query
from analytics.period import Grain, Period
from analytics.reports.report import Report

_DAY_S: Final = 86_400
_MONTH_DAYS: Final = 30
_READ: Final = 200_000
"""Calls whose sizes are read, about: of more, those of some hours."""


class ModelVolume(Report):
    """What one model gets."""

    model: str
    """`provider/model`."""
    tiers: tuple[int, ...]
    """That it answers in; none: it does not answer."""
    calls: int
    """Paid ones, each counted by every request that shares it."""
    input_tokens: int
    output_tokens: int
    cost_usd: Decimal
    share: float
    """Of what was paid to all providers."""


class MoveRow(Report):
    """What could move from one model to another provider's."""

    source: str
    target: str
    tier: int
    target_tier: int
    """Where the target's quality was measured."""
    query_type: str
    """Empty: the requests that did not say."""
    standing: Standing
    needs_trial: bool
    """The target was measured on easier requests alone."""
    quality_difference: float
    """Share of good answers of the target, less that of the source."""
    low: float
    high: float
    looks: float
    """Answers of the target that its quality is known from."""
    answers: float
    cost_usd: Decimal
    """What moves, at what it cost."""
    list_saving_usd: Decimal
    discount_saving_usd: Decimal
    """With the discount on the target's list prices."""


class ProviderLeverage(Report):
    """What a provider gets, and could lose."""

    provider: str
    cost_usd: Decimal
    share: float
    """Of what was paid to all providers."""
    models: tuple[ModelVolume, ...]
    movable_usd: Decimal
    """Of the cost: to models that were measured beside or above, within limits, at list prices that are not higher."""
    movable_share: float
    """Of the cost."""
    more_with_discount_usd: Decimal
    """What could move besides, if the targets gave the discount."""
    more_after_trial_usd: Decimal
    """What could move besides, to models that were measured on easier requests, with the discount at most."""
    list_saving_usd: Decimal
    """Of moving what is movable."""
    discount_saving_usd: Decimal
    """Of moving that and what is movable besides with the discount, with the discount."""
    stay_saving_usd: Decimal
    """Of the discount from this provider, on all that it gets."""
    equal_discount: float | None
    """The discount of this provider on all it gets that saves as much as moving does at list prices."""
    moves: tuple[MoveRow, ...]
    """Dearest first."""


class LeverageReport(Report):
    """Volume and spend by provider, and what could move to whom."""

    since: datetime
    until: datetime
    grain: Grain
    days: float
    cost_usd: Decimal
    monthly_usd: Decimal
    """Of 30 days like these."""
    margin: float
    """By how much the share of good answers may be lower at most, with the whole interval."""
    discount: float
    confidence: float
    """With which all intervals hold together."""
    providers: tuple[ProviderLeverage, ...]
    """Dearest first."""
    not_compared: tuple[str, ...]
    """Models that get calls but could not be a target: no longer callable, or without a known price."""


async def leverage(
    client: AsyncClient, database: str, period: Period, facts_of: FactsOf, *, margin: float, discount: Decimal
) -> LeverageReport:
    """Find what could move to other providers.

    Args:
        client: Of the server.
        database: Of the ledger.
        period: Of calls that ended in it.
        facts_of: Looks up models.
        margin: By how much the share of good answers may be lower, with the whole interval.
        discount: Share by which list prices are lowered.
    """
    spend, quality = await asyncio.gather(
        named_query(client, database, "leverage_spend", {**period.bounds, "spend": f"spend_by_{period.grain}"}),
        named_query(client, database, "leverage_quality", {**period.bounds, "quality": f"quality_by_{period.grain}"}),
    )
    used = dict.fromkeys(f"{row['provider']}/{row['model']}" for row in spend)
    facts = facts_of(used)
    traffic = dict(_traffic(row) for row in spend if row["is_answer"])
    every = max(1, round(sum(row["calls"] for row in spend) / _READ))
    fits = await _fits(client, database, {**period.bounds, "every": every}, list(facts.values()))
    known = Ledgered(traffic, _evidence(quality, traffic), facts, fits)
    moves = best_moves(known, margin, discount)
    total = sum((row["cost"] for row in spend), start=Decimal(0))
    days = (period.until - period.since).total_seconds() / _DAY_S
    volumes = _volumes(spend, total)
    providers = [_provider(name, volumes[name], moves, total, discount) for name in volumes]
    return LeverageReport(
        since=period.since,
        until=period.until,
        grain=period.grain,
        days=days,
        cost_usd=total,
        monthly_usd=total * _MONTH_DAYS / Decimal(days),
        margin=margin,
        discount=float(discount),
        confidence=0.95,
        providers=tuple(sorted(providers, key=lambda one: -one.cost_usd)),
        not_compared=tuple(ref for ref in used if ref not in facts),
    )


def _provider(
    name: str, models: Sequence[ModelVolume], moves: Sequence[Move], total: Decimal, discount: Decimal
) -> ProviderLeverage:
    cost = sum((model.cost_usd for model in models), start=Decimal(0))
    own = of_provider(moves, name)
    at_list = [move for move in own if move.standing in MEASURED and move.saving() >= 0]
    discounted = [move for move in own if move.standing in MEASURED and move.saving() < 0]
    tried = [move for move in own if move.standing not in MEASURED]
    saving = _sum(move.saving() for move in at_list)
    movable = _sum(move.cost_usd for move in at_list)
    return ProviderLeverage(
        provider=name,
        cost_usd=cost,
        share=_share(cost, total),
        models=tuple(sorted(models, key=lambda one: -one.cost_usd)),
        movable_usd=movable,
        movable_share=_share(movable, cost),
        more_with_discount_usd=_sum(move.cost_usd for move in discounted),
        more_after_trial_usd=_sum(move.cost_usd for move in tried),
        list_saving_usd=saving,
        discount_saving_usd=_sum(move.saving(discount) for move in (*at_list, *discounted)),
        stay_saving_usd=cost * discount,
        equal_discount=_share(saving, cost) if cost else None,
        moves=tuple(_row(move, discount) for move in own),
    )


def _row(move: Move, discount: Decimal) -> MoveRow:
    return MoveRow(
        source=move.source.ref,
        target=move.target.ref,
        tier=move.source.tier,
        target_tier=move.target.tier,
        query_type=move.query_type,
        standing=move.standing,
        needs_trial=move.standing not in MEASURED,
        quality_difference=move.quality.value,
        low=move.quality.low,
        high=move.quality.high,
        looks=move.looks,
        answers=move.answers,
        cost_usd=move.cost_usd,
        list_saving_usd=move.saving(),
        discount_saving_usd=move.saving(discount),
    )


def _volumes(spend: Iterable[Mapping[str, Any]], total: Decimal) -> dict[str, list[ModelVolume]]:
    sums: dict[tuple[str, str], dict[str, Any]] = {}
    for row in spend:
        held = sums.setdefault(
            (row["provider"], row["model"]),
            {"tiers": set(), "calls": 0, "input": 0, "output": 0, "cost": Decimal(0)},
        )
        held["tiers"] |= {row["tier"]} if row["is_answer"] else set()
        for name in ("calls", "input", "output", "cost"):
            held[name] += row[name]
    found: dict[str, list[ModelVolume]] = defaultdict(list)
    for (provider, model), held in sums.items():
        found[provider].append(
            ModelVolume(
                model=f"{provider}/{model}",
                tiers=tuple(sorted(held["tiers"])),
                calls=held["calls"],
                input_tokens=held["input"],
                output_tokens=held["output"],
                cost_usd=held["cost"],
                share=_share(held["cost"], total),
            )
        )
    return found


def _traffic(row: Mapping[str, Any]) -> tuple[Cell, Traffic]:
    place = Place(row["tier"], f"{row['provider']}/{row['model']}")
    fresh = max(0, row["input"] - row["cached"] - row["written"])
    return (place, row["query_type"]), Traffic(
        row["answers"], fresh, row["cached"], row["written"], row["output"], row["cost"]
    )


def _evidence(quality: Iterable[Mapping[str, Any]], traffic: Mapping[Cell, Traffic]) -> dict[Cell, Evidence]:
    found: dict[Cell, Evidence] = {}
    for row in quality:
        cell = (Place(row["tier"], row["model"]), row["query_type"])
        if cell in traffic:
            failures, judged = row["check_failures"], row["judged"]
            answers = max(traffic[cell].answers, failures + judged)
            found[cell] = Evidence(answers, failures, judged, row["passed"])
    return found


async def _fits(
    client: AsyncClient, database: str, bounds: Mapping[str, Any], targets: Sequence[ModelFacts]
) -> dict[tuple[str, str], float]:
    arrays = {
        "windows": [one.window for one in targets],
        "inputs": [one.max_input for one in targets],
        "outputs": [one.max_output for one in targets],
    }
    rows = await named_query(client, database, "leverage_limits", {**bounds, **arrays}) if targets else []
    return {
        (row["ref"], target.ref): share for row in rows for target, share in zip(targets, row["shares"], strict=True)
    }


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, start=Decimal(0))


def _share(part: Decimal, whole: Decimal) -> float:
    return float(part / whole) if whole else 0.0
