"""How often a judge looks at whose answers: more where they fail more, and never for more than its share of the spend.

Pure: it is told of answers and verdicts as they come, and says which rates follow. Counts fade, so that what a model
did long ago says little of what it does now.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from topics.learned import MOST_CELLS, JudgeRate, JudgeRates

_PRIOR_FAILS, _PRIOR_LOOKS = 1.0, 20.0
"""What is thought of a cell that nobody has looked at: one answer in twenty fails, and that is not known well."""
_Z: Final = 1.2816
"""The upper bound leaves out a tenth."""
_FADES_LOOKS: Final = 400.0
"""Looks at a cell after which an older one counts half."""
_FADES_ANSWERS: Final = 20_000.0
"""Answers of all cells after which an older one, and what it and its judges cost, counts half."""
_CAREFUL: Final = 0.9
"""Share of the budget that is planned: the draw of a sample may come out dearer."""
_UNSEEN_LOOKS: Final = 5.0
"""As many looks at the price of an answer stand for the judge's price, before it is known."""
_TINY: Final = 1e-12
_PLACES: Final = 5
_REBASE_AT: Final = 1e100

Cell = tuple[int, str, str]
"""Tier, `provider/model` and query type."""


@dataclass(frozen=True, slots=True)
class SamplingBounds:
    """What an operator allows.

    Attributes:
        sample_rate: Where nothing is known of a cell.
        min_rate: Where answers never fail, as far as the spend allows it.
        max_rate: However often they fail.
        max_spend_share: Of all spend, what judges may cost: 0 to below 1.
    """

    sample_rate: float
    min_rate: float
    max_rate: float
    max_spend_share: float


@dataclass(slots=True)
class _Counts:
    looks: float = 0.0
    fails: float = 0.0
    """Fade with the looks at the cell."""
    sampled: float = 0.0
    """Answers that a sample may be taken of, all but those on critical paths; fade with the answers of all cells."""
    judged: float = 0.0
    judge_usd: float = 0.0
    """Looks and what they cost; fade likewise."""


class JudgeSampling:
    """Learns the rates; holds at most `MOST_CELLS` cells, those that came last."""

    def __init__(self, bounds: SamplingBounds) -> None:
        self._bounds = bounds
        self._cells: OrderedDict[Cell, _Counts] = OrderedDict()
        self._weight = 1.0
        """Of what comes now: it grows, instead of all that came before being made smaller each time."""
        self._all = _Counts()
        self._answers = 0.0
        self._answer_usd = 0.0
        self._critical_usd = 0.0

    def observe_answer(self, tier: int, model: str, query_type: str, cost: Decimal | float) -> None:
        """Note an answer.

        Args:
            tier: Of the answer.
            model: `provider/model` that gave it.
            query_type: Of the request.
            cost: Of its call, in US dollars.
        """
        self._weight *= 2 ** (1 / _FADES_ANSWERS)
        self._cell((tier, model, query_type)).sampled += self._weight
        self._answers += self._weight
        self._answer_usd += self._weight * float(cost)
        if self._weight > _REBASE_AT:
            self._rebase()

    def observe_verdict(
        self,
        tier: int,
        model: str,
        query_type: str,
        failed: bool,  # noqa: FBT001 - one of five that a hop has
        cost: Decimal | float,
        *,
        critical: bool = False,
    ) -> None:
        """Note what a judge said of an answer.

        Args:
            tier: Of the answer.
            model: `provider/model` that gave it.
            query_type: Of the request.
            failed: Whether it failed.
            cost: Of the judge's call, in US dollars.
            critical: Whether the judge looked because of a rule: it will whatever the rates are.
        """
        cell, weight, usd = self._cell((tier, model, query_type)), self._weight, float(cost)
        fades = 2 ** (-1 / _FADES_LOOKS)
        cell.looks = cell.looks * fades + 1
        cell.fails = cell.fails * fades + failed
        for counts in (cell, self._all):
            counts.judged += weight
            counts.judge_usd += weight * usd
        if critical:
            cell.sampled = max(cell.sampled - weight, 0.0)
            self._critical_usd += weight * usd

    def rates(self, at: datetime) -> JudgeRates:
        """Say which rates follow; cells that nobody has looked at have the rate of all others.

        Args:
            at: The current moment, for the record.
        """
        wanted = {cell: self._wanted(counts) for cell, counts in self._cells.items() if counts.looks}
        cut = self._cut(wanted)
        because = f", cut to {cut:.0%} by the judges' share of the spend" if cut < 1 else ""
        return JudgeRates(
            others=_rounded(min(self._bounds.sample_rate, self._bounds.max_rate) * cut),
            reason=f"not looked at yet{because}",
            cells=tuple(self._rates(wanted, cut, because)),
            at=at,
        )

    def _rates(self, wanted: dict[Cell, float], cut: float, because: str) -> Iterator[JudgeRate]:
        for (tier, model, query_type), rate in wanted.items():
            counts = self._cells[tier, model, query_type]
            reason = f"{counts.fails:.0f} of {counts.looks:.0f} failed{because}"
            yield JudgeRate(tier=tier, model=model, query_type=query_type, rate=_rounded(rate * cut), reason=reason)

    def _wanted(self, counts: _Counts) -> float:
        """Return the rate without regard to money: as the share that may fail is to what is thought of any cell."""
        bounds = self._bounds
        share = upper_bound(counts.fails, counts.looks) / upper_bound(0, 0)
        return min(max(bounds.sample_rate * share, bounds.min_rate), bounds.max_rate)

    def _cut(self, wanted: dict[Cell, float]) -> float:
        """Return by which factor all rates are made smaller, so that judges keep to their share of the spend.

        Critical paths are paid first; what they leave is for samples.
        """
        others = min(self._bounds.sample_rate, self._bounds.max_rate)
        asked = sum(
            counts.sampled * wanted.get(cell, others) * self._judge_price(counts)
            for cell, counts in self._cells.items()
        )
        share = self._bounds.max_spend_share * _CAREFUL
        left = (share * (self._answer_usd + self._critical_usd) - self._critical_usd) / (1 - share)
        if self._critical_usd and left <= 0:
            return 0.0
        return 1.0 if asked <= max(left, _TINY * self._weight) else max(left, 0.0) / asked

    def _judge_price(self, counts: _Counts) -> float:
        """Return what a look at an answer of the cell costs in US dollars, or is thought to."""
        answer_usd = self._answer_usd / self._answers if self._answers else 0.0
        unseen = _UNSEEN_LOOKS * self._weight
        usual = (self._all.judge_usd + unseen * answer_usd) / (self._all.judged + unseen)
        return (counts.judge_usd + unseen * usual) / (counts.judged + unseen)

    def _cell(self, cell: Cell) -> _Counts:
        counts = self._cells.setdefault(cell, _Counts())
        self._cells.move_to_end(cell)
        if len(self._cells) > MOST_CELLS:
            self._cells.popitem(last=False)
        return counts

    def _rebase(self) -> None:
        """Make all weights small again before they leave what a float holds; nothing is changed by it."""
        for counts in (*self._cells.values(), self._all):
            counts.sampled /= self._weight
            counts.judged /= self._weight
            counts.judge_usd /= self._weight
        self._answers /= self._weight
        self._answer_usd /= self._weight
        self._critical_usd /= self._weight
        self._weight = 1.0


def upper_bound(fails: float, looks: float) -> float:
    """Return up to which share of the answers of a cell may fail, as far as its looks tell (Wilson's bound).

    Args:
        fails: Looks that failed.
        looks: All of them.
    """
    n = looks + _PRIOR_LOOKS
    share = (fails + _PRIOR_FAILS) / n
    square = _Z * _Z
    spread = _Z * math.sqrt(share * (1 - share) / n + square / (4 * n * n))
    return (share + square / (2 * n) + spread) / (1 + square / n)


def _rounded(rate: float) -> float:
    """Cut a rate to the places that records have; never up, for there are bounds."""
    return math.floor(rate * 10**_PLACES) / 10**_PLACES
