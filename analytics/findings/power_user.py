"""A user who asks a dear tier nearly the same again and again, where a cheaper tier answers that as well.

What is nearly the same question is as hard whoever asks it, and wherever it is sent: so the answers of both tiers to it
can be compared, whatever the classifier thinks of users.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from analytics.bound_times import second_of
from analytics.findings.model import SAME_QUESTION_BITS, Candidate, Examples
from analytics.findings.scene import Row, Scene, money
from analytics.findings.statistics import Share, p_worse, rated

MARGIN: Final = 0.05
"""By how much the share of bad answers may be higher on a cheaper tier, for it to answer as well."""
_TIER_SHARE: Final = 0.05
"""Of the cost of a tier: whose questions cost less of it is no power user."""
_QUESTIONS: Final = 12
"""How many of all users are looked at, dearest first."""
_SAMPLE: Final = 6_000
"""Requests of such users whose answers are looked at, about, with those of all others who ask the same meanwhile."""

Group = tuple[str, str, str]
"""User, feature and query type."""


async def power_users(scene: Scene) -> Sequence[Candidate]:
    """Look for users whose repeated questions could go to a cheaper tier."""
    users = await scene.window.rollup_rows("finding_users", least=scene.least_usd)
    least = {tier: _TIER_SHARE * sum(scene.by_bucket(tier=tier)) for tier in scene.tiers}
    names = sorted({row["user_id"] for row in users if row["usd"] >= least.get(row["tier"], 0.0)})
    asked = await scene.window.rollup_rows("finding_questions", users=names) if names else []
    groups = _groups(least, asked)
    if not groups:
        return []
    places = [(place, row) for place, rows in enumerate(groups.values(), 1) for row in rows]
    alike_to = {
        "signatures": [row["signature"] for _, row in places],
        "groups": [place for place, _ in places],
        "features": [feature for _, feature, _ in groups],
        "query_types": [query_type for _, _, query_type in groups],
        "bits": SAME_QUESTION_BITS,
    }
    alike = await scene.window.rollup_rows("finding_alike", owners=[owner for owner, _, _ in groups], **alike_to)
    answers = await scene.window.rollup_rows("finding_answers", **alike_to, **_latest(scene, alike))
    found: list[Candidate] = []
    for place, (group, questions) in enumerate(groups.items(), 1):
        of_group = [[row for row in rows if row["asking"] == place] for rows in (alike, answers)]
        found += _Look(scene, group, questions[0]["signature"], *of_group).candidates()
    return found


def _groups(least: Mapping[int, float], asked: Sequence[Row]) -> Mapping[Group, Sequence[Row]]:
    """Put questions of the same user, feature and query type together, without those that are nearly another one.

    What is asked in exactly the same words is a part of what is asked in nearly the same; so less of it may do.
    """
    groups: dict[Group, list[Row]] = defaultdict(list)
    dear = [row for row in asked if row["usd"] >= least.get(row["tier"], 0.0) / 4]
    for row in dear[:_QUESTIONS]:
        group = groups[row["user_id"], row["feature"], row["query_type"]]
        if not any((row["signature"] ^ other["signature"]).bit_count() <= SAME_QUESTION_BITS for other in group):
            group.append(row)
    return groups


def _latest(scene: Scene, alike: Sequence[Row]) -> Mapping[str, str]:
    """Return the bounds of the latest part of the period in which such users asked enough."""
    requests = max(1, sum(row["requests"] for row in alike))
    until = max((row["bucket"] for row in scene.spend), default=scene.window.period.since) + scene.bucket
    since = until - timedelta(days=math.ceil(scene.days * min(1.0, _SAMPLE / requests)))
    return {"since": second_of(since), "until": second_of(until)}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Requests of the user that ask nearly the same, on one tier."""

    requests: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class _Look:
    """At one user's questions of one feature and query type."""

    scene: Scene
    group: Group
    signature: int
    alike: Sequence[Row]
    answers: Sequence[Row]

    def candidates(self) -> Iterator[Candidate]:
        for tier in self.scene.tiers[1:]:
            cheaper = [to for to in self.scene.tiers if to < tier]
            found = [one for to in cheaper if (one := self._candidate(tier, to, len(cheaper))) is not None]
            if found:
                yield min(found, key=lambda one: (one.p, -one.money.usd))

    def _candidate(self, tier: int, to: int, looks: int) -> Candidate | None:
        user, feature, query_type = self.group
        scene = self.scene
        own = self._own(tier)
        today, then = scene.price(tier, feature, query_type), scene.price(to, feature, query_type)
        new, old, escalated = self._rated(to), self._rated(tier), self._failed(to)
        if not own.requests or today is None or then is None or not new.n or not old.n:
            return None
        cost = today.of(own.input_tokens, own.output_tokens)
        saved, *ends = (
            cost - then.of(own.input_tokens, own.output_tokens) - share * cost
            for share in (escalated.value, *escalated.interval())
        )
        of_tier = sum(scene.by_bucket(tier=tier)) or cost
        if saved < scene.least_usd or cost < _TIER_SHARE * of_tier:
            return None
        by_day = self._by_day(tier)
        return Candidate(
            id=f"power_user:{user}:{feature}:{query_type}:tier {tier}",
            kind="power_user",
            title=f"{user} asks tier {tier} nearly the same {own.requests:,} times, which tier {to} answers as well",
            advice=f"Send {query_type or 'untyped'} requests of {user} in {feature or 'no feature'} to tier {to}, by a "
            "rule of the routing policy.",
            money=money(saved, list(by_day.values()), *ends),
            p=min(1.0, looks * p_worse(new, old, MARGIN)),
            figures={
                "requests": own.requests,
                "tier": tier,
                "cheaper_tier": to,
                "tier_cost_share": cost / of_tier,
                "cost_usd": cost,
                "judged": round(old.n),
                "judged_bad_share": old.value,
                "judged_on_cheaper_tier": round(new.n),
                "judged_bad_on_cheaper_tier_share": new.value,
                "escalated_from_cheaper_tier_share": escalated.value,
            },
            examples=Examples(
                f"nearly the same question, on tier {tier}",
                max(day for day, tokens in by_day.items() if tokens),
                user_id=user,
                feature=feature,
                query_type=query_type,
                tier=tier,
                signature=self.signature,
            ),
        )

    def _rated(self, tier: int) -> Share:
        columns = ("answers", "failed_checks", "judged", "judged_bad")
        rows = [row for row in self.answers if row["tier"] == tier]
        return rated(*(sum(row[name] for row in rows) for name in columns))

    def _failed(self, tier: int) -> Share:
        rows = [row for row in self.answers if row["tier"] == tier]
        return Share(sum(row["failed_checks"] + row["judged_bad"] for row in rows), sum(row["answers"] for row in rows))

    def _own(self, tier: int) -> _Asked:
        rows = [row for row in self.alike if row["tier"] == tier]
        return _Asked(*(sum(row[name] for row in rows) for name in _Asked.__slots__))

    def _by_day(self, tier: int) -> Mapping[datetime, float]:
        days: dict[datetime, float] = {bucket.replace(hour=0): 0.0 for bucket in self.scene.buckets}
        for row in self.alike:
            if row["tier"] == tier:
                days[row["day"]] = days.get(row["day"], 0.0) + row["input_tokens"] + row["output_tokens"]
        return days
