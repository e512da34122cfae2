"""The right to act for a partition: what a stage makes sure of before it does what can't be taken back."""

from collections.abc import Callable, Sequence

from streams.kafka.heartbeat import GroupHeartbeat


class PartitionLostError(Exception):
    """The partition of a record belongs to another process by now; that process does the work."""


class Lease:
    """Holds as long as the consumer group counts this process as the owner of a partition, since the record came.

    Args:
        heartbeat: Of the consumer group.
        partition: Of the record.
        stage: Whose record it is; what errors call it.
        is_owner: Whether the partition is still assigned to this process, as far as it knows.
    """

    def __init__(self, heartbeat: GroupHeartbeat, partition: int, stage: str, is_owner: Callable[[], bool]) -> None:
        self._heartbeat = heartbeat
        self.partition = partition
        self._stage = stage
        self._is_owner = is_owner

    @property
    def holds(self) -> bool:
        """Whether the lease holds as far as is known; of a process that was stopped that may be old news."""
        return self._is_owner()

    async def still_holds(self) -> bool:
        """Wait until the group has been heard from, and say whether the lease holds."""
        await self._heartbeat.wait_fresh()
        return self.holds

    async def confirm(self) -> None:
        """Wait until the group has been heard from.

        Raises:
            PartitionLostError: The lease holds no more.
        """
        if not await self.still_holds():
            raise PartitionLostError(f"partition {self.partition} of {self._stage}")


async def confirm_any(leases: Sequence[Lease]) -> None:
    """Make sure that what is done for several records is for one of them at least.

    Raises:
        PartitionLostError: None of the leases holds.
    """
    for lease in leases:
        if await lease.still_holds():
            return
    raise PartitionLostError(f"{len(leases)} records of one batch")
