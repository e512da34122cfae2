"""Models that take twice as long as another one of their tier for the same kind of requests."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from analytics.findings.model import Candidate, Examples
from analytics.findings.scene import Row, Scene, money
from analytics.findings.statistics import p_sign

_SLOW: Final = 2.0
"""By which factor a model has to take longer: models of a tier differ, and less than this is a matter of taste."""
_MS_AN_HOUR: Final = 3_600_000

Pair = tuple[int, str, str]
"""Tier, model, and the other model."""


async def slow_providers(scene: Scene) -> Sequence[Candidate]:
    """Look for models whose calls take twice as long as those of an alternative, day by day or hour by hour."""
    speeds, times = await asyncio.gather(
        scene.window.rollup_rows("finding_speeds"), scene.window.rollup_rows("finding_times")
    )
    by_pair: dict[Pair, list[Row]] = defaultdict(list)
    for row in speeds:
        by_pair[row["tier"], row["model"], row["other_model"]].append(row)
    by_model: dict[tuple[int, str], list[Candidate]] = defaultdict(list)
    told = {(row["tier"], row["model"]): row for row in times}
    for pair, rows in by_pair.items():
        by_model[pair[:2]] += _candidate(scene, pair, rows, told)
    return [
        replace(best, p=min(1.0, best.p * len(found)))
        for found in by_model.values()
        if found and (best := min(found, key=lambda one: (one.p, -one.money.usd)))
    ]


def _candidate(
    scene: Scene, pair: Pair, rows: Sequence[Row], told: Mapping[tuple[int, str], Row]
) -> Iterator[Candidate]:
    tier, model, other = pair
    slow, quick = told.get((tier, model)), told.get((tier, other))
    today, then = scene.price_of_model(tier, model), scene.price_of_model(tier, other)
    if slow is None or quick is None or today is None or then is None:
        return
    took, other_took = (sum(row[column] for row in rows) for column in ("took_ms", "other_ms"))
    longer = sum(row["took_ms"] > _SLOW * row["other_ms"] for row in rows)
    ratio = took / other_took if other_took else 1.0
    tokens = scene.tokens(tier, model)
    saved = today.of(*tokens) - then.of(*tokens)
    waited_ms = slow["calls"] * took / sum(row["calls"] for row in rows) * (1 - 1 / ratio)
    yield Candidate(
        id=f"slow_provider:{tier}:{model}",
        kind="slow_provider",
        title=f"{model} takes {ratio:.1f} times as long as {other} for the same kind of requests",
        advice=f"Put {other} before {model} in the models of tier {tier}"
        + (f", though it costs {then.of(*tokens) / today.of(*tokens):.2f} times as much." if saved < 0 else "."),
        money=money(saved, scene.by_bucket(tier=tier, model=model)),
        p=p_sign(longer, len(rows)),
        figures={
            "calls": slow["calls"],
            "times_as_long": ratio,
            "p50_ms": slow["quantiles"][0],
            "p95_ms": slow["quantiles"][1],
            "other_model": other,
            "other_p50_ms": quick["quantiles"][0],
            "other_p95_ms": quick["quantiles"][1],
            "twice_as_long": longer,
            "compared": len(rows),
            "waited_hours_month": waited_ms / _MS_AN_HOUR * 30 / scene.days,
        },
        examples=Examples(f"answered by {model}", rows[-1]["bucket"], tier=tier, model=model),
    )
