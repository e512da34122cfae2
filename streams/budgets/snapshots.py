"""The state of budgets as records, and back."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.budgets.money import pico_of, usd_of
from streams.budgets.plan import BudgetPlan
from streams.budgets.rolling_sum import RollingSum
from streams.budgets.state import BudgetState
from topics.base import from_millis
from topics.budgets import AccountSum, BudgetSnapshot, BudgetSums, Claim

_PART_ENTRIES: Final = 10_000
"""Sums and accounts in a record; some 30 bytes each."""


def snapshots_of(state: BudgetState, offset: int, by: str) -> list[BudgetSnapshot]:
    """Write the state down that the log has come to before an offset."""
    # In the order in which they were asked for, so that those that wait do so in the same order.
    claims = tuple(Claim(reservation=one.reservation, granted=one.granted) for one in state.claims.values())
    parts = list(_parts(state))
    return [
        BudgetSnapshot(
            offset=offset,
            at_ms=state.at_ms,
            part=number,
            parts=len(parts),
            by=by,
            budgets=tuple(part),
            claims=claims if number == 0 else (),
        )
        for number, part in enumerate(parts)
    ]


def size_of(state: BudgetState) -> int:
    """Return how many sums and accounts a snapshot holds."""
    return sum(1 + len(account.sums) for accounts in state.accounts.values() for account in accounts.values())


def restored(parts: Sequence[BudgetSnapshot], plans: Sequence[BudgetPlan], remembered_ms: int) -> BudgetState:
    """Make the state that a snapshot shows; what was counted before has still to be remembered."""
    state = BudgetState(plans, remembered_ms)
    state.at_ms = parts[0].at_ms
    by_name = {plan.name: plan for plan in plans}
    for part in parts:
        for budget in part.budgets:
            plan = by_name.get(budget.name)
            if plan is None:
                continue
            state.since_ms[budget.name] = int(budget.since.timestamp() * 1000)
            for saved in budget.accounts:
                account = state.account(plan, saved.key)
                account.sums = RollingSum((step, pico_of(usd)) for step, usd in saved.sums)
                account.told = saved.told
    for part in parts:
        for claim in part.claims:
            state.restore_claim(claim.reservation, granted=claim.granted)
    return state


def covers(parts: Iterable[BudgetSnapshot], plans: Iterable[BudgetPlan]) -> bool:
    """Whether a snapshot has counted all of these budgets as they are counted now."""
    counted = {_measure(budget.name, budget.by, budget.value, budget.window_ms) for p in parts for budget in p.budgets}
    settings = (plan.settings for plan in plans)
    return all(_measure(one.name, one.by, one.value, one.window_ms) in counted for one in settings)


@dataclass(slots=True)
class SnapshotParts:
    """Puts the records of snapshots together."""

    _found: dict[tuple[int, str], dict[int, BudgetSnapshot]] = field(default_factory=dict)

    def add(self, record: BudgetSnapshot) -> None:
        """Take a record."""
        self._found.setdefault((record.offset, record.by), {})[record.part] = record

    def latest(self, plans: Sequence[BudgetPlan]) -> Sequence[BudgetSnapshot] | None:
        """Return the latest whole snapshot that covers these budgets; None where there is none."""
        whole = (parts for parts in self._found.values() if len(parts) == next(iter(parts.values())).parts)
        fitting = [_sorted(parts) for parts in whole if covers(parts.values(), plans)]
        return max(fitting, key=lambda parts: parts[0].offset, default=None)


def _sorted(parts: Mapping[int, BudgetSnapshot]) -> Sequence[BudgetSnapshot]:
    return [parts[number] for number in sorted(parts)]


def _measure(name: str, by: str, value: str | None, window_ms: int) -> tuple[str, str, str | None, int]:
    return name, by, value, window_ms


def _parts(state: BudgetState) -> Iterator[list[BudgetSums]]:
    """Cut the accounts of all budgets into records; each budget is in one at least."""
    part: list[BudgetSums] = []
    room = _PART_ENTRIES
    for plan in state.plans:
        accounts: list[AccountSum] = []
        first = plan.first_step(state.at_ms)
        for account in state.accounts[plan.name].values():
            sums = tuple((step, usd_of(amount)) for step, amount in account.sums if step >= first)
            accounts.append(AccountSum(key=account.key, sums=sums, told=account.told))
            room -= 1 + len(sums)
            if room <= 0:
                yield [*part, _sums(plan, state, accounts)]
                part, accounts, room = [], [], _PART_ENTRIES
        part.append(_sums(plan, state, accounts))
    yield part


def _sums(plan: BudgetPlan, state: BudgetState, accounts: Sequence[AccountSum]) -> BudgetSums:
    one = plan.settings
    return BudgetSums(
        name=one.name,
        by=one.by,
        value=one.value,
        window_ms=one.window_ms,
        since=from_millis(state.since_ms.get(one.name, 0)),
        accounts=tuple(accounts),
    )
