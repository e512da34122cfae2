"""What votes on unsure requests would bring, for voters who are right so often."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from streams.routing.request_classifier.model import LEVELS
from tierstream.training.evaluation import Array, Ints
from tierstream.training.request_report import Labels, decide

RIGHT: Final = (0.70, 0.85, 0.95)
"""How often the voters name the tier of the label."""
ASKED: Final = (0.0, 0.05, 0.10, 0.15, 0.20, 0.30, 0.50, 1.0)
"""Largest shares of the requests that are asked about."""
_FURTHEST: Final = 1
"""Most tiers that a vote moves a request, and that a wrong one is off."""


@dataclass(frozen=True, slots=True)
class Voted:
    """What comes of it.

    Attributes:
        voter: How often the voter is right.
        share: Largest share of the requests to ask about.
        half_width: How far from the threshold a probability that is asked about may lie, both as `needs` has it;
            None: nothing is asked.
        votes: How many requests were asked about.
        right: Share whose tier is acceptable after the votes.
        too_low: Share whose tier is below the lowest acceptable one.
        too_high: The other mistakes.
        usd_per_1000: What the calls of 1,000 such requests cost, without the votes.
    """

    voter: float
    share: float
    half_width: float | None
    votes: int
    right: float
    too_low: float
    too_high: float
    usd_per_1000: float


def simulate_votes(labels: Labels, needs: Array, thresholds: ArrayLike, costs: Array, seed: int) -> Iterator[Voted]:
    """Ask about the requests nearest to a threshold, and let each vote move its draft by at most one tier.

    Args:
        labels: What is right.
        needs: (requests, levels - 1) Probabilities of needing more than each tier.
        thresholds: As for `decide`.
        costs: (requests, levels) Of a call, in US dollars.
        seed: Of the votes; the same request gets the same one whatever share is asked.
    """
    drafts = decide(needs, thresholds)
    off = _off(needs, thresholds, drafts)
    for voter in RIGHT:
        votes = _votes(labels.tier, voter, seed)
        moved = np.clip(votes, drafts - _FURTHEST, drafts + _FURTHEST)
        for share in ASKED:
            asked = _nearest(off, share)
            tiers = np.where(asked, moved, drafts)
            right, too_low, too_high = (float(found.mean()) for found in labels.judge(tiers))
            yield Voted(
                voter=voter,
                share=share,
                half_width=float(off[asked].max()) if asked.any() else None,
                votes=int(asked.sum()),
                right=right,
                too_low=too_low,
                too_high=too_high,
                usd_per_1000=float(costs[np.arange(len(tiers)), tiers - 1].mean()) * 1000,
            )


def _off(needs: Array, thresholds: ArrayLike, drafts: Ints) -> Array:
    """Return how near each request is to going one tier up or down from its draft: (requests,)."""
    steps = np.arange(1, LEVELS)
    beside = (steps >= drafts[:, None] - 1) & (steps <= drafts[:, None])
    return np.asarray(np.where(beside, np.abs(needs - np.asarray(thresholds)), np.inf).min(axis=1))


def _nearest(off: Array, share: float) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Choose all that lie within the widest band that no more than the share lie in: (requests,)."""
    most = int(share * len(off) + 1e-9)
    return np.asarray(off < np.sort(off)[most]) if most < len(off) else np.ones(len(off), dtype=np.bool_)


def _votes(tiers: Ints, right: float, seed: int) -> Ints:
    """Vote for the true tier so often, else for one beside it."""
    generator = np.random.default_rng(seed)
    wrong = generator.random(len(tiers)) >= right
    beside = tiers + np.where(generator.random(len(tiers)) < 0.5, -1, 1)  # noqa: PLR2004 - either is as likely
    beside = np.where(beside < 1, 2, np.where(beside > LEVELS, LEVELS - 1, beside))
    return np.where(wrong, beside, tiers)
