"""What the log of budgets has come to. Pure: the time is that of the log, so that everybody comes to the same.

A reservation is granted if each hard budget that it names has room for it: what was spent in the window, what granted
calls may still cost and what it asks for itself are at most the limit. One that asks for more than a budget has left is
granted alone, when nothing else is under way, or such a budget could never be used up; this one call may then pass it.
Who is refused because of calls under way waits for them until its time is up, in the order of the log: a later one does
not overtake an earlier one of the same account.
"""

import logging
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Final
from uuid import UUID

from streams.budgets.money import pico_of
from streams.budgets.plan import BudgetPlan, places
from streams.budgets.refusal import Refusal
from streams.budgets.rolling_sum import RollingSum
from topics.base import Record
from topics.budgets import Levels, Payer, Release, Reservation, Spending

log = logging.getLogger(__name__)

MOST_ACCOUNTS: Final = 100_000
"""Of a budget; beyond that whoever has spent nothing for the longest is forgotten."""
_TOLD_AGAIN_BELOW: Final = 0.9
"""A level is told of once more after the sum was below that share of it."""
_PRUNED_MS: Final = 60_000
_LOOKED_MS: Final = 1_000


@dataclass(slots=True)
class Account:
    """One budget of one user, feature or tag, or of all."""

    plan: BudgetPlan
    key: str
    sums: RollingSum = field(default_factory=RollingSum)
    held: int = 0
    told: Levels = 0
    waiting: "deque[Claim]" = field(default_factory=deque)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it needs to be remembered."""
        return not len(self.sums) and not self.held and not self.waiting


@dataclass(slots=True, eq=False)
class Claim:
    """A reservation that is granted, or waits."""

    reservation: Reservation
    accounts: Sequence[Account]
    most: int
    waits_until_ms: int
    expires_ms: int
    granted: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a reservation; `refusal` is None where it was granted."""

    call_id: UUID
    refusal: Refusal | None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A spending by which a budget has passed a level."""

    spending: Spending
    level: Levels
    plan: BudgetPlan
    key: str
    spent: int


Event = Verdict | Crossing


class BudgetState:
    """Applies the log, record by record.

    Args:
        plans: Of the budgets.
        remembered_ms: For how long after its append a spending that is written down again is recognised.
    """

    def __init__(self, plans: Sequence[BudgetPlan], remembered_ms: int) -> None:
        self.plans = tuple(plans)
        self.at_ms = 0
        """Latest append time."""
        self.since_ms: dict[str, int] = {}
        """By budget: what was spent before then was not counted."""
        self.accounts: dict[str, OrderedDict[str, Account]] = {plan.name: OrderedDict() for plan in plans}
        """By budget and key, whoever has spent last at the end."""
        self.claims: dict[UUID, Claim] = {}
        self._of_attempt: dict[UUID, Claim] = {}
        self._by_name = {plan.name: plan for plan in plans}
        self._remembered_ms = remembered_ms
        self._seen: dict[bytes, int] = {}
        self._expiring: list[tuple[int, int, Claim]] = []
        self._number = 0
        self._in_line: dict[int, Account] = {}
        """Accounts that somebody waits for, by identity."""
        self._fresh: Claim | None = None
        """Asked for by the record that is applied."""
        self._pruned_ms = 0

    def apply(self, record: Record, at_ms: int) -> list[Event]:
        """Take a record of the log that the broker has appended at `at_ms`; return what follows from it."""
        self._fresh = None
        second, self.at_ms = self.at_ms // _LOOKED_MS, max(self.at_ms, at_ms)
        events: list[Event] = []
        touched = self._expire()
        match record:
            case Reservation():
                touched += self._reserve(record, events)
            case Spending():
                touched += self._finish(record.call_id)
                if self._is_new(record, self.at_ms):
                    touched += self._spend(record, events)
            case Release():
                touched += self._finish(record.call_id)
        if self._in_line:
            if self.at_ms // _LOOKED_MS != second:
                # Room comes with time alone as well.
                touched = list(self._in_line.values())
            self._serve(touched, events)
        if self.at_ms - self._pruned_ms >= _PRUNED_MS:
            self._prune()
        return events

    def remember(self, spending: Spending, at_ms: int) -> None:
        """Note a spending that the state has counted already."""
        self._is_new(spending, at_ms)

    def knows(self, spending: Spending) -> bool:
        """Whether a spending was counted, as far as that is remembered."""
        return identity_of(spending) in self._seen

    def refusal(self, payer: Payer, names: Iterable[str], now_ms: int) -> Refusal | None:
        """Say which of these budgets is exhausted, however little a call costs; nothing is changed."""
        for name in names:
            plan = self._by_name[name]
            for key in plan.keys_of(payer):
                account = self.accounts[name].get(key)
                if account is not None and (spent := account.sums.since(plan.first_step(now_ms))) >= plan.limit:
                    return _refusal(account, spent)
        return None

    def sums(self, now_ms: int) -> Iterator[tuple[Account, int]]:
        """Yield every account and what it has spent in the window that ends now."""
        for plan in self.plans:
            for account in self.accounts[plan.name].values():
                yield account, account.sums.since(plan.first_step(now_ms))

    def restore_claim(self, reservation: Reservation, *, granted: bool) -> None:
        """Take over a claim of a snapshot; those that wait in the order in which they do."""
        claim = self._claim(reservation)
        if granted:
            self._grant(claim)
        else:
            self._line_up(claim)

    def account(self, plan: BudgetPlan, key: str) -> Account:
        """Return an account, a new one where there is none."""
        accounts = self.accounts[plan.name]
        account = accounts.get(key)
        if account is None:
            account = accounts[key] = Account(plan, key)
            if len(accounts) > MOST_ACCOUNTS:
                self._forget_one(plan)
        return account

    def _reserve(self, reservation: Reservation, events: list[Event]) -> Sequence[Account]:
        if reservation.call_id in self.claims:
            return ()
        claim = self._claim(reservation)
        if not claim.accounts:
            events.append(Verdict(reservation.call_id, None))
            return ()
        before = self._of_attempt.get(reservation.attempt_id)
        if before is not None and not before.granted:
            events.append(Verdict(before.reservation.call_id, busy(before)))
        touched = () if before is None else self._finish(before.reservation.call_id)
        self._line_up(claim)
        self._fresh = claim
        return [*touched, *claim.accounts]

    def _claim(self, reservation: Reservation) -> Claim:
        plans = [self._by_name[name] for name in reservation.budgets if name in self._by_name]
        return Claim(
            reservation,
            [self.account(plan, key) for plan, key in places(plans, reservation.payer)],
            pico_of(reservation.most_usd),
            int(reservation.waits_until.timestamp() * 1000),
            int(reservation.expires_at.timestamp() * 1000),
        )

    def _line_up(self, claim: Claim) -> None:
        self._note(claim)
        for account in claim.accounts:
            account.waiting.append(claim)
            self._in_line[id(account)] = account

    def _grant(self, claim: Claim) -> None:
        claim.granted = True
        self._note(claim)
        for account in claim.accounts:
            account.held += claim.most
        self._number += 1
        heappush(self._expiring, (claim.expires_ms, self._number, claim))

    def _note(self, claim: Claim) -> None:
        self.claims[claim.reservation.call_id] = claim
        self._of_attempt[claim.reservation.attempt_id] = claim

    def _forget(self, claim: Claim) -> None:
        claim.over = True
        del self.claims[claim.reservation.call_id]
        if self._of_attempt.get(claim.reservation.attempt_id) is claim:
            del self._of_attempt[claim.reservation.attempt_id]

    def _finish(self, call_id: UUID) -> Sequence[Account]:
        """Let go what a call holds or waits for; return the accounts that may have room by that."""
        claim = self.claims.get(call_id)
        if claim is None:
            return ()
        self._forget(claim)
        if claim.granted:
            for account in claim.accounts:
                account.held -= claim.most
        return claim.accounts

    def _expire(self) -> list[Account]:
        touched: list[Account] = []
        while self._expiring and (self._expiring[0][0] <= self.at_ms or self._expiring[0][2].over):
            claim = heappop(self._expiring)[2]
            if not claim.over:
                touched += self._finish(claim.reservation.call_id)
        return touched

    def _serve(self, touched: Iterable[Account], events: list[Event]) -> None:
        """Decide on whoever is first in line, as long as that leads to something."""
        pending = deque(touched)
        while pending:
            account = pending.popleft()
            line = account.waiting
            while line and line[0].over:
                line.popleft()
            if not line:
                self._in_line.pop(id(account), None)
                continue
            claim = line[0]
            if any(_first(other) is not claim for other in claim.accounts):
                # Somebody else is before it in another line, and whoever decides on that one comes back here.
                continue
            refusal = self._judge(claim)
            has_time = claim.waits_until_ms > self.at_ms
            if refusal is not None and refusal.room_at_ms is None and has_time:
                continue
            if refusal is None and not has_time and claim is not self._fresh:
                # Who asked for it has gone.
                refusal = busy(claim)
            for other in claim.accounts:
                other.waiting.popleft()
            if refusal is None:
                self._grant(claim)
            else:
                self._forget(claim)
            events.append(Verdict(claim.reservation.call_id, refusal))
            pending.extend(claim.accounts)

    def _judge(self, claim: Claim) -> Refusal | None:
        """Say what is in the way of a claim: an exhausted budget, or else calls under way."""
        is_busy = False
        for account in claim.accounts:
            plan, sums = account.plan, account.sums
            sums.drop_before(plan.first_step(self.at_ms))
            if sums.total >= plan.limit:
                return _refusal(account, sums.total)
            if account.held and sums.total + account.held + claim.most > plan.limit:
                is_busy = True
        return busy(claim) if is_busy else None

    def _is_new(self, spending: Spending, at_ms: int) -> bool:
        identity = identity_of(spending)
        appended = self._seen.get(identity)
        if appended is not None and at_ms - appended <= self._remembered_ms:
            return False
        self._seen.pop(identity, None)
        self._seen[identity] = at_ms
        return True

    def _spend(self, spending: Spending, events: list[Event]) -> list[Account]:
        cost, ended_ms = pico_of(spending.cost_usd), int(spending.ended_at.timestamp() * 1000)
        touched: list[Account] = []
        for plan, key in places(self.plans, spending.payer) if cost else ():
            first, step = plan.first_step(self.at_ms), plan.step_of(ended_ms)
            if step < first:
                continue
            account = self.account(plan, key)
            self.accounts[plan.name].move_to_end(key)
            account.sums.drop_before(first)
            _tell_again(account)
            account.sums.add(step, cost)
            level = _level(account)
            if level > account.told:
                account.told = level
                events.append(Crossing(spending, level, plan, key, account.sums.total))
            touched.append(account)
        return touched

    def _prune(self) -> None:
        """Forget what was counted long ago, and who has spent nothing in the window."""
        self._pruned_ms = self.at_ms
        oldest = self.at_ms - self._remembered_ms
        forgotten = []
        for identity, appended in self._seen.items():
            if appended >= oldest:
                break
            forgotten.append(identity)
        for identity in forgotten:
            del self._seen[identity]
        for plan in self.plans:
            first, accounts = plan.first_step(self.at_ms), self.accounts[plan.name]
            for account in list(accounts.values()):
                account.sums.drop_before(first)
                if account.is_idle:
                    del accounts[account.key]

    def _forget_one(self, plan: BudgetPlan) -> None:
        accounts = self.accounts[plan.name]
        for account in accounts.values():
            if not account.held and not account.waiting:
                log.warning("budget %s has over %d accounts: the idlest is forgotten", plan.name, MOST_ACCOUNTS)
                del accounts[account.key]
                return


def busy(claim: Claim) -> Refusal:
    """Say that calls under way are in the way of a claim, or were until its time was up."""
    account = max(claim.accounts, key=lambda one: (one.sums.total + one.held) / one.plan.limit)
    return Refusal(account.plan, account.key, account.sums.total, account.held, None)


def _first(account: Account) -> Claim | None:
    """Return who is first in line for an account."""
    while account.waiting and account.waiting[0].over:
        account.waiting.popleft()
    return account.waiting[0] if account.waiting else None


def _refusal(account: Account, spent: int) -> Refusal:
    """Say when an account that is exhausted has room again."""
    plan = account.plan
    leaves = account.sums.step_below(plan.limit) or 0
    return Refusal(plan, account.key, spent, account.held, (leaves + plan.settings.steps) * plan.settings.step_ms)


def _level(account: Account) -> Levels:
    spent, plan = account.sums.total, account.plan
    return 2 if spent >= plan.limit else 1 if spent >= plan.soft else 0


def _tell_again(account: Account) -> None:
    """Take back that a level was told of, where the sum has fallen well below it."""
    spent, plan = account.sums.total, account.plan
    if account.told == 2 and spent < _TOLD_AGAIN_BELOW * plan.limit:  # noqa: PLR2004 - a level, like those around it
        account.told = 1
    if account.told and spent < _TOLD_AGAIN_BELOW * plan.soft:
        account.told = 0


def identity_of(spending: Spending) -> bytes:
    """Name a spending in 16 bytes, as the ledger does: a call, and the request that it was made for."""
    text = f"{spending.request_id}\x1f{spending.revision}".encode(errors="surrogatepass")
    return blake2b(text, digest_size=16, key=spending.call_id.bytes).digest()
