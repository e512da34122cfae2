"""Where a tier in between would pay, from what two tiers did. Pure.

Nobody has asked a model in between yet, so how good it would be is estimated. Of each kind of request (query type, and
how sure the router was that the lower tier would do) it is known, with an error, how often the lower and the upper tier
answer well. In terms of log odds, a model in between closes a part of the gap between them: which part is assumed, as
an interval that a trial narrows. Where the lower tier has failed already, the middle one is good as often as it would
be if it answered all well that the lower one answers well, which is the least.

An answer of the middle tier that is not good is paid for again above. So a request saves, on average, what the upper
tier costs times the share of good answers, less what the middle tier costs. That is not the whole price of bad answers:
some stay unseen, so a kind of request is moved only where the middle tier's share of good answers is not lower than the
upper one's by more than a margin.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analytics.leverage.quality import Evidence

CLOSES: Final = (0.5, 1.0)
"""Part of the gap, in log odds, that a model in between closes, unless it was measured."""
_DRAWS: Final = 4000
_SEED: Final = 14
_STRENGTH: Final = 4.0
"""How many answers what is known of other kinds of request counts for."""
_EDGE: Final = 0.005
_WORTH: Final = 0.05
"""Share of what the upper tier costs that has to be saved at least, or a tier more is not worth its keep."""
_INTERVAL: Final = (2.5, 97.5)
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flow:
    """Requests that the upper tier answered.

    Attributes:
        requests: How many.
        upper_usd: What its calls cost.
        middle_usd: What the same would cost in the middle.
    """

    requests: int
    upper_usd: Decimal
    middle_usd: Decimal


@dataclass(frozen=True, slots=True)
class Kind:
    """Requests that are alike.

    Attributes:
        query_type: Empty: not said.
        sure: How sure the router was that the lower tier would do, from 0 to 1; None: it did not say.
        lower: What is known of the lower tier's answers.
        upper: Of the upper one's.
        direct: Went to the upper tier at once.
        escalated: Went there after a bad answer of the lower one.
    """

    query_type: str
    sure: float | None
    lower: Evidence
    upper: Evidence
    direct: Flow
    escalated: Flow


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Part:
    """What the middle tier would do for the requests of one kind that come to it in one way.

    Attributes:
        kind: Which.
        is_escalated: Whether the lower tier has failed before.
        flow: Its requests.
        moves: Whether they should.
        good: Share of them that the middle tier would answer well.
        upper_good: That the upper tier answers well.
        saving: In US dollars.
    """

    kind: Kind
    is_escalated: bool
    flow: Flow
    moves: bool
    good: Estimate
    upper_good: float
    saving: Estimate


@dataclass(frozen=True, slots=True)
class Split:
    """The proposal.

    Attributes:
        parts: All, those that move first, by what they save.
        pays: Whether a tier in between does.
        reason: Why, or why not.
        moved: Requests that it would get.
        as_good: Share of the upper tier's requests that it would answer as well.
        saving: In US dollars, of all that moves.
    """

    parts: tuple[Part, ...]
    pays: bool
    reason: str
    moved: int
    as_good: Estimate
    saving: Estimate


def propose(kinds: Sequence[Kind], *, margin: float, closes: tuple[float, float] = CLOSES) -> Split:
    """Say which requests a tier in between should get, and what that saves.

    Args:
        kinds: All requests, each in one of them.
        margin: By how much the share of good answers may be lower.
        closes: Part of the gap in log odds that the model closes, from and to.
    """
    draw = np.random.default_rng(_SEED)
    closed = draw.uniform(*closes, _DRAWS)
    lower = _shares([kind.lower for kind in kinds], _expected(kinds), draw)
    upper = _shares([kind.upper for kind in kinds], [_pooled(kind.upper for kind in kinds)] * len(kinds), draw)
    found: list[tuple[Part, Floats]] = []
    for kind, low, high in zip(kinds, lower, upper, strict=True):
        least = np.minimum(low, high)
        middle = _odds_to_share(_log_odds(least) + closed * (_log_odds(high) - _log_odds(least)))
        for flow, is_escalated in ((kind.direct, False), (kind.escalated, True)):
            if not flow.requests:
                continue
            good, best = (_after_failure(least, share) if is_escalated else share for share in (middle, high))
            seen = _happening(good, flow.requests, draw)
            found.append(_part(kind, flow, (good, seen), best, margin, is_escalated=is_escalated))
    return _total(found)


def _part(
    kind: Kind, flow: Flow, goods: tuple[Floats, Floats], best: Floats, margin: float, *, is_escalated: bool
) -> tuple[Part, Floats]:
    good, seen = goods
    saved = float(flow.upper_usd) * seen - float(flow.middle_usd)
    estimate = _estimate(saved)
    is_good = bool(np.mean(best - good) <= margin)
    part = Part(kind, is_escalated, flow, is_good and estimate.low > 0, _estimate(good), float(np.mean(best)), estimate)
    return part, saved


def _total(found: Sequence[tuple[Part, Floats]]) -> Split:
    moved = [(part, saved) for part, saved in found if part.moves]
    ordered = sorted((part for part, _ in found), key=lambda part: (not part.moves, -part.saving.value))
    every = sum(part.flow.requests for part, _ in found)
    nothing = np.zeros(_DRAWS)
    saving = _estimate(sum((saved for _, saved in moved), start=nothing))
    requests = sum(part.flow.requests for part, _ in moved)
    ends = [sum(getattr(part.good, end) * part.flow.requests for part, _ in moved) for end in ("value", "low", "high")]
    as_good = Estimate(*(end / every if every else 0.0 for end in ends))
    above = float(sum((part.flow.upper_usd for part, _ in found), start=Decimal(0)))
    pays = bool(moved) and saving.low > _WORTH * above
    return Split(tuple(ordered), pays, _reason(ordered, pays=pays), requests, as_good, saving)


def _reason(parts: Sequence[Part], *, pays: bool) -> str:
    if pays:
        return "what moves saves more than is paid again above, with the whole interval"
    if not parts:
        return "the upper tier answered nothing"
    if any(part.moves for part in parts):
        return f"it does not surely save {_WORTH:.0%} of what the upper tier costs"
    if all(part.saving.low <= 0 for part in parts):
        return "what the middle tier costs, and is paid again above, is not surely less than what is saved"
    return "where it would save, its answers would be worse by more than the margin"


def _shares(evidence: Sequence[Evidence], expected: Sequence[float], draw: np.random.Generator) -> list[Floats]:
    """Draw shares of good answers: what was seen of a kind, and a little of what is expected of it."""
    return [
        np.clip(
            draw.beta(
                (one.good or 0.0) * one.looks + _STRENGTH * prior,
                (1 - (one.good or 0.0)) * one.looks + _STRENGTH * (1 - prior),
                _DRAWS,
            ),
            _EDGE,
            1 - _EDGE,
        )
        for one, prior in zip(evidence, expected, strict=True)
    ]


def _expected(kinds: Sequence[Kind]) -> list[float]:
    """Say how good the lower tier should be on each kind, by how sure the router was and how it was right elsewhere."""
    pooled = _pooled(kind.lower for kind in kinds)
    seen = [(kind, kind.lower.looks) for kind in kinds if kind.lower.looks and kind.sure is not None]
    if not seen:
        return [pooled if kind.sure is None else _clipped(kind.sure) for kind in kinds]
    x = np.array([_log_odds(_clipped(kind.sure or 0.0)) for kind, _ in seen])
    y = np.array([_log_odds(((kind.lower.good or 0.0) * n + pooled) / (n + 1)) for kind, n in seen])
    weights = np.array([n for _, n in seen])
    middle_x, middle_y = np.average(x, weights=weights), np.average(y, weights=weights)
    spread = float(np.average((x - middle_x) ** 2, weights=weights))
    slope = float(np.average((x - middle_x) * (y - middle_y), weights=weights)) / spread if spread else 1.0
    slope = min(1.0, max(0.0, slope))
    return [
        pooled
        if kind.sure is None
        else _clipped(float(_odds_to_share(middle_y + slope * (_log_odds(_clipped(kind.sure)) - middle_x))))
        for kind in kinds
    ]


def _pooled(evidence: Iterable[Evidence]) -> float:
    total = sum(evidence, start=Evidence())
    return _clipped(total.good if total.good is not None else 0.5)


def _after_failure(lower: Floats, other: Floats) -> Floats:
    return np.clip((other - lower) / (1 - lower), 0.0, 1.0)


def _happening(good: Floats, requests: int, draw: np.random.Generator) -> Floats:
    """Draw what becomes of so many requests; as they cost unlike sums, they even out as half as many would."""
    tries = max(1, requests // 2)
    return draw.binomial(tries, good) / tries


def _estimate(draws: Floats) -> Estimate:
    low, high = np.percentile(draws, _INTERVAL)
    mean = float(np.mean(draws))
    # Of what is nearly always the same, the mean may lie beyond.
    return Estimate(mean, min(mean, float(low)), max(mean, float(high)))


def _clipped(share: float) -> float:
    return min(1 - _EDGE, max(_EDGE, share))


def _log_odds(share: Floats | float) -> Floats:
    odds: Floats = np.log(np.asarray(share) / (1 - np.asarray(share)))
    return odds


def _odds_to_share(odds: Floats | float) -> Floats:
    share: Floats = 1 / (1 + np.exp(-np.asarray(odds)))
    return share
