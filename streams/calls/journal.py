"""The journal of one stage's paid calls: written before and after each, and asked before any is paid.

A call may take a minute while thousands of records behind it finish, and offsets are committed in order; so after a
crash finished work is delivered again. And whoever sends a request again does so under the same id. Either way the
attempt is the same, and how it ended is in the journal.
"""

import asyncio
from collections.abc import Sequence

from streams.calls.attempt_log import AttemptLog, AttemptRef
from streams.kafka.publisher import Output, Publisher
from topics.journal import CallEnded, CallStarted
from topics.registry import CALLS


class Journal:
    """Writes the calls of one stage and knows how they ended.

    Args:
        publisher: Writes the journal; what it returned for is acknowledged.
        attempts: What the journal says, for all stages of the process.
        partitions: How many it has.
    """

    def __init__(self, publisher: Publisher, attempts: AttemptLog, partitions: int) -> None:
        self._publisher = publisher
        self._attempts = attempts
        self._partitions = range(partitions)
        self._is_behind = False
        self._catching_up: asyncio.Task[None] | None = None

    async def started(self, calls: Sequence[CallStarted], also: Sequence[Output] = ()) -> None:
        """Record that calls are about to leave; return when the broker has all of it.

        Raises:
            DeliveryError: None of the calls must be made.
        """
        await self._publisher.publish([*(Output(CALLS, call) for call in calls), *also])

    async def ended(self, calls: Sequence[CallEnded]) -> None:
        """Record how calls came out; return when the broker has all of it.

        Raises:
            DeliveryError: Nothing derived from the calls may be published.
        """
        delivered = await self._publisher.publish([Output(CALLS, call) for call in calls])
        for call, place in zip(calls, delivered, strict=True):
            self._attempts.note_end(call, place)

    async def recall(self, one: AttemptRef, *, behind: int | None = None) -> CallEnded | None:
        """Return how an attempt ended earlier, in this process or in another one; None if it has not.

        Args:
            one: The attempt.
            behind: An offset in its partition that has to be known first.
        """
        if self._is_behind:
            self._is_behind = False
            self._catching_up = asyncio.create_task(self._attempts.catch_up(self._partitions))
        if self._catching_up is not None:
            await asyncio.shield(self._catching_up)
        if behind is not None:
            await self._attempts.pass_by([(one.partition, behind)])
        await self._attempts.cover(one)
        return await self._attempts.first_end(one)

    async def recall_anew(self, one: AttemptRef) -> CallEnded | None:
        """Return how an attempt ended, whoever has ended it up to this moment."""
        await self._attempts.catch_up([one.partition])
        return await self._attempts.first_end(one)

    def is_open(self, one: AttemptRef) -> bool:
        """Whether an attempt has been started and not ended, as far as is known."""
        return self._attempts.first_start(one) is not None and not self._attempts.has_ended(one)

    def assigned(self) -> None:
        """Note that partitions may have had other owners until now: what those have written is waited for."""
        self._is_behind = True
