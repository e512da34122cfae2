"""Instructions before many requests that the provider could read from its cache more often than it does."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analytics.findings.model import Candidate, Examples
from analytics.findings.scene import Row, Scene, money
from analytics.findings.statistics import p_sign

_CACHED_FROM: Final = 1024
"""Tokens: what is shorter is cached by few providers."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Rates:
    """US dollars a token."""

    fresh: float
    cached: float


async def cacheable_prompts(scene: Scene) -> Sequence[Candidate]:
    """Look for instructions of which less than half of what could be comes from the cache."""
    rows = await scene.window.rollup_rows("finding_prefixes", least_tokens=_CACHED_FROM)
    rates = _rates(scene)
    return [one for row in rows if (one := _candidate(scene, row, rates.get(row["model"]))) is not None]


def _candidate(scene: Scene, row: Row, rates: _Rates | None) -> Candidate | None:
    if rates is None:
        return None
    saved = (row["cacheable_tokens"] - row["cached_tokens"]) * (rates.fresh - rates.cached)
    if saved < scene.least_usd:
        return None
    feature = row["feature"] or "what names no feature"
    return Candidate(
        id=f"cacheable_prompt:{row['feature']}:{row['model']}:{row['prefix']:016x}",
        kind="cacheable_prompt",
        title=f"{row['model']} reads the instructions of {feature} anew in most requests",
        advice=f"Keep what the system says in {feature} the same to the letter and at the beginning, without anything "
        f"that changes, and ask {row['model']} to cache it.",
        money=money(saved, row["tokens_by_day"]),
        p=p_sign(row["days_below"], row["days"]),
        figures={
            "requests": row["requests"],
            "instruction_tokens": row["prefix_tokens"] / row["requests"],
            "cached_share": row["cached_tokens"] / row["prefix_tokens"],
            "cacheable_share": row["cacheable_tokens"] / row["prefix_tokens"],
            "days": row["days"],
            "days_below_half": row["days_below"],
        },
        examples=Examples("with these instructions", row["last"], feature=row["feature"], model=row["model"]),
    )


def _rates(scene: Scene) -> Mapping[str, _Rates]:
    """Return what fresh and cached tokens of each model cost, as paid; of cached ones never paid, as listed."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for row in scene.spend:
        for name in ("fresh_tokens", "fresh_usd", "cached_tokens", "cached_usd"):
            sums[row["model"]][name] += row[name]
    unknown = any(not total["cached_tokens"] for total in sums.values())
    listed = _listed(scene) if unknown else {}
    found = {}
    for model, total in sums.items():
        if total["cached_tokens"]:
            cached: float | None = total["cached_usd"] / total["cached_tokens"]
        else:
            cached = listed.get(model)
        if cached is not None and total["fresh_tokens"]:
            found[model] = _Rates(total["fresh_usd"] / total["fresh_tokens"], cached)
    return found


def _listed(scene: Scene) -> Mapping[str, float]:
    prices = scene.window.prices()
    return {model: float(cached) / _MILLION for model, (_, _, cached) in prices.rates.items()}
