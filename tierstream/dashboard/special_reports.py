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
from tierstream.dashboard.words import money, share

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
NOTES: Final[Mapping[str, Mapping[str, str]]] = {
    "change": {
        "periods": "What the effects are computed from. Escalated calls and cached input are shares of all.",
        "effects": "What the cost changed by, and what made most of it. They add up to the whole difference.",
    },
    "leverage": {
        "providers": (
            "Could move: to other providers' models that were measured to be as good and cost no more. "
            "More at discount, more after trial: what could move besides. "
            "Saved at list: by what could move, at list prices. "
            "Saved by staying: by the discount from this provider instead, on all that it gets. "
            "Equal discount: that which saves as much as moving does."
        ),
        "moves": "Good answers: how their share differs at the target, with its interval. Looks: how many it rests on.",
    },
    "split": {
        "proposals": (
            "At least and at most: the interval of 95 %. Answered as well: requests of the upper tier that the model "
            "would get and answer well."
        ),
        "kinds_of_requests": (
            "Requests of the upper tier by query type and by the router's confidence that the lower tier would do. "
            "Escalated: after a bad answer of the lower tier. Moves: the model in between should get them."
        ),
    },
}
"""What the tables of a report mean, by the names of both."""


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
        note=f"Before: {report.before.since:%-d %b %H:%M} to {report.before.until:%-d %b %H:%M}. "
        f"After: {report.after.since:%-d %b %H:%M} to {report.after.until:%-d %b %H:%M}. The axis may begin above 0.",
    )


def headline(report: BaseModel) -> str:
    """Say in a sentence what the report comes to; empty where its tables or its chart say it."""
    if not isinstance(report, SplitReport):
        return ""
    between = f"between tiers {report.lower} and {report.upper}"
    if not report.upper_requests:
        return f"Tier {report.upper} answered nothing in this period, so there is nothing to move to a tier {between}."
    if not report.proposals:
        return (
            f"No model to propose: those of the shipped settings that would be {between} answer there already. "
            "tierstream report split --model PROVIDER/MODEL asks about others."
        )
    best = next((one for one in report.proposals if one.pays), None)
    if best is None:
        return f"No tier {between} pays: {report.proposals[0].reason}."
    monthly = best.monthly_saving_usd
    return (
        f"Yes: {best.model} {between} would save about {money(monthly.value)} a month "
        f"({money(monthly.low)} to {money(monthly.high)}), "
        f"{share(best.saving_share)} of what tier {report.upper} costs."
    )


def tabular(report: BaseModel) -> dict[str, Any]:
    """Return a report's JSON in the order that tables read best; the picker has the period, and cards the findings."""
    content = report.model_dump(mode="json", exclude={"since", "until", "grain"})
    if isinstance(report, FindingsReport):
        del content["findings"]
        asked, least = content.pop("candidates"), content.pop("min_confidence")
        return {**content, "questions asked of the figures": asked, "confidence at least": share(least)}
    if isinstance(report, CostChange):
        return _change(report)
    if isinstance(report, LeverageReport):
        return _leverage(content)
    if isinstance(report, SplitReport):
        return _split(report)
    return content


def _change(report: CostChange) -> dict[str, Any]:
    if not (report.before.cost_usd or report.after.cost_usd):
        return {}
    rows = [*report.rows, *([report.others] if report.others else [])]
    drivers = ("requests", "calls_per_request", "tokens_per_request", "escalated_calls_share", "cached_share")
    periods = {"before": report.before, "after": report.after}
    return {
        "effects": [
            {
                "effect": EFFECTS[one.effect],
                "usd": str(one.usd),
                "mostly": ", ".join(f"{part.key or _NONE} {money(part.usd)}" for part in one.mostly),
            }
            for one in report.effects
        ],
        f"by_{report.by}": [_changed(report.by, row) for row in rows],
        "periods": [
            {"period": name, "cost_usd": str(one.cost_usd), **{key: getattr(one, key) for key in drivers}}
            for name, one in periods.items()
        ],
    }


def _changed(by: str, row: ChangedRow) -> dict[str, Any]:
    amounts = {"before_usd": row.before_usd, "after_usd": row.after_usd, "difference_usd": row.difference_usd}
    effects = {f"{EFFECTS[effect].replace(' ', '_')}_usd": usd for effect, usd in row.effects.items()}
    return {by: row.key or _NONE} | {name: str(usd) for name, usd in (amounts | effects).items()}


_OF_PROVIDERS: Final = {
    "provider": "provider",
    "cost_usd": "cost_usd",
    "share": "share",
    "movable_usd": "could_move_usd",
    "movable_share": "could_move_share",
    "more_with_discount_usd": "more_at_discount_usd",
    "more_after_trial_usd": "more_after_trial_usd",
    "list_saving_usd": "saved_at_list_usd",
    "discount_saving_usd": "saved_at_discount_usd",
    "stay_saving_usd": "saved_by_staying_usd",
    "equal_discount": "equal_discount",
}
"""What a column of the table is called, by the field; moves and models have tables of their own."""


def _leverage(content: dict[str, Any]) -> dict[str, Any]:
    providers = content["providers"]
    return {
        "cost_usd": content["cost_usd"],
        "days": content["days"],
        "cost_of_30_days_usd": content["monthly_usd"],
        "discount assumed on list prices": share(content["discount"]),
        "good answers may be fewer by": _points(content["margin"]),
        "all intervals hold with": share(content["confidence"]),
        "models without a known price": content["not_compared"],
        "providers": [{name: one[field] for field, name in _OF_PROVIDERS.items()} for one in providers],
        "moves": [_move(move) for one in providers for move in one["moves"]],
        "models": [model for one in providers for model in one["models"]],
    }


def _move(move: dict[str, Any]) -> dict[str, Any]:
    low, high = move.pop("low"), move.pop("high")
    quality = f"{move.pop('quality_difference') * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f})"
    first = {"from": move.pop("source"), "to": move.pop("target"), "query_type": move.pop("query_type") or _NONE}
    return {**first, "good_answers": quality, **move, "looks": round(move["looks"]), "answers": round(move["answers"])}


def _split(report: SplitReport) -> dict[str, Any]:
    upper = f"tier {report.upper}"
    proposals = [
        {
            "model": one.model,
            "pays": one.pays,
            "saving_a_month_usd": one.monthly_saving_usd.value,
            "at_least_usd": one.monthly_saving_usd.low,
            "at_most_usd": one.monthly_saving_usd.high,
            "saved_share": one.saving_share,
            "requests_moved": one.requests,
            "answered_as_well_share": one.as_good_share.value,
            "reason": one.reason,
        }
        for one in report.proposals
    ]
    kinds = [
        {
            "model": one.model,
            "query_type": part.query_type or _NONE,
            "escalated": part.is_escalated,
            "router_confidence": part.sure,
            "moves": part.moves,
            "requests": part.requests,
            "cost_now_usd": part.upper_usd,
            "saving_usd": part.saving_usd.value,
            "good_answers_share": part.good.value,
            f"good_answers_of_{upper}_share": part.upper_good,
        }
        for one in report.proposals
        for part in one.parts
        if one.pays or one is report.proposals[0]
    ]
    return {
        f"requests that {upper} answered": report.upper_requests,
        f"cost_of_{upper}_usd": report.upper_usd,
        "part of all requests that was read": share(report.read_share),
        "good answers may be fewer by": _points(report.margin),
        "gap in quality that a model closes": f"{share(report.closes_from)} to {share(report.closes_to)} (assumed)",
        "proposals": proposals,
        "kinds_of_requests": kinds,
    }


def _points(part: float) -> str:
    return f"{part * 100:.3g} points"
