"""What some reports show besides their tables: why the cost changed, findings, leverage and a tier in between."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Final, get_args

from pydantic import BaseModel

from analytics.change.decomposition import Effect
from analytics.change.report import ChangedRow, CostChange, Dimension
from analytics.leverage.report import LeverageReport
from analytics.leverage.split_report import SplitReport
from analytics.reports.findings import FindingsReport
from tierstream.dashboard.charts import Chart, Series
from tierstream.dashboard.period import PeriodError
from tierstream.dashboard.words import money

BY: Final[tuple[str, ...]] = get_args(Dimension)
"""What the rows of the report on change can be by."""
EFFECTS: Final = {
    Effect.VOLUME: "volume",
    Effect.TOKENS: "tokens a request",
    Effect.MIX: "mix of models",
    Effect.ESCALATIONS: "escalations",
    Effect.CACHING: "caching",
    Effect.PRICE: "price",
}
_NONE: Final = "not said"


def options_of(name: str, asked: Mapping[str, str]) -> dict[str, str]:
    """Read what the address asks of a report besides the period.

    Raises:
        PeriodError: There is no such choice.
    """
    if name != "change" or "by" not in asked:
        return {}
    if asked["by"] not in BY:
        raise PeriodError(f"by={asked['by']!r} is nothing to name changes by: choose one of {', '.join(BY)}")
    return {"by": asked["by"]}


def change_chart(report: BaseModel) -> Chart | None:
    """Draw the effects between two costs as steps from one to the other; None where nothing was paid."""
    if not isinstance(report, CostChange) or not (report.before.cost_usd or report.after.cost_usd):
        return None
    before, after = report.before.cost_usd, report.after.cost_usd
    sizes = [one.usd for one in report.effects]
    largest = max(report.effects, key=lambda one: abs(one.usd))
    return Chart(
        id="change",
        title="From the cost before to the cost after",
        kind="steps",
        unit="usd",
        labels=["before", *(EFFECTS[one.effect] for one in report.effects), "after"],
        series=[
            Series("Effect", "step", [float(usd) for usd in (before, *sizes, after)]),
            Series("Cost by then", "ink", [float(usd) for usd in (*accumulate(sizes, initial=before), after)]),
        ],
        summary=(
            f"From {money(before)} to {money(after)}. "
            f"The largest effect is {EFFECTS[largest.effect]}, {money(largest.usd)}."
        ),
        first="Effect",
        note=f"{report.before.since:%-d %b %H:%M} to {report.before.until:%-d %b %H:%M} against "
        f"{report.after.since:%-d %b %H:%M} to {report.after.until:%-d %b %H:%M}. The axis may begin above 0.",
    )


def tabular(report: BaseModel) -> dict[str, Any]:
    """Return a report's JSON in the order that tables read best; the picker has the period, and cards the findings."""
    content = report.model_dump(mode="json", exclude={"since", "until", "grain"})
    if isinstance(report, FindingsReport):
        del content["findings"]
    elif isinstance(report, CostChange):
        return _change(report)
    elif isinstance(report, LeverageReport):
        return _leverage(content)
    elif isinstance(report, SplitReport):
        return _split(report, content)
    return content


def _change(report: CostChange) -> dict[str, Any]:
    rows = [*report.rows, *([report.others] if report.others else [])]
    drivers = ("requests", "calls_per_request", "tokens_per_request", "escalated_calls_share", "cached_share")
    periods = {"before": report.before, "after": report.after}
    return {
        "rows": [_changed(report.by, row) for row in rows],
        "periods": [
            {"period": name, "cost_usd": str(one.cost_usd), **{key: getattr(one, key) for key in drivers}}
            for name, one in periods.items()
        ],
        "effects": [
            {
                "effect": EFFECTS[one.effect],
                "usd": str(one.usd),
                "mostly": ", ".join(f"{part.key or _NONE} {money(part.usd)}" for part in one.mostly),
            }
            for one in report.effects
        ],
    }


def _changed(by: str, row: ChangedRow) -> dict[str, Any]:
    amounts = {"before_usd": row.before_usd, "after_usd": row.after_usd, "difference_usd": row.difference_usd}
    effects = {f"{EFFECTS[effect].replace(' ', '_')}_usd": usd for effect, usd in row.effects.items()}
    return {by: row.key or _NONE} | {name: str(usd) for name, usd in (amounts | effects).items()}


def _leverage(content: dict[str, Any]) -> dict[str, Any]:
    providers = content.pop("providers")
    short = [{key: one[key] for key in one if key not in {"models", "moves"}} for one in providers]
    moves = [_move(move) for one in providers for move in one["moves"]]
    return {**content, "providers": short, "moves": moves, "models": [one for p in providers for one in p["models"]]}


def _move(move: dict[str, Any]) -> dict[str, Any]:
    low, high = move.pop("low"), move.pop("high")
    quality = f"{move.pop('quality_difference') * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f})"
    first = {"from": move.pop("source"), "to": move.pop("target"), "query_type": move.pop("query_type") or _NONE}
    return {**first, "good_answers": quality, **move, "looks": round(move["looks"]), "answers": round(move["answers"])}


def _split(report: SplitReport, content: dict[str, Any]) -> dict[str, Any]:
    del content["proposals"]
    proposals = [
        {
            "model": one.model,
            "pays": one.pays,
            "reason": one.reason,
            "requests": one.requests,
            "monthly_saving_usd": one.monthly_saving_usd.value,
            "low_usd": one.monthly_saving_usd.low,
            "high_usd": one.monthly_saving_usd.high,
            "saving_share": one.saving_share,
            "as_good_share": one.as_good_share.value,
        }
        for one in report.proposals
    ]
    parts = [
        {
            "model": one.model,
            "query_type": part.query_type or _NONE,
            "escalated": part.is_escalated,
            "router_sure_share": part.sure,
            "moves": part.moves,
            "requests": part.requests,
            "upper_usd": part.upper_usd,
            "good_share": part.good.value,
            "upper_good_share": part.upper_good,
            "saving_usd": part.saving_usd.value,
        }
        for one in report.proposals
        for part in one.parts
        if one.pays or one is report.proposals[0]
    ]
    return {**content, "proposals": proposals, "parts": parts}
