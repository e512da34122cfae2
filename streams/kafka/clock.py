"""Time as a thing that is passed in, so that policies and deadlines can be tested without waiting.

Deadlines are counted from append times, which the brokers give. A process decides by the brokers' time too, or its own
clock, if it is wrong by more than a deadline, would expire every request at once or serve those that nobody awaits.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the current moment in UTC."""

log = logging.getLogger(__name__)

_STEP_S = 5.0
"""Brokers may differ by less; a time that is ahead by more than that was a mistake, and is set back at once."""
_SLEW = 0.01
"""Seconds by which a second may be shortened where our time is ahead by less."""
_WORTH_A_WARNING_S = 5.0


def utc_now() -> datetime:
    """Read the system clock."""
    return datetime.now(UTC)


class BrokerClock:
    """The brokers' time, learned from the acknowledgements of what the process publishes; a `Clock`.

    An acknowledgement's append time was the brokers' time at some moment between sending and acknowledgement, which
    bounds their time from both sides. Of brokers that differ the one that is ahead counts, so that time does not go
    to and fro with the leader that was asked last. What is too much is taken back slowly, and time never runs
    backwards but for a mistake of seconds. The local clock counts until the first acknowledgement, and for nothing
    after it, whatever steps it makes.

    Args:
        local: The clock of the machine.
        monotonic: Monotonic seconds.
    """

    def __init__(self, local: Clock = utc_now, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._local = local
        self._monotonic = monotonic
        self._ahead_s = local().timestamp() - monotonic()
        self._learned_at: float | None = None
        self._warned_s = 0.0

    def __call__(self) -> datetime:
        """Return the brokers' time, as far as is known."""
        return datetime.fromtimestamp(self._monotonic() + self._ahead_s, UTC)

    def learn(self, timestamp_ms: int, sent_at: float) -> None:
        """Note an acknowledgement that came just now.

        Args:
            timestamp_ms: The append time of the record, in ms since the epoch.
            sent_at: When it was sent, by `monotonic`.
        """
        now, told_s = self._monotonic(), timestamp_ms / 1000
        # A time of whole milliseconds may be up to one earlier than the moment that it stands for.
        least_s, most_s = told_s - now, told_s + 0.001 - sent_at
        if self._learned_at is None or self._ahead_s < least_s or self._ahead_s > most_s + _STEP_S:
            self._ahead_s = least_s
        elif self._ahead_s > most_s:
            self._ahead_s -= min(self._ahead_s - most_s, (now - self._learned_at) * _SLEW)
        self._learned_at = now
        self._compare(now)

    def _compare(self, now: float) -> None:
        """Tell the log of a local clock that is wrong, or wrong by something else than before."""
        off_s = self._local().timestamp() - now - self._ahead_s
        if abs(off_s - self._warned_s) < _WORTH_A_WARNING_S:
            return
        self._warned_s = off_s
        if abs(off_s) < _WORTH_A_WARNING_S:
            log.warning("the clock of this machine agrees with the brokers' again")
            return
        way = "ahead of" if off_s > 0 else "behind"
        log.warning("the clock of this machine is %.0f s %s the brokers'; theirs counts", abs(off_s), way)
