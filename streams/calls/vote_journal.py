"""The journal of tier votes: whose call of an attempt came first, and which end of it decides.

Two copies of a request under different keys may be in two processes at once, and a stopped process may go on when
another has its work. What they must agree on is the order of their records in the journal. So a record of its own
tells a process nothing before all that stands ahead of it is known.
"""

import contextlib
from collections.abc import Collection, Sequence

from streams.calls.attempt_log import AttemptLog, AttemptRef
from streams.kafka.publisher import Delivered, Output, Publisher
from topics.journal import CallEnded, CallStarted
from topics.registry import CALLS


class VoteJournal:
    """Writes the calls of classify, and knows in which order all processes wrote theirs.

    Args:
        publisher: Writes the journal; what it returned for is acknowledged.
        attempts: What the journal says.
    """

    def __init__(self, publisher: Publisher, attempts: AttemptLog) -> None:
        self._publisher = publisher
        self._attempts = attempts

    async def recall(self, one: AttemptRef) -> CallEnded | None:
        """Return how an attempt ended earlier, as far back as a copy of the request may lie."""
        await self._attempts.cover(one)
        return await self.first_end(one)

    async def write(self, calls: Sequence[CallStarted | CallEnded]) -> list[Delivered]:
        """Publish records, and return when all that stands ahead of them is known.

        Raises:
            DeliveryError: The broker did not take them, or can't be read; the process has to stop.
        """
        places = await self._publisher.publish([Output(CALLS, call) for call in calls])
        await self._attempts.pass_by([(place.partition, place.offset) for place in places])
        return places

    def may_call(self, one: AttemptRef, start: Delivered) -> bool:
        """Whether this start is the attempt's first record of all: then, and only then, its call may leave."""
        is_first = self._attempts.first_start(one) == start.offset
        return is_first and not self._attempts.has_ended(one)

    async def first_end(self, one: AttemptRef) -> CallEnded | None:
        """Return the end that decides: the first one in the journal, as far as that is known."""
        return await self._attempts.first_end(one)

    async def wait_ended(self, attempts: Collection[AttemptRef], timeout_s: float) -> None:
        """Wait until each of these attempts has an end, or until the time is over."""

        def have_ended() -> bool:
            return all(self._attempts.has_ended(one) for one in attempts)

        with contextlib.suppress(TimeoutError):
            await self._attempts.until(have_ended, timeout_s)
