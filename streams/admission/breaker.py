"""A circuit breaker as a state machine without a clock: every method is told the time, in monotonic seconds.

    closed     -- too many failures or slow calls in the window, or one failure that says enough --> open
    open       -- its time is up ------------------------------------------------------------------> half-open
    half-open  -- all probes are answered ---------------------------------------------------------> closed
    half-open  -- a probe fails -------------------------------------------------------------------> open

A call that leaves gets a ticket of the breaker's generation, which grows with each change of state. A result
counts only in its own generation: what left before the outage can't close the breaker, and what left before
the recovery can't open it again. Only a provider's own word on when to come back holds from whomever it comes.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from streams.admission.call_effect import CallEffect, Signal
from streams.config.settings_sections import BreakerSettings
from topics.control import BreakerState

WINDOW_BUCKETS: Final = 10
"""Parts of the window; it moves on by one of them at a time, so its memory is the same at any load."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls that ended, how many of them failed, and how many were slow, failed or not."""

    calls: int = 0
    failures: int = 0
    slow: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.calls + other.calls, self.failures + other.failures, self.slow + other.slow)


class SlidingCounts:
    """Counts of the last seconds.

    A result leaves the counts when it is between nine tenths of the window old and as old as the window.

    Args:
        window_s: Length of the window in seconds.
    """

    def __init__(self, window_s: float) -> None:
        self._width = window_s / WINDOW_BUCKETS
        self._buckets: deque[tuple[int, Counts]] = deque(maxlen=WINDOW_BUCKETS)

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count the end of a call; `now` never goes back."""
        index = int(now // self._width)
        one = Counts(1, int(failed), int(slow))
        if self._buckets and self._buckets[-1][0] == index:
            one += self._buckets.pop()[1]
        self._buckets.append((index, one))

    def counts(self, now: float) -> Counts:
        """Add up what is in the window."""
        oldest = int(now // self._width) - WINDOW_BUCKETS
        calls = failures = slow = 0
        for index, part in self._buckets:
            if index > oldest:
                calls += part.calls
                failures += part.failures
                slow += part.slow
        return Counts(calls, failures, slow)

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to make one call, to be given back with its outcome."""

    generation: int


@dataclass(frozen=True, slots=True)
class BreakerView:
    """A breaker at a moment.

    Attributes:
        since: When the state began, in monotonic seconds.
        until: When probes are let through, in monotonic seconds; None unless open for a time.
        counts: Of the window (in half-open, of the probes); while open, of what opened it.
    """

    target: str
    state: BreakerState
    forced: bool
    reason: str
    since: float
    until: float | None
    counts: Counts


class CircuitBreaker:
    """Decides whether calls may leave for one target.

    It is open for a constant time. Growing times would spare a dead provider a few probes, which are bounded
    anyway, and would hide its recovery from users for as long as the outage has made them.

    Args:
        target: Its name, for display.
        settings: When it opens and how it closes again.
        now: Monotonic seconds.
        on_change: Called with the breaker's view just after each change of state, and the state before.
    """

    def __init__(
        self,
        target: str,
        settings: BreakerSettings,
        *,
        now: float,
        on_change: Callable[[BreakerView, BreakerState], None],
    ) -> None:
        self.target = target
        self._settings = settings
        self._on_change = on_change
        self._window = SlidingCounts(settings.window_s)
        self._state = BreakerState.CLOSED
        self._forced = False
        self._reason = "start"
        self._since = now
        self._until: float | None = None
        self._counts = Counts()
        self._generation = 0
        self._probing = 0
        self._answered = 0
        self._in_a_row = 0

    @property
    def forced(self) -> bool:
        """Whether an operator's order decides the state."""
        return self._forced

    def view(self, now: float) -> BreakerView:
        """Show the breaker as it is."""
        self._advance(now)
        counts = self._counts if self._state is BreakerState.OPEN else self._window.counts(now)
        return BreakerView(self.target, self._state, self._forced, self._reason, self._since, self._until, counts)

    def lets_through(self, now: float) -> bool:
        """Whether `admit` would let a call through."""
        self._advance(now)
        if self._state is BreakerState.HALF_OPEN:
            return self._probing + self._answered < self._settings.probes
        return self._state is BreakerState.CLOSED

    def wait_s(self, now: float) -> float | None:
        """Tell in how many seconds a call may be let through; None: that depends on probes or on an operator."""
        if self.lets_through(now):
            return 0.0
        return None if self._until is None else self._until - now

    def admit(self, now: float) -> Ticket | None:
        """Let a call through, or not; each ticket has to come back through `record`."""
        if not self.lets_through(now):
            return None
        if self._state is BreakerState.HALF_OPEN:
            self._probing += 1
        return Ticket(self._generation)

    def stands(self, ticket: Ticket) -> bool:
        """Whether the call of a ticket may still leave: the breaker has not opened since."""
        return self._state is BreakerState.CLOSED or ticket.generation == self._generation

    def record(self, ticket: Ticket, effect: CallEffect, now: float) -> None:
        """Take a ticket back, with what the call says about the target.

        An unknown signal gives the place of a probe back: it can neither close nor open.
        """
        self._advance(now)
        current = ticket.generation == self._generation
        if current:
            self._note(effect, now)
        if self._forced:
            return
        if effect.asked and effect.open_s is not None:
            self._stay_away(effect.reason, now + effect.open_s, now)
        elif current and effect.signal is not Signal.UNKNOWN:
            self._decide(effect, now)

    def order(self, order: Literal["open", "closed", "auto"], now: float) -> None:
        """Obey an operator: let nothing through, let everything through, or go back to normal from closed.

        An order that is in force already changes nothing, so that orders may be read again.
        """
        self._advance(now)
        if order == "auto":
            if self._forced:
                self._change(BreakerState.CLOSED, "order taken back", now)
            return
        state = BreakerState(order)
        if not (self._forced and self._state is state):
            self._change(state, f"ordered {order}", now, forced=True)

    def shut(self, reason: str, seconds: float, now: float) -> None:
        """Stay open for at least so long, unless an operator's order decides otherwise."""
        self._advance(now)
        if not self._forced:
            self._stay_away(reason, now + seconds, now)

    def recover(self, reason: str, now: float) -> None:
        """Close, unless an operator's order or a wait decides otherwise."""
        self._advance(now)
        if not self._forced and self._state is not BreakerState.CLOSED:
            self._change(BreakerState.CLOSED, reason, now)

    def _advance(self, now: float) -> None:
        if self._until is not None and now >= self._until:
            self._change(BreakerState.HALF_OPEN, "time is up, probing", now)

    def _stay_away(self, reason: str, until: float, now: float) -> None:
        if self._state is not BreakerState.OPEN:
            self._change(BreakerState.OPEN, reason, now, until=until)
        elif self._until is not None and until > self._until:
            self._until, self._reason = until, reason

    def _note(self, effect: CallEffect, now: float) -> None:
        if self._state is BreakerState.HALF_OPEN:
            self._probing -= 1
        if effect.signal is not Signal.UNKNOWN:
            failed = effect.signal is Signal.FAILURE
            self._window.add(now, failed=failed, slow=effect.slow)
            self._in_a_row = self._in_a_row + 1 if failed else 0

    def _decide(self, effect: CallEffect, now: float) -> None:
        if effect.open_s is not None:
            self._open(effect.reason, now, max(effect.open_s, self._settings.open_s))
        elif self._state is BreakerState.HALF_OPEN:
            self._decide_probe(effect, now)
        elif (reason := self._too_bad(now)) is not None:
            self._open(reason, now, self._settings.open_s)

    def _decide_probe(self, effect: CallEffect, now: float) -> None:
        # An answer is an answer, however slow: closing starts a new window, in which slowness counts again.
        if effect.signal is Signal.FAILURE:
            # The time that a hung probe took was time to recover as well.
            self._open(f"probe failed: {effect.reason}", now, max(self._settings.open_s - (now - self._since), 0.0))
            return
        self._answered += 1
        if self._answered == self._settings.probes:
            self._change(BreakerState.CLOSED, "probes were answered", now)

    def _too_bad(self, now: float) -> str | None:
        counts = self._window.counts(now)
        if counts.calls < self._settings.min_calls:
            return None
        # After a long good time a window takes most of its length to fill up with failures.
        if self._in_a_row >= 2 * self._settings.min_calls:
            return f"the last {self._in_a_row} calls failed"
        if counts.failures / counts.calls >= self._settings.failure_rate:
            return f"{counts.failures} of {counts.calls} calls failed"
        if counts.slow / counts.calls >= self._settings.slow_rate:
            return f"{counts.slow} of {counts.calls} calls were slow"
        return None

    def _open(self, reason: str, now: float, seconds: float) -> None:
        self._change(BreakerState.OPEN, reason, now, until=now + seconds)

    def _change(
        self, state: BreakerState, reason: str, now: float, *, until: float | None = None, forced: bool = False
    ) -> None:
        before = self._state
        if before is not BreakerState.OPEN:
            self._counts = self._window.counts(now)
        self._window.clear()
        self._state, self._reason, self._forced = state, reason, forced
        self._since, self._until = now, until
        self._generation += 1
        self._probing = self._answered = self._in_a_row = 0
        view = BreakerView(self.target, state, forced, reason, now, until, self._counts)
        self._on_change(view, before)
