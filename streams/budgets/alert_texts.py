"""What is told of a budget that has passed a level."""

from typing import Final
from uuid import NAMESPACE_URL, uuid5

from streams.budgets.money import in_words, usd_of
from streams.budgets.state import Crossing
from topics.alerts import Alert

_ALERTS: Final = uuid5(NAMESPACE_URL, "tierstream:alert")
_EXHAUSTED: Final = 2
_MEANS: Final = {
    "none": "Requests are served as before.",
    "reject": "Requests that are charged to it are rejected until there is room again.",
    "lower": "Requests that are charged to it are answered by lower tiers until there is room again.",
}


def alert_of(crossing: Crossing) -> Alert:
    """Tell of a crossing; its id follows from the spending that it came by."""
    plan, spending = crossing.plan, crossing.spending
    one, key, spent = plan.settings, plan.account(crossing.key), usd_of(crossing.spent)
    is_exhausted = crossing.level == _EXHAUSTED
    name = "\x1f".join((one.name, key, str(crossing.level), str(spending.call_id), spending.request_id))
    share = spent / one.usd
    what = "is exhausted" if is_exhausted else f"is used up by {share:.0%}"
    means = f" {_MEANS[one.hard]}" if is_exhausted else ""
    return Alert(
        id=uuid5(_ALERTS, name),
        kind="budget_exhausted" if is_exhausted else "budget_soft",
        title=f"budget {one.name} of {key} {what}",
        text=f"{in_words(spent)} of {in_words(one.usd)} were spent in {one.window}.{means}",
        usd=spent,
        at=spending.ended_at,
        budget=one.name,
        key=key,
        spent_usd=spent,
        limit_usd=one.usd,
        window=one.window,
        evidence=(spending.request_id,),
    )
