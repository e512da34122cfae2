"""Sudden changes: the price of a model, what answers of a feature cost at the same prices, how much is asked there.

Only what became dearer is told. Prices are those that were paid; so a change of a price is told once, of its model, and
not again of each feature that uses it.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from statistics import mean, median
from typing import Final, NamedTuple

from analytics.findings.model import Candidate, Examples
from analytics.findings.scene import Row, Scene, cost, money
from analytics.findings.statistics import Step, step_by_ranks, step_of_level

_NOISE: Final = 0.005
"""Relative spread of the price of a model: parts of a shared call are rounded."""
_DEARER: Final = 1.03
"""By which factor a price has to rise."""
_MORE: Final = 1.3
"""By which factor the cost of a feature has to rise."""
_AROUND: Final = {"day": 7, "hour": 24}
"""Values on either side of a step between which it must be seen too: what grows little by little is none."""
_SUDDEN: Final = 0.75
"""Of a step, as a power: steady growth has 0.5 of it between the weeks around its middle."""
_WEEKEND: Final = 5
_PARTS: Final = ("fresh", "cached", "written", "output")

Prices = Mapping[str, float]
"""US dollars a token, by part of _PARTS."""


class _Priced(NamedTuple):
    """What has a price of its own."""

    tier: int
    model: str
    in_batch: bool
    """Whether batches of the provider answer."""


async def cost_changes(scene: Scene) -> Sequence[Candidate]:
    """Look for steps up in the prices of models, and in what features cost at the same prices."""
    by_model: dict[_Priced, list[Row]] = defaultdict(list)
    by_feature: dict[str, list[Row]] = defaultdict(list)
    for row in scene.spend:
        by_model[_Priced(row["tier"], row["model"], row["in_batch"])].append(row)
        by_feature[row["feature"]].append(row)
    # That requests leave batches is no change of their feature: only what is in batches alone has the price of these.
    last_by_itself = sorted(by_model, key=lambda priced: not priced.in_batch)
    usual = {priced.model: _usual(by_model[priced]) for priced in last_by_itself}
    found = [one for priced, rows in by_model.items() for one in _price(scene, priced, rows)]
    return found + [one for feature, rows in by_feature.items() for one in _feature(scene, feature, rows, usual)]


def _price(scene: Scene, priced: _Priced, rows: Sequence[Row]) -> Iterator[Candidate]:
    days = _by_bucket(rows)
    if sum(map(cost, rows)) < scene.least_usd:
        return
    known = {at: prices for at, found in days.items() if (prices := _prices(found))}
    basket = _tokens(rows)
    filled = _filled(list(known.values()), basket)
    paid = [sum(prices[part] * basket[part] for part in prices) for prices in filled]
    step = step_of_level(paid, _NOISE) if all(one > 0 for one in paid) else None
    if step is None:
        return
    before = {part: median(prices[part] for prices in filled[: step.at]) for part in filled[0]}
    after = list(known)[step.at :]
    extra = [sum(map(cost, days[at])) - _at(before, days[at]) for at in after]
    saved = sum(extra)
    if saved < scene.least_usd or step.ratio < _DEARER:
        return
    # The month to come is one after the change, all of it.
    of_period = saved * len(known) / len(after)
    at, (tier, model, in_batch) = after[0], priced
    name = f"{model} in batches" if in_batch else model
    yield Candidate(
        id=f"cost_change:price:{tier}:{name}:{at:%Y-%m-%dT%H}",
        kind="cost_change",
        title=f"{name} costs {step.ratio:.2f} times as much since {at:%Y-%m-%d %H:%M}",
        advice=f"Compare the invoice with the price list, and put another model before {model} in tier {tier} if one "
        "is cheaper.",
        money=money(of_period, extra),
        p=step.p,
        figures={
            "times_as_much": step.ratio,
            "input_usd_million_before": before.get("fresh", 0.0) * 1e6,
            "input_usd_million": filled[-1].get("fresh", 0.0) * 1e6,
            "output_usd_million_before": before.get("output", 0.0) * 1e6,
            "output_usd_million": filled[-1].get("output", 0.0) * 1e6,
            "paid_more_usd": saved,
        },
        examples=Examples(f"paid at the new price of {name}", at, tier=tier, model=model),
    )


def _feature(scene: Scene, feature: str, rows: Sequence[Row], usual: Mapping[str, Prices]) -> Iterator[Candidate]:
    whole = set(scene.buckets)
    days = {at: found for at, found in _by_bucket(rows).items() if at in whole}
    at_usual = {at: sum(_at(usual[row["model"]], [row]) for row in found) for at, found in days.items()}
    if sum(at_usual.values()) < scene.least_usd:
        return
    answers = {at: sum(row["answers"] for row in found) for at, found in days.items()}
    strata = [(at.weekday() >= _WEEKEND, at.hour) for at in days]
    name = feature or "what names no feature"
    dearer = {at: usd / answers[at] for at, usd in at_usual.items() if answers[at] and usd}
    if len(dearer) == len(days):
        step = step_by_ranks(list(dearer.values()), strata)
        title, advice = f"An answer of {name} costs", "Look at the prompts and the routing that changed then"
        yield from _stepped(scene, feature, at_usual, dearer, step, "answer", title, advice)
    asked = {at: float(count) for at, count in answers.items() if count}
    if len(asked) == len(days):
        step = step_by_ranks(list(asked.values()), strata)
        title, advice = f"{name} is asked", "Find out who asks more since then"
        yield from _stepped(scene, feature, at_usual, asked, step, "requests", title, advice)


def _stepped(
    scene: Scene,
    feature: str,
    usd: Mapping[datetime, float],
    values: Mapping[datetime, float],
    step: Step | None,
    what: str,
    title: str,
    advice: str,
) -> Iterator[Candidate]:
    """Yield a step of a feature, if it is a large and a sudden one."""
    if step is None:
        return
    moments, series = list(values), list(values.values())
    around = _AROUND[scene.window.period.grain]
    nearby = mean(series[step.at : step.at + around]) / mean(series[max(0, step.at - around) : step.at])
    after = [usd[at] for at in moments[step.at :]]
    extra = sum(after) * (1 - 1 / step.ratio)
    if extra < scene.least_usd or step.ratio < _MORE or nearby < step.ratio**_SUDDEN:
        return
    at = moments[step.at]
    yield Candidate(
        id=f"cost_change:{what}:{feature}:{at:%Y-%m-%dT%H}",
        kind="cost_change",
        title=f"{title} {step.ratio:.2f} times as much since {at:%Y-%m-%d %H:%M}",
        advice=f"{advice}.",
        money=money(extra * len(moments) / len(after), after),
        p=step.p,
        figures={"times_as_much": step.ratio, "paid_more_usd": extra},
        examples=Examples(f"{feature} after the change", at, feature=feature),
    )


def _by_bucket(rows: Sequence[Row]) -> Mapping[datetime, Sequence[Row]]:
    found: dict[datetime, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["bucket"]].append(row)
    return found


def _tokens(rows: Sequence[Row]) -> Mapping[str, float]:
    return {part: sum(row[f"{part}_tokens"] for row in rows) for part in _PARTS}


def _prices(rows: Sequence[Row]) -> Prices:
    """Return what a token of each part cost that there is."""
    tokens = _tokens(rows)
    return {part: sum(row[f"{part}_usd"] for row in rows) / tokens[part] for part in _PARTS if tokens[part]}


def _usual(rows: Sequence[Row]) -> Prices:
    by_bucket = [_prices(found) for found in _by_bucket(rows).values()]
    return {
        part: median(known) for part in _PARTS if (known := [prices[part] for prices in by_bucket if part in prices])
    }


def _filled(by_bucket: Sequence[Prices], basket: Mapping[str, float]) -> Sequence[Prices]:
    """Give parts without tokens the price that they had last, or have next."""
    last: dict[str, float] = {}
    for prices in reversed(by_bucket):
        last.update(prices)
    filled = []
    for prices in by_bucket:
        last.update(prices)
        filled.append({part: last[part] for part in _PARTS if basket[part]})
    return filled


def _at(prices: Prices, rows: Sequence[Row]) -> float:
    """Return what tokens would have cost at other prices."""
    return math.fsum(row[f"{part}_tokens"] * price for row in rows for part, price in prices.items())
