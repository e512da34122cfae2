"""Features whose tier could change: down where a rule sends them too high, up where most answers are escalated.

What a classifier sends to a dear tier is harder than the rest, so that the good answers of a cheaper one say nothing of
it. What a rule sends there goes by its feature, whatever is asked: only then are the answers of both tiers compared.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from analytics.bound_times import second_of
from analytics.findings.model import Candidate, Examples
from analytics.findings.power_user import MARGIN
from analytics.findings.scene import Row, Scene, money
from analytics.findings.statistics import Share, p_not_above, p_sign, p_worse, rated

_SAMPLE: Final = 100
"""Requests of which it is looked up whether a rule decided."""
_PROMISING: Final = 0.2
"""Whatever is less likely to be by chance is looked up."""

Of = tuple[str, str]
"""Feature and query type."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Requests of a feature and query type that begin on one tier."""

    requests: int
    escalated: int
    input_tokens: int
    output_tokens: int
    last: datetime


@dataclass(frozen=True, slots=True)
class _Down:
    """A candidate whose requests may have come by a classifier."""

    of: Of
    tier: int
    asked: _Asked
    candidate: Candidate


async def feature_tiers(scene: Scene) -> Sequence[Candidate]:
    """Look for features that a rule sends too high, and for those that begin too low."""
    results, quality = (
        await scene.window.rollup_rows("finding_results"),
        await scene.window.rollup_rows("finding_quality"),
    )
    asked = _begun(results)
    ratings = {(row["feature"], row["query_type"], row["tier"]): _rated(scene, row) for row in quality}
    downs = [down for of, by_tier in asked.items() for down in _downs(scene, of, by_tier, ratings)]
    ups = [up for of, by_tier in asked.items() for up in _ups(scene, of, by_tier)]
    return [*ups, *await _by_rule(scene, downs)]


def _begun(results: Sequence[Row]) -> Mapping[Of, Mapping[int, _Asked]]:
    sums: dict[Of, dict[int, _Asked]] = defaultdict(dict)
    for row in results:
        by_tier = sums[row["feature"], row["query_type"]]
        so_far = by_tier.get(row["first_tier"], _Asked(0, 0, 0, 0, row["last"]))
        by_tier[row["first_tier"]] = _Asked(
            requests=so_far.requests + row["requests"],
            escalated=so_far.escalated + row["escalated"],
            input_tokens=so_far.input_tokens + row["input_tokens"],
            output_tokens=so_far.output_tokens + row["output_tokens"],
            last=max(so_far.last, row["last"]),
        )
    return sums


def _rated(scene: Scene, row: Row) -> Share:
    answers = scene.answers(row["tier"], *_of(row))
    return rated(answers, row["failed_checks"], row["judged"], row["judged_bad"])


def _of(row: Row) -> Of:
    return row["feature"], row["query_type"]


def _downs(scene: Scene, of: Of, by_tier: Mapping[int, _Asked], ratings: Mapping[Any, Share]) -> Iterator[_Down]:
    for tier, asked in by_tier.items():
        cheaper = [to for to in by_tier if to < tier]
        found = [one for to in cheaper if (one := _down(scene, of, tier, to, by_tier, ratings)) is not None]
        if found:
            best = min(found, key=lambda one: (one.p, -one.money.usd))
            yield _Down(of, tier, asked, replace(best, p=min(1.0, best.p * len(found))))


def _down(
    scene: Scene, of: Of, tier: int, to: int, by_tier: Mapping[int, _Asked], ratings: Mapping[Any, Share]
) -> Candidate | None:
    asked, there = by_tier[tier], by_tier[to]
    today, then = scene.price(tier, *of), scene.price(to, *of)
    new, old = ratings.get((*of, to), Share(0, 0)), ratings.get((*of, tier), Share(0, 0))
    if today is None or then is None or not new.n or not old.n:
        return None
    cost = today.of(asked.input_tokens, asked.output_tokens)
    escalated = Share(there.escalated, there.requests)
    saved, *ends = (
        cost - then.of(asked.input_tokens, asked.output_tokens) - share * cost
        for share in (escalated.value, *escalated.interval())
    )
    if saved < scene.least_usd:
        return None
    feature, query_type = of
    name = _name(of)
    return Candidate(
        id=f"feature_tier:{feature}:{query_type}:tier {tier}",
        kind="feature_tier",
        title=f"{name} goes to tier {tier}, and tier {to} answers it as well",
        advice=f"Send {name} to tier {to}",
        money=money(saved, scene.by_bucket(tier=tier, feature=feature), *ends),
        p=p_worse(new, old, MARGIN),
        figures={
            "requests": asked.requests,
            "tier": tier,
            "cheaper_tier": to,
            "cost_usd": cost,
            "judged": round(old.n),
            "judged_bad_share": old.value,
            "judged_on_cheaper_tier": round(new.n),
            "judged_bad_on_cheaper_tier_share": new.value,
            "escalated_from_cheaper_tier_share": escalated.value,
        },
        examples=Examples(f"{name} on tier {tier}", asked.last, feature=feature, query_type=query_type, tier=tier),
    )


def _name(of: Of) -> str:
    feature, query_type = of
    return f"{feature or 'what names no feature'} ({query_type or 'untyped'})"


async def _by_rule(scene: Scene, downs: Sequence[_Down]) -> Iterable[Candidate]:
    """Find out which of the requests were sent where they are by a rule, and take only those for certain."""
    promising = [down for down in downs if down.candidate.p <= _PROMISING]
    if not promising:
        return [down.candidate for down in downs]
    rarest = min(down.asked.requests for down in promising)
    span = max(scene.bucket, timedelta(days=math.ceil(_SAMPLE * scene.days / rarest)))
    until = max(down.asked.last for down in promising) + scene.bucket
    rows = await scene.window.rollup_rows(
        "finding_rules",
        since=second_of(max(scene.window.period.since, until - span)),
        until=second_of(until),
        features=[down.of[0] for down in promising],
        query_types=[down.of[1] for down in promising],
        tiers=[down.tier for down in promising],
    )
    by_place = {(*_of(row), row["tier"]): row for row in rows}
    return [_with_rule(down, by_place.get((*down.of, down.tier))) for down in downs]


def _with_rule(down: _Down, row: Row | None) -> Candidate:
    one = down.candidate
    if row is None or not row["by_rule"]:
        return replace(one, p=1.0)
    requests, by_rule, [rule, *_] = row["requests"], row["by_rule"], row["rules"]
    share = by_rule / requests
    of_those = (one.money.usd * share, one.money.low * share, one.money.high * share)
    return replace(
        one,
        p=max(one.p, p_sign(by_rule, requests)),
        advice=f"{one.advice}: change {rule}.",
        money=type(one.money)(*of_those),
        figures={**one.figures, "sent_by_rule_share": share, "looked_up": requests},
    )


def _ups(scene: Scene, of: Of, by_tier: Mapping[int, _Asked]) -> Iterator[Candidate]:
    """Yield where the first attempt is mostly lost: the next tier answers in the end, and both are paid."""
    feature, query_type = of
    for tier, asked in by_tier.items():
        low, high = scene.price(tier, *of), scene.price(tier + 1, *of)
        if low is None or high is None or tier + 1 not in scene.tiers:
            continue
        first, second = (price.of(asked.input_tokens, asked.output_tokens) for price in (low, high))
        escalated = Share(asked.escalated, asked.requests)
        saved, *ends = (first - (1 - share) * second for share in (escalated.value, *escalated.interval()))
        if saved < scene.least_usd:
            continue
        name = _name(of)
        yield Candidate(
            id=f"feature_tier:{feature}:{query_type}:from tier {tier}",
            kind="feature_tier",
            title=f"{name} begins on tier {tier}, and {escalated.value:.0%} of it is escalated",
            advice=f"Send {name} to tier {tier + 1} at once, by a rule of the routing policy.",
            money=money(saved, scene.by_bucket(tier=tier, feature=feature), *ends),
            p=p_not_above(escalated, 1 - first / second) if second else 1.0,
            figures={
                "requests": asked.requests,
                "tier": tier,
                "escalated_share": escalated.value,
                "worth_it_up_to_share": 1 - first / second if second else 0.0,
            },
            examples=Examples(
                f"answered on tier {tier + 1}", asked.last, feature=feature, query_type=query_type, tier=tier + 1
            ),
        )
