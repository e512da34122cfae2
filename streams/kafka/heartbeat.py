"""Whether this process may still act for its consumer group.

A process that was stopped and continued, or cut off from the broker, believes that it owns partitions that
others have taken over. Its commits are refused by the broker, but a provider would gladly bill its calls.
"""

import asyncio
import time
from collections.abc import Callable

_POLL_S = 0.02


class GroupHeartbeat:
    """Remembers when the group coordinator was last asked and has answered; `beat` may be called from any thread.

    An answer is as old as its question: it may have lain in the socket of a process that was stopped, and when it was
    given nobody knows.

    Args:
        session_timeout_s: After this many silent seconds the group gives the partitions away; half of it is
            how old the last answer may be for a call to start.
        monotonic: Monotonic seconds.
    """

    def __init__(self, session_timeout_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = session_timeout_s / 2
        self._monotonic = monotonic
        self._is_member: Callable[[], bool] = lambda: True
        # Monotonic time goes on while a process is stopped, which is just what has to be noticed.
        self._last = float("-inf")

    def watch(self, is_member: Callable[[], bool]) -> None:
        """Take the word of the client for whether the group still counts it as a member."""
        self._is_member = is_member

    @property
    def is_member(self) -> bool:
        """Whether the process is in the group; once it was put out, what it holds belongs to others."""
        return self._is_member()

    def beat(self, asked_at: float | None = None) -> None:
        """Note that the coordinator has answered, and when it was asked: by `monotonic`; None: only just."""
        self._last = max(self._last, self._monotonic() if asked_at is None else asked_at)

    @property
    def fresh(self) -> bool:
        """Whether the last answer is recent enough to act on."""
        return self.is_member and self._monotonic() - self._last < self._limit

    async def wait_fresh(self) -> None:
        """Wait until the coordinator has answered recently, or the process is in the group no more.

        A process that was put out joins again only when its work in hand has ended, so that work must not wait.
        """
        while self.is_member and not self.fresh:  # noqa: ASYNC110 - beats come from another thread, and waiting is the rare case
            await asyncio.sleep(_POLL_S)
