"""What requests are expected to cost under another policy, and how sure that is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tierstream.replay.answers import GROUPS, Answers, Names, Subjects
from tierstream.replay.decide import Replayed
from tierstream.replay.evidence import Evidence, Figures
from tierstream.replay.journeys import Course, Journeys
from tierstream.replay.plan import Plan
from tierstream.replay.record import RecordedRequest, Visit
from tierstream.replay.regression import Flags, Floats, Ints

_Z: Final = 1.959964
_WORDINESS: Final = 0.5
"""Of the differences in length between models, what may be theirs and not those of their questions."""
_CLASSIFY: Final = "classify"


@dataclass(frozen=True, slots=True)
class Spread:
    """An expected figure, and the interval that it lies in with a probability of 95 %, as far as the record tells."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, deviation: float, *, lowest: float = 0.0) -> "Spread":
        """Make a symmetric interval, cut off at the lowest possible value."""
        return cls(value, max(value - _Z * deviation, lowest), value + _Z * deviation)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is expected of all requests; arrays have a row for each.

    Attributes:
        recorded_usd: What each cost.
        expected_usd: What it is expected to cost.
        latency_ms: What it took, and, for those that go another way, a draw of what it would.
        leaves: Whether it goes as it went.
        extrapolated: Whether hardly any of its like was answered so.
        usd: Of all together.
        first_fails: Of the requests, the share whose first answer is found bad.
        ends_badly: And of those without a good answer.
        is_wrong: And of those with a bad one that nobody looked at; None where too few were looked at to tell.
        was: The same three on record.
    """

    recorded_usd: Floats
    expected_usd: Floats
    latency_ms: Floats
    leaves: Flags
    extrapolated: Flags
    usd: Spread
    first_fails: Spread
    ends_badly: Spread
    is_wrong: Spread | None
    was: tuple[float, float, float | None]


def estimate(
    replayed: Sequence[Replayed],
    plan: Plan,
    tokenizers: dict[str, float],
    on_progress: Callable[[float], None] = lambda _: None,
) -> Estimate:
    """Say what requests are expected to cost, to take and to be worth under another policy.

    A request that goes as it went costs what it cost, at the policy's prices. For others each step counts by the record
    of the request itself where it was there, and else by that of its like. An interval has three parts: what leaving
    out a twentieth of the record changes (a jackknife over groups of requests), what chance does with each request, and
    for the cost whether a model that seems wordy is.

    Args:
        replayed: Requests that were decided again; at least one.
        plan: What the policy changes.
        tokenizers: Tokens of the same texts by tokenizer.
        on_progress: Called with the share that is done.
    """
    visits = [one.record.visits() for one in replayed]
    tiers = plan.tiers(visits)
    names = Names.of(replayed, (model.ref for tier in tiers for model in tier.models))
    recorded_tiers = max([plan.base.top_tier, *(visit.tier for found in visits for visit in found)])
    subjects = Subjects.of(replayed, names, recorded_tiers)
    answers = Answers.of(visits, [one.record.said for one in replayed], names)
    evidence = Evidence(names, subjects, answers, recorded_tiers, _open_to_samples(replayed, answers, plan))
    on_progress(0.2)

    leaves = np.array([plan.leaves(one, found) for one, found in zip(replayed, visits, strict=True)])
    moved = np.flatnonzero(~leaves)
    journeys = Journeys(
        plan,
        tiers,
        [replayed[n] for n in moved.tolist()],
        [visits[n] for n in moved.tolist()],
        subjects.take(moved),
        evidence,
        tokenizers,
    )
    on_progress(0.4)
    whole = evidence.fit()
    course, published = journeys.course(whole), _Published.of(visits, replayed, names)
    totals = _totals(course, published, whole, subjects, leaves)
    left_out = []
    # Where nobody moves there is nothing to be unsure of.
    for group in range(GROUPS if len(moved) else 1):
        figures = evidence.fit(group) if len(moved) else whole
        left_out.append(_totals(journeys.course(figures), published, figures, subjects, leaves))
        on_progress(0.4 + 0.6 * (group + 1) / GROUPS)
    deviation = np.sqrt((GROUPS - 1) / GROUPS * ((np.array(left_out) - np.mean(left_out, axis=0)) ** 2).sum(axis=0))
    expected = _expected(replayed, plan, leaves, moved, course)
    wordy = journeys.course(replace(whole, wordiness=_WORDINESS)).usd.sum() - course.usd.sum()
    parts = (deviation[0], np.sqrt(course.variance.sum()), wordy / _Z)
    usd = Spread.of(float(expected.sum()), float(np.linalg.norm(parts)))
    size = len(replayed)
    chance = [np.sqrt((p * (1 - p)).sum()) for p in (course.first_fails, course.ends_badly)]
    was = _was(replayed, visits, whole, subjects, published)
    first, badly = (
        Spread.of((kept + total) / size, float(np.hypot(deviation[n], chance[n - 1])) / size)
        for n, kept, total in (
            (1, _kept(_first_failed(visits), leaves), totals[1]),
            (2, _kept(_badly(replayed), leaves), totals[2]),
        )
    )
    wrong = Spread.of(totals[3] / size, float(deviation[3]) / size) if whole.judges_quality else None
    extrapolated = np.zeros(size, dtype=bool)
    extrapolated[moved] = journeys.extrapolated
    return Estimate(
        recorded_usd=np.array([float(one.record.cost_usd) for one in replayed]),
        expected_usd=expected,
        latency_ms=_latency(replayed, moved, journeys, whole),
        leaves=leaves,
        extrapolated=extrapolated,
        usd=usd,
        first_fails=first,
        ends_badly=badly,
        is_wrong=wrong,
        was=was,
    )


@dataclass(frozen=True, slots=True)
class _Published:
    """The answers that went out, of which it is to be said how many are bad; -1: there was none."""

    request: Ints
    tier: Ints
    escalated: Ints
    model: Ints
    known: Floats
    """1: found good; 0: found bad; nan: nobody looked."""

    @classmethod
    def of(cls, visits: Sequence[Sequence[Visit]], replayed: Sequence[Replayed], names: Names) -> "_Published":
        numbers = {name: number for number, name in enumerate(names.models)}
        rows = []
        for number, (one, found) in enumerate(zip(replayed, visits, strict=True)):
            last = found[-1] if found else None
            if last is None or last.answer is None or not one.record.ended_well:
                continue
            said = one.record.said.get(last.tier)
            known = float(last.verdict) if last.verdict is not None else np.nan if said is None else said
            rows.append((number, last.tier - 1, int(len(found) > 1), numbers[last.answer.ref], known))
        columns = np.array(rows, dtype=np.float64).reshape(len(rows), 5).T
        request, tier, escalated, model = (column.astype(np.int64) for column in columns[:4])
        return cls(request, tier, escalated, model, columns[4])

    def wrong(self, figures: Figures, subjects: Subjects) -> Floats:
        """Return how likely each is bad, with nobody having looked at it."""
        bad = figures.found_bad(subjects.take(self.request), self.tier, self.escalated, self.model)
        return np.where(np.isnan(self.known), bad, 1 - self.known)


def _totals(
    course: Course,
    published: _Published,
    figures: Figures,
    subjects: Subjects,
    leaves: Flags,
) -> tuple[float, float, float, float]:
    """Sum what depends on figures: dollars, first failures, bad ends of moved requests; wrong answers of all."""
    kept = published.wrong(figures, subjects)[leaves[published.request]] if len(published.request) else np.zeros(0)
    sums = (course.usd, course.first_fails, course.ends_badly)
    usd, first, badly = (float(values.sum()) for values in sums)
    return usd, first, badly, float(course.is_wrong.sum() + kept.sum())


def _expected(
    replayed: Sequence[Replayed],
    plan: Plan,
    leaves: Flags,
    moved: Ints,
    course: Course,
) -> Floats:
    """Return the dollars of each request: its own calls at the prices of the policy, or what its journey costs."""
    expected = np.zeros(len(replayed))
    asked = [usd for one in replayed if (usd := _votes_usd(one.record, plan)) > 0]
    usual = sum(asked) / len(asked) if asked else 0.0
    for number in np.flatnonzero(leaves).tolist():
        record = replayed[number].record
        expected[number] = sum(plan.cost(call, record.asked_ms) for call in record.calls)
    expected[moved] = course.usd
    for number in moved.tolist():
        one = replayed[number]
        if one.then.asks:
            expected[number] += usual if one.then.is_voteless else _votes_usd(one.record, plan)
    return expected


def _votes_usd(record: RecordedRequest, plan: Plan) -> float:
    return sum(plan.cost(call, record.asked_ms) for call in record.calls if call.purpose == _CLASSIFY)


def _open_to_samples(replayed: Sequence[Replayed], answers: Answers, plan: Plan) -> Floats:
    """Say which answers only a sample would have had a judge look at."""
    decisions = [one.again.decision for one in replayed]
    must = np.array([bool(one and one.validate_answer) for one in decisions])[answers.request]
    ceiling = np.array([one.ceiling - 1 if one else 0 for one in decisions])[answers.request]
    must &= (answers.tier < ceiling) | plan.base.validation.judge_top_tier
    found: Floats = ((answers.failed == 0) & ~must).astype(np.float64)
    return found


def _latency(replayed: Sequence[Replayed], moved: Ints, journeys: Journeys, figures: Figures) -> Floats:
    found = np.array([one.record.latency_ms for one in replayed])
    own = np.array([one.record.own_ms for one in replayed])
    # The same draw every time.
    drawn = journeys.provider_ms(figures, np.random.default_rng(0))
    found[moved] = own[moved] + drawn
    found[moved[journeys.start < 0]] = 0.0
    return found


def _first_failed(visits: Sequence[Sequence[Visit]]) -> Floats:
    answered = [[visit for visit in found if visit.answer is not None] for found in visits]
    return np.array([float(bool(found) and found[0].failed) for found in answered])


def _badly(replayed: Sequence[Replayed]) -> Floats:
    return np.array([float(not one.record.ended_well) for one in replayed])


def _kept(values: Floats, leaves: Flags) -> float:
    return float(values[leaves].sum())


def _was(
    replayed: Sequence[Replayed],
    visits: Sequence[Sequence[Visit]],
    figures: Figures,
    subjects: Subjects,
    published: _Published,
) -> tuple[float, float, float | None]:
    size = len(replayed)
    wrong = float(published.wrong(figures, subjects).sum()) / size if figures.judges_quality else None
    return float(_first_failed(visits).sum()) / size, float(_badly(replayed).sum()) / size, wrong
