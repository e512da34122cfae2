"""The difference of what was paid in two periods, split into effects. Pure, in Decimal.

What was paid for one kind of tokens (fresh input, cached, written to a cache, output) of one model in one cell is a
product:

    requests of the feature and query type                                  volume
    x escalated calls a request (1 for other calls)                         escalations
    x the model's share of the calls                                        mix of models
    x tokens a request in all its calls (a call, of escalated ones)         tokens a request
    x the kind's share of the input (1 for output)                          caching
    x what a token costs                                                    price

Each product's difference is split by `parts_of_change`, and the effects are sums of those parts, so that they add up
by whatever the cells are added up by. A factor that nothing was measured of in one period, such as what a new model
cost before, is taken as it is in the other one: another factor makes its product 0 there, and gets the difference.
What a model costs is looked for among its other calls of the period first.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Final

from analytics.change.measured import KINDS, NOTHING, OUTPUT, Cell, Measured, Paid, Segment
from analytics.change.rounding import rounded_to
from analytics.change.shapley import EXACT, parts_of_change

STEP: Final = Decimal("1E-12")
"""What money is kept to, in US dollars."""
_UNMETERED: Final = "unmetered"
_ONE: Final = Decimal(1)


class Effect(StrEnum):
    """What a cost changes by."""

    VOLUME = "volume"
    """More or fewer requests, each feature and query type for itself."""
    TOKENS = "tokens"
    """Tokens a request: longer input and output, and more calls, those of judges, votes and comparisons too."""
    MIX = "mix"
    """Which models get the calls."""
    ESCALATIONS = "escalations"
    """How many calls a request are of tasks that were escalated."""
    CACHING = "caching"
    """Which share of the input comes from a cache, or is written to one."""
    PRICE = "price"
    """What a token of its kind costs at its model."""


_ORDER: Final = (Effect.VOLUME, Effect.ESCALATIONS, Effect.MIX, Effect.TOKENS, Effect.CACHING, Effect.PRICE)
"""Of the factors in a product."""


@dataclass(frozen=True, slots=True)
class Changed:
    """How the cost of some calls changed.

    Attributes:
        before_usd: What was paid for them in the earlier period.
        after_usd: In the later one.
        effects: Parts of the difference, which they add up to exactly.
    """

    before_usd: Decimal
    after_usd: Decimal
    effects: Mapping[Effect, Decimal]

    @property
    def difference_usd(self) -> Decimal:
        """By how much more was paid."""
        return self.after_usd - self.before_usd

    def __add__(self, other: "Changed") -> "Changed":
        effects = {effect: self.effects[effect] + other.effects[effect] for effect in Effect}
        return Changed(self.before_usd + other.before_usd, self.after_usd + other.after_usd, effects)


UNCHANGED: Final = Changed(Decimal(0), Decimal(0), dict.fromkeys(Effect, Decimal(0)))


def decomposed(before: Measured, after: Measured) -> dict[Cell, Changed]:
    """Split the difference of every cell of two periods."""
    with localcontext(EXACT):
        called = _called_instead(before, after)
        sides = [_Side(before, called), _Side(after, called)]
        return {cell: _changed(cell, sides) for cell in dict.fromkeys((*before.paid, *after.paid))}


def added_up(changes: Mapping[Cell, Changed], key: Callable[[Cell], str]) -> dict[str, Changed]:
    """Add the changes of cells up by whatever `key` makes of a cell."""
    with localcontext(EXACT):
        sums: dict[str, Changed] = {}
        for cell, changed in changes.items():
            name = key(cell)
            sums[name] = sums.get(name, UNCHANGED) + changed
        return sums


class _Side:
    """One of the two periods, in sums that factors are quotients of."""

    def __init__(self, measured: Measured, called_instead: set[Segment]) -> None:
        self._paid = measured.paid
        self._of_segments: dict[Segment, int] = defaultdict(int)
        self._of_groups: dict[tuple[str, str, str, bool], int] = defaultdict(int)
        tokens: dict[tuple[str, str], int] = defaultdict(int)
        costs: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
        for cell, paid in measured.paid.items():
            self._of_groups[cell.group] += paid.calls
            if cell.segment in called_instead:
                self._of_segments[cell.segment] += paid.calls
            for kind in KINDS:
                tokens[cell.ref, kind] += paid.tokens[kind]
                costs[cell.ref, kind] += paid.costs[kind]
        for segment, requests in measured.requests.items():
            if segment not in called_instead:
                self._of_segments[segment] = requests
        self._prices = {place: costs[place] / n for place, n in tokens.items() if n}

    def paid(self, cell: Cell) -> Paid:
        return self._paid.get(cell, NOTHING)

    def of_all(self, cell: Cell, paid: Paid) -> Sequence[Decimal | None]:
        """Return what the factors of every kind of tokens are made of; None: nothing was measured of it.

        Requests, calls of the group a request, and the model's share of these.
        """
        requests, calls = self._of_segments[cell.segment], self._of_groups[cell.group]
        return Decimal(requests), _quotient(calls, requests), _quotient(paid.calls, calls)

    def of_kind(self, cell: Cell, paid: Paid, kind: str) -> Sequence[Decimal | None]:
        """Return the same of one kind: tokens a call, the kind's share of the tokens, and what one costs."""
        if kind == _UNMETERED:
            return _ONE, _ONE, paid.unmetered_usd / paid.calls if paid.calls else None
        tokens = paid.tokens[kind]
        price = paid.costs[kind] / tokens if tokens else self._prices.get((cell.ref, kind))
        if kind == OUTPUT:
            return _quotient(tokens, paid.calls), _ONE, price
        return _quotient(paid.input_tokens, paid.calls), _quotient(tokens, paid.input_tokens), price


def _changed(cell: Cell, sides: Sequence[_Side]) -> Changed:
    paid = [side.paid(cell) for side in sides]
    of_all = [side.of_all(cell, one) for side, one in zip(sides, paid, strict=True)]
    effects = dict.fromkeys(Effect, Decimal(0))
    for kind in (*KINDS, _UNMETERED):
        if not any(one.unmetered_usd if kind == _UNMETERED else one.costs[kind] for one in paid):
            continue
        was, now = (
            (*all_kinds, *side.of_kind(cell, one, kind))
            for all_kinds, side, one in zip(of_all, sides, paid, strict=True)
        )
        pairs = list(map(_both, was, now))
        parts = parts_of_change(*(_factors(measures, cell) for measures in zip(*pairs, strict=True)))
        for effect, part in zip(_ORDER, parts, strict=True):
            effects[effect] += part
    before, after = (one.cost_usd for one in paid)
    return Changed(before, after, rounded_to(effects, after - before, STEP))


def _factors(measures: Sequence[Decimal], cell: Cell) -> Sequence[Decimal]:
    """Return the factors in the order of `_ORDER`."""
    requests, frequency, share, length, part, price = measures
    if cell.escalated:
        return requests, frequency, share, length, part, price
    return requests, _ONE, share, frequency * length, part, price


def _both(was: Decimal | None, now: Decimal | None) -> tuple[Decimal, Decimal]:
    known = was if was is not None else now
    known = known if known is not None else Decimal(0)
    return (known if was is None else was), (known if now is None else now)


def _called_instead(before: Measured, after: Measured) -> set[Segment]:
    """Return the segments of which calls were paid in a period that has no result of them: calls are their volume."""
    missing = set()
    for period in (before, after):
        for cell, paid in period.paid.items():
            if paid.calls and not period.requests.get(cell.segment):
                missing.add(cell.segment)
    return missing


def _quotient(part: int, whole: int) -> Decimal | None:
    return Decimal(part) / whole if whole else None
