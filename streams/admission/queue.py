"""Queue at a provider: calls wait in order of arrival for a free slot and for their model's limits.

Everything happens in one event loop and between two awaits, so that nothing needs a lock. A call that waits holds
nothing: slot, tokens and place as a probe are taken together, when its turn comes.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from streams.admission.breaker import CircuitBreaker, Ticket
from streams.admission.call_effect import NOTHING_LEARNED
from streams.admission.rate_limit import Ahead, RateLimiter

_SHORTEST_ALARM_S: Final = 0.001
"""Without it, a time that rounding puts just before the moment waited for would be waited for again and again."""

_NOBODY: Final = Ahead()

Unavailability = Literal["breaker_open", "rate_limited", "busy"]


class UnavailableError(Exception):
    """A call may not leave now.

    Attributes:
        target: `provider/model` or `tier:N`.
        reason: `breaker_open`, `rate_limited` (the wait would be longer than the patience) or `busy` (no slot came
            free in time).
        until_s: In how many seconds it is worth trying again; None where that depends on calls under way or on an
            operator.
    """

    def __init__(self, target: str, reason: Unavailability, until_s: float | None) -> None:
        soon = "" if until_s is None else f", for another {until_s:.1f} s"
        super().__init__(f"{target} can't be called: {reason}{soon}")
        self.target = target
        self.reason = reason
        self.until_s = until_s


class Alarm(Protocol):
    """A callback that is due; `asyncio.TimerHandle` is one."""

    def cancel(self) -> None:
        """Never call it."""


CallLater = Callable[[float, Callable[[], None]], Alarm]
"""Has a callback called in so many seconds, in the event loop."""


@dataclass(frozen=True, slots=True, eq=False)
class GatedModel:
    """What stands between a call and one model."""

    target: str
    breaker: CircuitBreaker
    limiter: RateLimiter
    queue: "Queue"
    account: "Account"


@dataclass(frozen=True, slots=True, eq=False)
class Account:
    """A provider as one key opens it: what is wrong with the key is wrong for all of its models.

    Attributes:
        provider: Its name in the config.
        key_variable: The environment variable that has the key.
        models: All that may be called.
    """

    provider: str
    key_variable: str
    models: list[GatedModel] = field(default_factory=list)

    @property
    def refusal(self) -> str:
        """What an operator is told where the provider refuses the key."""
        return f"{self.provider} refuses the key in {self.key_variable}: set a valid one and restart the workers"

    def shut(self, seconds: float, now: float) -> None:
        """Let no call of any model through for so long, because the key was refused."""
        for model in self.models:
            model.breaker.shut(self.refusal, seconds, now)


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    model: GatedModel
    tokens: int
    deadline: float
    turn: asyncio.Future[Ticket]


class Queue:
    """The slots of one provider and who waits for them.

    Whoever came first goes first, except that a model at its limit does not hold up the provider's other models.

    Args:
        slots: Most calls at a time.
        monotonic: Gives monotonic seconds.
        call_later: Wakes the queue up; None: the running event loop's.
    """

    def __init__(self, slots: int, *, monotonic: Callable[[], float], call_later: CallLater | None) -> None:
        self._slots = self._free = slots
        self._monotonic = monotonic
        self._call_later = call_later
        self._waiting: list[_Waiter] = []
        self._alarm: Alarm | None = None

    @property
    def under_way(self) -> int:
        """Number of calls that have a slot."""
        return self._slots - self._free

    @property
    def waiting(self) -> int:
        """Number of calls that wait for their turn."""
        return len(self._waiting)

    async def turn(self, model: GatedModel, tokens: int, patience_s: float) -> Ticket:
        """Wait for a slot, with the breaker's and the limiter's leave; `leave` has to follow.

        Raises:
            UnavailableError: As soon as it is known that the turn would not come within the patience.
        """
        now = self._monotonic()
        deadline = now + patience_s
        if not self._waiting:
            match self._turn_of(model, tokens, deadline, now, _NOBODY):
                case Ticket() as ticket:
                    return ticket
                case UnavailableError() as error:
                    raise error
        future: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(model, tokens, deadline, future)
        self._waiting.append(waiter)
        self.look()
        try:
            return await future
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def leave(self) -> None:
        """Give a slot back."""
        self._free += 1
        self.look()

    def look(self) -> None:
        """Let go on whoever can, and turn away whoever would wait in vain: to be called when something changed."""
        if not self._waiting:
            return
        now = self._monotonic()
        # Who waits for the same model ahead of the one that is looked at.
        ahead: defaultdict[str, Ahead] = defaultdict(Ahead)
        waiting, self._waiting = self._waiting, []
        wake = float("inf")
        for waiter in waiting:
            if waiter.turn.done():
                continue  # cancelled, and not yet withdrawn
            before = ahead[waiter.model.target]
            match self._turn_of(waiter.model, waiter.tokens, waiter.deadline, now, before):
                case Ticket() as ticket:
                    waiter.turn.set_result(ticket)
                case UnavailableError() as error:
                    waiter.turn.set_exception(error)
                case float() as again:
                    wake = min(wake, again)
                    ahead[waiter.model.target] = Ahead(before.requests + 1, before.tokens + waiter.tokens)
                    self._waiting.append(waiter)
        self._set_alarm(wake - now)

    def _turn_of(
        self, model: GatedModel, tokens: int, deadline: float, now: float, ahead: Ahead
    ) -> Ticket | UnavailableError | float:
        """Decide on a call: its ticket, why it is turned away, or when to look again."""
        if not model.breaker.lets_through(now):
            return UnavailableError(model.target, "breaker_open", model.breaker.wait_s(now))
        wait = model.limiter.wait_s(tokens, now, ahead)
        if wait > 0:
            turn = now + wait
            return turn if turn <= deadline else UnavailableError(model.target, "rate_limited", wait)
        if self._free and (ticket := model.breaker.admit(now)) is not None:
            self._free -= 1
            model.limiter.take(tokens, now)
            return ticket
        return deadline if now < deadline else UnavailableError(model.target, "busy", None)

    def _withdraw(self, waiter: _Waiter) -> None:
        """Undo what a cancelled call has taken; its turn may have come in the moment of its cancellation."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        elif not waiter.turn.cancelled() and waiter.turn.exception() is None:
            now = self._monotonic()
            waiter.model.limiter.give_back(waiter.tokens, now)
            waiter.model.breaker.record(waiter.turn.result(), NOTHING_LEARNED, now)
            self._free += 1
        self.look()

    def _set_alarm(self, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._waiting:
            call_later = self._call_later or asyncio.get_running_loop().call_later
            self._alarm = call_later(max(seconds, _SHORTEST_ALARM_S), self.look)
