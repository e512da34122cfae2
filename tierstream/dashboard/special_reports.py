"""What some reports show besides their tables: why the cost changed as steps, findings as cards."""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from typing import Any, Final

from tierstream.dashboard.charts import Chart, Series
from tierstream.dashboard.words import money

_BEFORE: Final = ("before_usd", "cost_before_usd", "before_cost_usd", "former_usd")
_AFTER: Final = ("after_usd", "cost_after_usd", "after_cost_usd", "current_usd")
_EFFECTS: Final = ("effects", "causes", "steps", "contributions", "changes")
_EFFECT_USD: Final = ("usd", "cost_usd", "effect_usd", "change_usd", "amount_usd", "delta_usd")
_EFFECT_NAME: Final = ("name", "effect", "cause", "kind", "title")


def change_chart(report: Mapping[str, Any]) -> Chart | None:
    """Draw the effects between two costs as steps from one to the other; None where the report has none."""
    effects = _effects(report)
    before, after = _first_money(report, _BEFORE), _first_money(report, _AFTER)
    if not effects or before is None:
        return None
    sizes = [size for _, size in effects]
    after = before + sum(sizes, start=Decimal(0)) if after is None else after
    tops = list(accumulate(sizes, initial=before))
    largest = max(effects, key=lambda effect: abs(effect[1]))
    return Chart(
        id="change",
        title="From the cost before to the cost after",
        kind="steps",
        unit="usd",
        labels=["Before", *(name for name, _ in effects), "After"],
        series=[
            Series("Effect", "step", [float(before), *map(float, sizes), float(after)]),
            Series("Cost by then", "ink", [float(before), *map(float, tops[1:]), float(after)]),
        ],
        summary=(f"From {money(before)} to {money(after)}. The largest effect is {largest[0]}, {money(largest[1])}."),
        first="Effect",
    )


def _effects(report: Mapping[str, Any]) -> Sequence[tuple[str, Decimal]]:
    rows: list[Any] = next((report[name] for name in _EFFECTS if isinstance(report.get(name), list)), [])
    found = []
    for row in rows:
        size = _first_money(row, _EFFECT_USD) if isinstance(row, dict) else None
        if size is not None:
            name = next((str(row[name]) for name in _EFFECT_NAME if row.get(name)), "?")
            found.append((name.replace("_", " "), size))
    return found


def _first_money(row: Mapping[str, Any], names: Sequence[str]) -> Decimal | None:
    for name in names:
        if isinstance(row.get(name), (str, int, float)):
            try:
                return Decimal(str(row[name]))
            except InvalidOperation:
                return None
    return None
