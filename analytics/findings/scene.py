"""What all kinds of findings read of a window: what was spent, day by day, and what a token cost where."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple

from analytics.bound_times import second_of
from analytics.findings.model import Examples, Money
from analytics.findings.statistics import Z95, relative_error
from analytics.ledger_window import LedgerWindow
from analytics.named_query import named_query

_WORTH: Final = 0.005
"""Of what was spent: what saves less is not looked at."""
_BUCKET: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Price:
    """What a token cost, in US dollars: cached input and failed calls are in it.

    Attributes:
        input: Of the input.
        output: Of the output.
    """

    input: float
    output: float

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """Return the price of tokens."""
        return self.input * input_tokens + self.output * output_tokens


@dataclass(slots=True)
class _Paid:
    """Sums over rows of `finding_prices`."""

    answers: float = 0.0
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    input_usd: float = 0.0
    output_usd: float = 0.0

    def add(self, row: Row) -> None:
        for name in _Paid.__slots__:
            setattr(self, name, getattr(self, name) + row[name])

    def price(self) -> Price | None:
        """Return what a token cost; None where nothing was answered."""
        if not (self.answers and self.input_tokens and self.output_tokens):
            return None
        return Price(self.input_usd / self.input_tokens, self.output_usd / self.output_tokens)


class _Place(NamedTuple):
    """What a row of `finding_spend` is of, whenever that was."""

    tier: int
    model: str
    feature: str


@dataclass(frozen=True)
class Scene:
    """A window, and what was spent in it.

    Attributes:
        window: What is looked at.
        spend: Rows of `finding_spend`, in the order of time.
        prices: Rows of `finding_prices`.
    """

    window: LedgerWindow
    spend: Sequence[Row]
    prices: Sequence[Row]

    @classmethod
    async def of(cls, window: LedgerWindow) -> "Scene":
        """Read what was spent."""
        spend, prices = await asyncio.gather(window.rollup_rows("finding_spend"), window.rollup_rows("finding_prices"))
        return cls(window, spend, prices)

    @cached_property
    def usd(self) -> float:
        """All that answers cost."""
        return math.fsum(map(cost, self.spend))

    @property
    def least_usd(self) -> float:
        """What a finding has to save, in the period."""
        return self.usd * _WORTH

    @property
    def bucket(self) -> timedelta:
        """An hour or a day."""
        return _BUCKET[self.window.period.grain]

    @cached_property
    def buckets(self) -> Sequence[datetime]:
        """The hours or days in which something was spent, without the one that has not ended yet."""
        now = datetime.now(UTC)
        return sorted({row["bucket"] for row in self.spend if row["bucket"] + self.bucket <= now})

    @cached_property
    def days(self) -> float:
        """From the first to the last hour or day of which something is known, up to now."""
        moments: set[datetime] = {row["bucket"] for row in self.spend}
        if not moments:
            return 1.0
        end = min(max(moments) + self.bucket, datetime.now(UTC))
        return max((end - min(moments)) / timedelta(days=1), 1 / 24)

    @cached_property
    def tiers(self) -> Sequence[int]:
        """Those that were asked, cheapest first."""
        return sorted({row["tier"] for row in self.prices})

    def price(self, tier: int, feature: str, query_type: str) -> Price | None:
        """Return what a token cost on a tier, for a feature and query type or what is nearest to them there."""
        keys: Sequence[tuple[Any, ...]] = ((tier, feature, query_type), (tier, query_type), (tier,))
        return next((price for key in keys if (price := self._paid[key].price()) is not None), None)

    def price_of_model(self, tier: int, model: str) -> Price | None:
        """Return what a token of a model cost."""
        return self._paid[tier, "model", model, ""].price()

    def answers(self, tier: int, feature: str, query_type: str) -> int:
        """Return how many answers a tier gave."""
        return int(self._paid[tier, feature, query_type].answers)

    def tokens(self, tier: int, model: str) -> tuple[int, int]:
        """Return how many tokens of input and of output a model had."""
        paid = self._paid[tier, "model", model, ""]
        return int(paid.input_tokens), int(paid.output_tokens)

    @cached_property
    def _paid(self) -> Mapping[tuple[Any, ...], "_Paid"]:
        """Sums by tier, feature and query type, by tier and query type, by tier, and by tier and model."""
        sums: dict[tuple[Any, ...], _Paid] = defaultdict(_Paid)
        for row in self.prices:
            tier, query_type = row["tier"], row["query_type"]
            of_model = (tier, "model", row["model"], "")
            for key in ((tier, row["feature"], query_type), (tier, query_type), (tier,), of_model):
                sums[key].add(row)
        return sums

    def by_bucket(self, **where: Any) -> Sequence[float]:  # noqa: ANN401 - values of columns
        """Return what was spent in each hour or day that has ended, 0 where nothing was."""
        found = dict.fromkeys(self.buckets, 0.0)
        for place, by_bucket in self._by_place.items():
            if all(getattr(place, name) == value for name, value in where.items()):
                for bucket in found.keys() & by_bucket.keys():
                    found[bucket] += by_bucket[bucket]
        return list(found.values())

    @cached_property
    def _by_place(self) -> Mapping["_Place", Mapping[datetime, float]]:
        """What was spent where, by hour or day: kinds of findings ask for many parts of it."""
        found: dict[_Place, dict[datetime, float]] = defaultdict(lambda: defaultdict(float))
        for row in self.spend:
            found[_Place(row["tier"], row["model"], row["feature"])][row["bucket"]] += cost(row)
        return found

    async def evidence(self, examples: Examples, bits: int) -> Sequence[str]:
        """Return ids of requests that show something."""
        asked = {
            name: getattr(examples, name) or ("" if name in {"user_id", "feature", "query_type", "model"} else 0)
            for name in ("user_id", "feature", "query_type", "tier", "model", "signature")
        }
        span = {
            "since": second_of(examples.since),
            "until": second_of(examples.since + self.bucket),
            "bits": bits,
        }
        rows = await named_query(self.window.client, self.window.database, "finding_examples", {**asked, **span})
        return [row["request_id"] for row in rows]


def cost(row: Row) -> float:
    """Return what a row of `finding_spend` cost."""
    return float(row["fresh_usd"] + row["cached_usd"] + row["written_usd"] + row["output_usd"])


def money(usd: float, by_day: Sequence[float], *others: float) -> Money:
    """Return an amount with its interval.

    Args:
        usd: Of the period.
        by_day: Something of each day that varies as the amount does.
        others: The amount as it would be at the ends of another interval.
    """
    half = Z95 * min(1.0, relative_error(by_day))
    ends = [usd, *others]
    low, high = min(ends), max(ends)
    return Money(usd, low - abs(low) * half, high + abs(high) * half)
