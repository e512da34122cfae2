"""Budgets as the rest of a process sees them: is there room, hold it, and write down what was spent."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from streams.budgets.alert_texts import alert_of
from streams.budgets.follower import BudgetFollower
from streams.budgets.plan import BudgetPlan, payer_of, places, plans_of
from streams.budgets.refusal import Refusal
from streams.budgets.replay import SLACK_MS, log_of, read, remembered_ms
from streams.budgets.snapshots import size_of, snapshots_of
from streams.budgets.state import BudgetState, Crossing, Event, busy, identity_of
from streams.config.settings import Settings
from streams.kafka.clock import Clock
from streams.kafka.publisher import DeliveryError, Output, Publisher
from streams.kafka.topic_reader import TopicReader
from topics.base import Record
from topics.budgets import BudgetSnapshot, Payer, Release, Reservation, Spending
from topics.journal import CallEnded, Purpose
from topics.registry import ALERTS, BUDGETS
from topics.requests import Request

log = logging.getLogger(__name__)

_SNAPSHOT_EVERY: Final = 2_000
"""Records from one snapshot to the next, at least; more where the state is large."""
_RECORDS_AN_ENTRY: Final = 4
_STEP_MS: Final = 60_000
"""The log is read at least this much further back, so that a run of old calls does not have it read one by one."""
_TRAVEL_S: Final = 10.0
"""Beyond the time that a call has, how long its end may take to stand on the log."""


class BudgetRefusedError(Exception):
    """A budget has no room for a call; nothing was paid.

    Attributes:
        refusal: Which budget, and why.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Outlook:
    """What budgets have to say to a request before anything is paid for it.

    Attributes:
        refusal: The exhausted budget by which it is rejected; None where it may be served.
        ceilings: Highest tiers that exhausted budgets leave, each with its reason.
    """

    refusal: Refusal | None = None
    ceilings: tuple[tuple[int, str], ...] = ()


NO_LIMITS: Final = Outlook()


@dataclass(frozen=True, slots=True)
class Held:
    """Room for one call.

    Attributes:
        leaves_by: The call must not leave any later.
    """

    call_id: UUID
    request_id: str
    leaves_by: datetime


class Budgets:
    """The budgets of a deployment, from one process.

    Args:
        settings: The budgets, at least one.
        publisher: Writes the log.
        clock: Current moment.
        name: Of this process.
        reader: None: one of the cluster that the settings name.
    """

    def __init__(
        self, settings: Settings, publisher: Publisher, clock: Clock, name: str, reader: TopicReader | None = None
    ) -> None:
        self._plans = plans_of(settings)
        self._settings = settings
        self._publisher = publisher
        self._clock = clock
        self._name = name
        self._reader = reader or TopicReader(settings.kafka)
        self._follower = BudgetFollower(settings, clock, self._reader, on_applied=self._applied, on_begun=self._begin)
        self._verdicts: dict[UUID, asyncio.Future[Refusal | None]] = {}
        self._own: set[bytes] = set()
        """Spendings that this process has written, and not read yet."""
        self._snapshot_at = 0
        """Offset of the record after which this process writes a snapshot; 0: none."""
        self._last_snapshot = 0
        self._releasing: set[asyncio.Task[None]] = set()
        self._older: set[bytes] = set()
        self._older_since_ms: int | None = None

    @property
    def state(self) -> BudgetState:
        """What the log has come to, as far as this process has read it."""
        return self._follower.state

    async def run(self, ready: asyncio.Event) -> None:
        """Come to the end of the log, set `ready`, and go on following until cancelled.

        Raises:
            aiokafka.errors.KafkaError: The broker refuses to be read.
            DeliveryError: An alert or a snapshot could not be published.
        """
        await self._follower.run(ready)

    def outlook(self, request: Request) -> Outlook:
        """Say what exhausted budgets make of a request; it waits for nothing."""
        payer, now_ms = payer_of(request), self._now_ms()
        ceilings: list[tuple[int, str]] = []
        for plan in self._plans:
            if plan.is_hard and (refusal := self.state.refusal(payer, (plan.name,), now_ms)) is not None:
                if plan.lower_to is None:
                    return Outlook(refusal)
                ceilings.append((plan.lower_to, f"budget {plan.name}"))
        return Outlook(None, tuple(ceilings))

    def check(self, request: Request, *, purpose: Purpose, tier: int) -> None:
        """See whether a call that nothing is held for may be paid.

        Raises:
            BudgetRefusedError: A hard budget is exhausted.
        """
        payer = payer_of(request)
        refusal = self.state.refusal(payer, self._binding(payer, purpose, tier), self._now_ms())
        if refusal is not None:
            raise BudgetRefusedError(refusal)

    async def hold(
        self,
        call_id: UUID,
        attempt_id: UUID,
        request: Request,
        *,
        purpose: Purpose,
        tier: int,
        most_usd: Decimal,
        patience_s: float,
        call_s: float,
    ) -> Held | None:
        """Have room held for a call in every hard budget that it is charged to; None where there is no such budget.

        Args:
            call_id: Of the call; its spending lets the room go, and so does `let_go`. Where room is held for it already
                nothing more is: who goes on with a call of a process that died asks once more.
            attempt_id: The attempt that it is; what is still held for an earlier call of that is let go.
            request: That it is made for.
            purpose: What for.
            tier: Of the task.
            most_usd: What it may cost.
            patience_s: How long it waits where calls under way are in its way, and how long it may take to leave then.
            call_s: How long it may take once it has left.

        Raises:
            BudgetRefusedError: There is no room.
            DeliveryError: The log could not be written or read.
        """
        payer = payer_of(request)
        names = self._binding(payer, purpose, tier)
        if not names:
            return None
        now = self._clock()
        waits_until = now + timedelta(seconds=patience_s)
        leaves_by = waits_until + timedelta(seconds=patience_s + _TRAVEL_S)
        held = Held(call_id, request.request_id, leaves_by)
        if (claim := self.state.claims.get(call_id)) is not None and claim.granted:
            return held
        refusal = self.state.refusal(payer, names, self._now_ms())
        if refusal is not None:
            raise BudgetRefusedError(refusal)
        asked = Reservation(
            call_id=call_id,
            attempt_id=attempt_id,
            request_id=request.request_id,
            payer=payer,
            budgets=tuple(names),
            most_usd=most_usd,
            waits_until=waits_until,
            expires_at=leaves_by + timedelta(seconds=call_s + _TRAVEL_S),
        )
        try:
            refusal = await self._verdict(asked, patience_s)
        except BaseException:
            self.let_go(held)
            raise
        if refusal is not None:
            raise BudgetRefusedError(refusal)
        return held

    def let_go(self, held: Held) -> None:
        """Give back what was held for a call that is not made, for those who wait for room."""
        task = asyncio.create_task(self._release(held))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def spend(self, calls: Sequence[tuple[CallEnded, Payer]]) -> None:
        """Write down what calls have cost, which the journal has by now; return when the broker has it.

        Raises:
            DeliveryError: The broker did not take it.
        """
        spendings = [_spending(ended, payer) for ended, payer in calls if self._counts(ended, payer)]
        if not spendings:
            return
        self._own.update(map(identity_of, spendings))
        await self._publish(spendings)

    async def recall(self, ended: CallEnded, request: Request) -> None:
        """Write down what a call has cost that was made before, unless that was done then.

        Raises:
            DeliveryError: The broker did not take it.
            aiokafka.errors.KafkaError: The log could not be read.
        """
        spending = _spending(ended, payer_of(request))
        if not ended.cost_usd or not self._has_account(spending.payer):
            return
        if self.state.knows(spending) or identity_of(spending) in self._own:
            return
        ended_ms = int(ended.ended_at.timestamp() * 1000)
        if ended_ms < self._now_ms() - remembered_ms(self._settings) and await self._is_on_log(spending, ended_ms):
            return
        await self.spend([(ended, spending.payer)])

    def _binding(self, payer: Payer, purpose: Purpose, tier: int) -> list[str]:
        return [plan.name for plan in self._plans if plan.binds(purpose, tier) and _concerns(plan, payer)]

    def _has_account(self, payer: Payer) -> bool:
        return any(True for _ in places(self._plans, payer))

    def _counts(self, ended: CallEnded, payer: Payer) -> bool:
        """Whether anything follows from a call's end: money, or room that was held for it."""
        return self._has_account(payer) and (bool(ended.cost_usd) or ended.call_id in self.state.claims)

    async def _verdict(self, asked: Reservation, patience_s: float) -> Refusal | None:
        """Ask, and wait for what the log says to it; who is refused because of calls under way waits for them."""
        verdict: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._verdicts[asked.call_id] = verdict
        self._follower.hurry()
        try:
            [offset] = await self._publish([asked])
            await self._follower.pass_by(offset)
            # Not a timeout around it, which would cancel it, and who comes next is told nothing then.
            await asyncio.wait([verdict], timeout=patience_s)
            if verdict.done():
                return verdict.result()
            self.let_go(Held(asked.call_id, asked.request_id, asked.waits_until))
            return busy(self.state.claims[asked.call_id])
        finally:
            self._follower.rest()
            del self._verdicts[asked.call_id]

    async def _release(self, held: Held) -> None:
        try:
            await self._publish([Release(call_id=held.call_id, request_id=held.request_id)])
        except DeliveryError as error:
            # It expires by itself, and whoever publishes next ends the process.
            log.warning("what was held for a call could not be given back: %s", error)

    async def _publish(self, records: Sequence[Record]) -> list[int]:
        places = await self._publisher.publish([Output(BUDGETS, record) for record in records])
        offsets = [place.offset for place in places]
        due = next((offset for offset in offsets if offset % _SNAPSHOT_EVERY == _SNAPSHOT_EVERY - 1), None)
        if due is not None:
            self._snapshot_at = due
        return offsets

    async def _applied(self, record: Record, events: list[Event]) -> None:
        """Tell those of this process what follows from a record, and everybody what its own spendings bring about."""
        for event in events:
            if isinstance(event, Crossing):
                if identity_of(event.spending) in self._own:
                    log.info("budget %s has passed a level", event.plan.name)
                    await self._publisher.publish([Output(ALERTS, alert_of(event))])
            elif (verdict := self._verdicts.get(event.call_id)) is not None and not verdict.done():
                verdict.set_result(event.refusal)
        match record:
            case Spending():
                self._own.discard(identity_of(record))
            case BudgetSnapshot():
                self._last_snapshot = max(self._last_snapshot, record.offset)
        if self._snapshot_at and self._follower.next_offset > self._snapshot_at:
            await self._write_snapshot()

    async def _write_snapshot(self) -> None:
        self._snapshot_at, offset = 0, self._follower.next_offset
        if offset - self._last_snapshot >= _RECORDS_AN_ENTRY * size_of(self.state):
            self._last_snapshot = offset
            await self._publisher.publish(
                [Output(BUDGETS, one) for one in snapshots_of(self.state, offset, self._name)]
            )

    async def _begin(self, state: BudgetState) -> None:
        """Write down since when spending is counted."""
        for plan in self._plans:
            state.since_ms[plan.name] = self._now_ms()
        await self._publisher.publish([Output(BUDGETS, one) for one in snapshots_of(state, 0, self._name)])

    async def _is_on_log(self, spending: Spending, ended_ms: int) -> bool:
        """Look for a spending that is older than what is remembered; it can't be before the end of its call."""
        since_ms = ended_ms - SLACK_MS
        if self._older_since_ms is None or since_ms < self._older_since_ms:
            since_ms -= _STEP_MS
            async for record in self._reader.read(log_of(self._settings), since_ms=since_ms):
                if isinstance(found := read(record), Spending):
                    self._older.add(identity_of(found))
            self._older_since_ms = since_ms
        return identity_of(spending) in self._older

    def _now_ms(self) -> int:
        return int(self._clock().timestamp() * 1000)


def _concerns(plan: BudgetPlan, payer: Payer) -> bool:
    return any(True for _ in plan.keys_of(payer))


def _spending(ended: CallEnded, payer: Payer) -> Spending:
    return Spending(
        call_id=ended.call_id,
        request_id=ended.request_id,
        revision=ended.revision,
        payer=payer,
        cost_usd=ended.cost_usd,
        ended_at=ended.ended_at,
    )
