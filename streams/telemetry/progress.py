"""How far the partitions of a stage are, for those who watch it from outside."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

PartitionName = tuple[str, int]
"""Topic and partition; aiokafka's and Faust's kinds of it are such tuples."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far a partition is.

    Attributes:
        done: The offset up to which all is done for good.
        end: Where the partition ends, as far as is known: as of the last fetch.
    """

    done: int
    end: int

    @property
    def lag(self) -> int:
        """Offsets that are yet to be done."""
        return max(self.end - self.done, 0)


class Progress(Protocol):
    """A stage that can be asked how far it is."""

    def places(self) -> Mapping[PartitionName, Place]:
        """Say how far each assigned partition is; those of which that is not known yet are left out."""

    @property
    def is_resting(self) -> bool:
        """Whether what there is to do is meant to wait, so that nothing has to move."""
