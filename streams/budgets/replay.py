"""Where reading the log of budgets begins: at the latest snapshot, or as far back as the longest window."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from streams.budgets.plan import BudgetPlan, plans_of
from streams.budgets.snapshots import SnapshotParts, restored
from streams.budgets.state import BudgetState, Event
from streams.config.settings import Settings
from streams.kafka.topic_reader import RawRecord, TopicReader
from topics.base import Record
from topics.budgets import BUDGETS_KEY, BudgetSnapshot, Spending
from topics.codec import SCHEMA_HEADER, DecodeError, decode, header
from topics.partitioning import partition_for
from topics.registry import BUDGETS

SLACK_MS: Final = 5_000
"""How far the clocks of brokers may be apart."""
_BACK: Final = 1_000
"""Records at the end of the log that are searched for a snapshot first; each further time 16 times as many."""


def log_of(settings: Settings) -> TopicPartition:
    """Return the partition that everything about budgets is on."""
    kafka = settings.kafka
    return TopicPartition(BUDGETS.full_name(kafka.prefix), partition_for(BUDGETS_KEY, kafka.partitions))


def remembered_ms(settings: Settings) -> int:
    """Return for how long a spending is recognised: as long as the call that it is of is remembered."""
    longest = settings.deadlines.longest.total_seconds()
    return int((settings.delivery.dedup_window_s + longest) * 1000) + SLACK_MS


def read(record: RawRecord) -> Record | None:
    """Read a record of the log; None where it can't be read."""
    try:
        return decode(BUDGETS, record.value, record.headers).record
    except DecodeError:
        return None


@dataclass(slots=True)
class Replay:
    """A state on its way to the end of the log.

    Attributes:
        state: What was applied so far.
        since_ms: From which append time on the log has to be read, ms since the epoch.
        next_offset: The first record that the state has not in it; what is before is remembered alone.
        is_new: Whether there was nothing in the log.
    """

    state: BudgetState
    since_ms: int
    next_offset: int = 0
    is_new: bool = False
    _has_begun: bool = False

    def take(self, record: RawRecord) -> tuple[Record | None, list[Event]]:
        """Take the next record of the log; return it with what follows from it."""
        read_record = read(record)
        if record.offset < self.next_offset:
            if isinstance(read_record, Spending):
                self.state.remember(read_record, record.timestamp)
            return None, []
        self.next_offset = record.offset + 1
        if not self._has_begun:
            self._has_begun = True
            for plan in self.state.plans:
                self.state.since_ms.setdefault(plan.name, max(self.since_ms, record.timestamp))
        if read_record is None or isinstance(read_record, BudgetSnapshot):
            return read_record, []
        return read_record, self.state.apply(read_record, record.timestamp)


async def begun_replay(reader: TopicReader, settings: Settings, now_ms: int) -> Replay:
    """Begin with the latest snapshot that has all budgets; with none as far back as the longest window reaches.

    Raises:
        aiokafka.errors.KafkaError: The broker can't be reached, or refuses.
    """
    plans, remembered = plans_of(settings), remembered_ms(settings)
    tp = log_of(settings)
    end = (await reader.end_offsets([tp]))[tp]
    found = await _latest_snapshot(reader, tp, plans, end)
    if found is not None:
        return Replay(restored(found, plans, remembered), found[0].at_ms - remembered, found[0].offset)
    longest = max(plan.settings.window_ms for plan in plans)
    state = BudgetState(plans, remembered)
    is_new = await reader.next_record(tp, 0) is None
    return Replay(state, max(now_ms - longest - remembered, 0), is_new=is_new)


async def _latest_snapshot(
    reader: TopicReader, tp: TopicPartition, plans: Sequence[BudgetPlan], end: int
) -> Sequence[BudgetSnapshot] | None:
    back = _BACK
    while True:
        parts = SnapshotParts()
        async for record in reader.read(tp, since_offset=max(end - back, 0), until_offset=end):
            if header(record.headers, SCHEMA_HEADER) == BudgetSnapshot.SCHEMA:
                snapshot = read(record)
                if isinstance(snapshot, BudgetSnapshot):
                    parts.add(snapshot)
        latest = parts.latest(plans)
        if latest is not None or back >= end:
            return latest
        back *= 16
