"""Thresholds for labelled requests by what a decision is expected to cost, a wrong answer included."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.config.settings import Settings
from streams.routing.request_classifier.model import LEVELS
from tierstream.client.request_file import InputError
from tierstream.training.call_prices import call_costs, rates_of
from tierstream.training.evaluation import Array, Ints
from tierstream.training.request_report import Figure, Labels, decide, mean
from topics.requests import Request

GRID: Final = tuple(step / 100 for step in range(5, 96))
"""The probabilities that are tried."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A way to decide and what it leads to.

    Attributes:
        name: Of it.
        thresholds: From which probability a request goes up, for each step; None: it looks at none.
        right: Share whose tier is acceptable.
        too_low: Share whose tier is below the lowest acceptable one: a wrong answer.
        too_high: The other mistakes.
        calls_usd_per_1000: What the calls of 1,000 such requests cost.
        expected_usd_per_1000: The same with the wrong answers.
    """

    name: str
    thresholds: tuple[float, ...] | None
    right: Figure | None
    too_low: Figure | None
    too_high: Figure | None
    calls_usd_per_1000: Figure | None
    expected_usd_per_1000: Figure | None


@dataclass(frozen=True, slots=True)
class Choice:
    """What is chosen, beside what it has to beat.

    Attributes:
        boundary: The one for all steps with the least expected cost.
        thresholds: The ones for each step.
        others: The settings' own boundary, everything on one tier, and an oracle that knows the labels.
    """

    boundary: Decided
    thresholds: Decided
    others: tuple[Decided, ...]


def costs_of_calls(settings: Settings, requests: Sequence[Request], answer_tokens: int) -> Array:
    """Price a call to the first model of each tier: (requests, levels), in US dollars.

    Raises:
        InputError: The settings have not the tiers of the labels, or a price is not known.
    """
    if settings.top_tier != LEVELS:
        raise InputError(
            f"costs of labelled requests need settings with {LEVELS} tiers, as labels have: these have "
            f"{settings.top_tier}"
        )
    rates = [rates_of(settings, tier.models[0].ref) for tier in settings.tiers]
    texts = ["\n".join(message.text for message in request.messages) for request in requests]
    return np.array(call_costs(rates, texts, answer_tokens), dtype=np.float64)


class ExpectedCosts:
    """What decisions on labelled requests cost, with a price for each wrong answer."""

    def __init__(self, labels: Labels, costs: Array, wrong_usd: float, weights: Array) -> None:
        """Take what is needed to judge decisions.

        Args:
            labels: What is right.
            costs: (requests, levels) Of a call, in US dollars.
            wrong_usd: Of a wrong answer.
            weights: (1 + draws, requests) See `draw_weights`.
        """
        self._labels = labels
        self._weights = weights
        self._calls = costs
        too_low = np.arange(1, LEVELS + 1) < labels.lowest[:, None]
        self._expected: Array = costs + too_low * wrong_usd

    def choose(self, needs: Array, own_boundary: float) -> Choice:
        """Choose what costs least; of equal ones the lowest, which is the most cautious.

        Args:
            needs: (requests, levels - 1) Probabilities of needing more than each tier.
            own_boundary: Of the settings, to compare with.
        """
        totals = self._totals(needs)
        both = int(totals.diagonal().argmin())
        first, second = np.unravel_index(totals.argmin(), totals.shape)
        boundary, thresholds = (GRID[both], GRID[both]), (GRID[int(first)], GRID[int(second)])
        own = (own_boundary,) * len(boundary)
        count = len(needs)
        others = [self._decided("settings' boundary", decide(needs, own), own)]
        others += [
            self._decided(f"all to tier {tier}", np.full(count, tier, dtype=np.intp)) for tier in range(1, LEVELS + 1)
        ]
        others.append(self._decided("oracle", self._labels.lowest))
        return Choice(
            self._decided("best boundary", decide(needs, boundary), boundary),
            self._decided("best thresholds", decide(needs, thresholds), thresholds),
            tuple(others),
        )

    def _totals(self, needs: Array) -> Array:
        """Return the mean expected cost of going up from these two probabilities: (grid, grid)."""
        first, second = (needs[:, step, None] >= np.array(GRID) for step in range(needs.shape[1]))
        low, middle, high = self._expected.T
        up_once = (first * (middle - low)[:, None]).mean(axis=0)
        up_twice = (first * (high - middle)[:, None]).T @ second / len(needs)
        # Rounded: what differs only by the order of a sum is equal.
        return np.asarray(np.round(low.mean() + up_once[:, None] + up_twice, 12))

    def _decided(self, name: str, tiers: Ints, thresholds: tuple[float, ...] | None = None) -> Decided:
        rows = np.arange(len(tiers))
        right, too_low, too_high = (mean(self._weights, found) for found in self._labels.judge(tiers))
        return Decided(
            name=name,
            thresholds=thresholds,
            right=right,
            too_low=too_low,
            too_high=too_high,
            calls_usd_per_1000=mean(self._weights, self._calls[rows, tiers - 1] * 1000),
            expected_usd_per_1000=mean(self._weights, self._expected[rows, tiers - 1] * 1000),
        )
