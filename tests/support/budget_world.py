"""Budgets and what stands on their log, for tests."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

from support.in_memory import BASE, BASE_MS

from streams.budgets.plan import BudgetPlan
from streams.budgets.state import BudgetState, Event
from streams.config.settings_budgets import BudgetSettings
from topics.base import Record, from_millis
from topics.budgets import Payer, Release, Reservation, Spending

REMEMBERED_MS = 3_600_000


def call(n: int) -> UUID:
    """The id of the n-th call."""
    return uuid5(UUID(int=0), str(n))


def plan(name: str = "b", by: str = "all", usd: str = "1", window: str = "1h", **more: Any) -> BudgetPlan:
    settings = BudgetSettings(name=name, by=by, usd=Decimal(usd), window=window, **({"hard": "reject"} | more))
    return BudgetPlan.of(settings, 3)


def state_of(*plans: BudgetPlan) -> BudgetState:
    return BudgetState(plans or (plan(),), REMEMBERED_MS)


def reservation(
    n: int,
    usd: str = "0.4",
    *,
    user: str | None = "ann",
    budgets: Sequence[str] = ("b",),
    at_s: float = 0,
    attempt: int | None = None,
    **more: Any,
) -> Reservation:
    at = BASE + timedelta(seconds=at_s)
    times = {
        "waits_until": at + timedelta(seconds=more.pop("waits_s", 2)),
        "expires_at": at + timedelta(seconds=more.pop("lasts_s", 60)),
    }
    payer = Payer(user_id=user, **more)
    return Reservation(
        call_id=call(n),
        attempt_id=call(n if attempt is None else attempt),
        request_id=f"r{n}",
        payer=payer,
        budgets=tuple(budgets),
        most_usd=Decimal(usd),
        **times,
    )


def spending(n: int, usd: str = "0.1", *, user: str | None = "ann", ended_s: float = 0, **more: Any) -> Spending:
    request_id, revision = more.pop("request_id", f"r{n}"), more.pop("revision", 0)
    return Spending(
        call_id=call(n),
        request_id=request_id,
        revision=revision,
        payer=Payer(user_id=user, **more),
        cost_usd=Decimal(usd),
        ended_at=from_millis(BASE_MS + int(ended_s * 1000)),
    )


def release(n: int) -> Release:
    return Release(call_id=call(n), request_id=f"r{n}")


def apply(state: BudgetState, *records: Record, at_s: float = 0) -> list[Event]:
    """Apply records that the broker appends at that second; return what follows from them."""
    return [event for record in records for event in state.apply(record, BASE_MS + int(at_s * 1000))]


def apply_all(state: BudgetState, records: Iterable[tuple[Record, int]]) -> list[list[Event]]:
    return [state.apply(record, BASE_MS + at_ms) for record, at_ms in records]
