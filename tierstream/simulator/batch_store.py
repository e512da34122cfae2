"""The batches of a simulator: each is worked on in its time, and found again by its id."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from tierstream.simulator.batch import Batch, BatchCall, CallResult, End

_MOST_ENDED: Final = 1000
_MOST_MADE: Final = 100_000
_VALIDATED_AT: Final = 0.05
"""Share of a batch's time after which its calls begin."""
_ANSWERED_AT: Final = 0.95
"""Share of a batch's time after which all of them are done."""


class BatchStore:
    """Batches of all providers, in memory. Of too many that have ended, the oldest are no longer found."""

    def __init__(self) -> None:
        self._found: dict[str, Batch] = {}
        self._ended: deque[str] = deque()
        self._made: deque[Batch] = deque(maxlen=_MOST_MADE)
        self._at_work: set[asyncio.Task[None]] = set()
        self._an_end = asyncio.Event()
        self._ends = 0

    @property
    def made(self) -> list[Batch]:
        """Every batch that was ever made, the oldest first, found or not."""
        return list(self._made)

    def start(
        self, batch: Batch, answer: Callable[[BatchCall], CallResult], write_results: Callable[[Batch], None]
    ) -> None:
        """Take a batch, and begin to work on it soon.

        Args:
            batch: It.
            answer: Makes one of its calls.
            write_results: Is called once all calls are done, before the batch ends.
        """
        self._found[batch.batch_id] = batch
        self._made.append(batch)
        work = asyncio.create_task(self._work(batch, answer, write_results))
        self._at_work.add(work)
        work.add_done_callback(self._at_work.discard)

    def find(self, provider: str, batch_id: str) -> Batch | None:
        """A batch of a provider."""
        batch = self._found.get(batch_id)
        return batch if batch and batch.provider == provider else None

    def newest_first(self, provider: str) -> list[Batch]:
        """The batches of a provider that can be found."""
        return [batch for batch in reversed(self._found.values()) if batch.provider == provider]

    def forget(self, batch_id: str) -> None:
        """Have a batch no longer be found."""
        self._found.pop(batch_id, None)

    def hurry(self) -> None:
        """Have all batches end at once."""
        for batch in self._found.values():
            batch.hurry()

    async def ended_reach(self, total: int) -> None:
        """Wait until that many batches have ended."""
        while self._ends < total:
            await self._an_end.wait()

    async def close(self) -> None:
        """Stop all work."""
        for work in self._at_work:
            work.cancel()
        await asyncio.gather(*self._at_work, return_exceptions=True)

    async def _work(
        self, batch: Batch, answer: Callable[[BatchCall], CallResult], write_results: Callable[[Batch], None]
    ) -> None:
        end = await _answered(batch, answer)
        if end == "cancelled":
            for call in batch.calls[len(batch.results) :]:
                batch.add(CallResult(call.custom_id, "cancelled"))
        write_results(batch)
        batch.calls = ()
        batch.results.clear()
        batch.move_to(end)
        self._ended.append(batch.batch_id)
        if len(self._ended) > _MOST_ENDED:
            self.forget(self._ended.popleft())
        self._ends += 1
        self._an_end.set()
        self._an_end.clear()


async def _answered(batch: Batch, answer: Callable[[BatchCall], CallResult]) -> End:
    """Make the calls of a batch evenly over its time, until it is called off; return how it ends."""
    clock = asyncio.get_running_loop().time
    start = clock()

    async def called_off_by(share: float) -> bool:
        return await batch.is_called_off_within(start + share * batch.seconds - clock())

    if await called_off_by(_VALIDATED_AT):
        return "cancelled"
    if batch.problems:
        return "failed"
    batch.move_to("in_progress")
    pace = (_ANSWERED_AT - _VALIDATED_AT) / len(batch.calls)
    for place, call in enumerate(batch.calls):
        if await called_off_by(_VALIDATED_AT + pace * (place + 1)):
            return "cancelled"
        reached = place not in batch.never_reached
        batch.add(answer(call) if reached else CallResult(call.custom_id, "expired"))
    batch.move_to("finalizing")
    if await called_off_by(1):
        return "cancelled"
    return "expired" if batch.never_reached else "completed"
