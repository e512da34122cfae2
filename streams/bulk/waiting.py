"""Tasks that wait for others to leave with: what has to be known of each; its content stays in Kafka."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from streams.config.settings_bulk import BulkSettings
from topics.base import from_millis
from topics.bulk import BulkTask, Member

CallKey = tuple[str, int, str, int]
"""Request, revision, stage and number of a call: copies of a task are about the same call."""


@dataclass(frozen=True, slots=True)
class Waiter:
    """A task that waits.

    Attributes:
        member: What it will be in a submission.
        stage: Whose call it is.
        provider: Who is to answer.
        model: Of the provider.
        size: Bytes of its record.
        deadline: Of its request.
        since: When it came, in seconds of the monotonic clock.
    """

    member: Member
    stage: str
    provider: str
    model: str
    size: int
    deadline: datetime
    since: float

    @classmethod
    def of(cls, bulk: BulkTask, offset: int, size: int, since: float) -> "Waiter":
        """Note what has to be known of a task, and where it is."""
        task = bulk.task
        member = Member(
            offset=offset,
            request_id=task.request.request_id,
            revision=task.revision,
            n=task.tries(bulk.stage),
            asked_ms=task.source.timestamp_ms,
        )
        return cls(member, bulk.stage, bulk.provider, bulk.model, size, task.deadline, since)

    @property
    def call(self) -> CallKey:
        """Which call it is."""
        return call_of(self.member, self.stage)


def call_of(member: Member, stage: str) -> CallKey:
    """Say which call a member of a submission is."""
    return member.request_id, member.revision, stage, member.n


_Group = tuple[str, str, str, int]


@dataclass(slots=True)
class WaitingTasks:
    """The tasks of one partition that wait.

    Those leave together whose call is of the same stage and model, and whose time is of the same order: the first
    deadline of a batch counts for all of it.

    Args:
        settings: How long they wait, and for how many.
    """

    settings: BulkSettings
    _groups: dict[_Group, list[Waiter]] = field(default_factory=dict)
    _calls: set[CallKey] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Waiter]:
        return (waiter for group in self._groups.values() for waiter in group)

    @property
    def first_offset(self) -> int | None:
        """The offset of the first task that waits; None where none does."""
        return min((group[0].member.offset for group in self._groups.values()), default=None)

    def has(self, call: CallKey) -> bool:
        """Whether a task waits for that call."""
        return call in self._calls

    def add(self, waiter: Waiter) -> None:
        """Have a task wait; the next one of its partition."""
        time_s = (waiter.deadline - from_millis(waiter.member.asked_ms)).total_seconds()
        order = max(math.frexp(time_s / self.settings.least_s)[1], 0)
        self._groups.setdefault((waiter.stage, waiter.provider, waiter.model, order), []).append(waiter)
        self._calls.add(waiter.call)

    def due(self, monotonic: float, max_bytes: int) -> list[list[Waiter]]:
        """Return those that leave now, together; they wait on until they are `remove`d.

        Args:
            monotonic: Now, in seconds of the clock of `Waiter.since`.
            max_bytes: Of the records that leave together.
        """
        leaving: list[list[Waiter]] = []
        for group in self._groups.values():
            for part in _parts(group, self.settings.max_size, max_bytes):
                is_full = len(part) == self.settings.max_size or part[-1] is not group[-1]
                if is_full or monotonic - part[0].since >= self.settings.wait_s:
                    leaving.append(part)
        return leaving

    def remove(self, waiters: Iterable[Waiter]) -> None:
        """Have some wait no longer."""
        gone = {waiter.call for waiter in waiters}
        self._calls -= gone
        left = {key: [one for one in group if one.call not in gone] for key, group in self._groups.items()}
        self._groups = {key: group for key, group in left.items() if group}


def _parts(group: list[Waiter], max_size: int, max_bytes: int) -> Iterator[list[Waiter]]:
    part: list[Waiter] = []
    size = 0
    for waiter in group:
        if part and (len(part) == max_size or size + waiter.size > max_bytes):
            yield part
            part, size = [], 0
        part.append(waiter)
        size += waiter.size
    if part:
        yield part
