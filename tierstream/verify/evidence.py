"""The topics as evidence: each partition up to its end as of one moment, a record at a time."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams.config.settings_sections import KafkaSettings
from streams.kafka.admin import admin_client
from streams.kafka.topic_reader import RawRecord, TopicReader, partitions_of
from tierstream.verify.findings import Check, Findings, place
from topics.base import Record
from topics.codec import DecodeError, decode
from topics.registry import TopicSpec

M = TypeVar("M", bound=Record)

Progress = Callable[[str, int], None]
"""Told now and then which topic is read and how many records have been read in all."""

_PROGRESS_EVERY = 2_000


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a partition: offsets from `lead` are read for memory, from `start` judged, up to `end`."""

    tp: TopicPartition
    beginning: int
    lead: int
    start: int
    end: int


class Evidence:
    """Reads topics outside any consumer group, and counts what it reads."""

    def __init__(self, kafka: KafkaSettings, findings: Findings, progress: Progress) -> None:
        self.records = 0
        self._kafka = kafka
        self.reader = TopicReader(kafka)
        self._findings = findings
        self._progress = progress

    async def spans(
        self,
        spec: TopicSpec[Record],
        *,
        since_ms: int | None = None,
        lead_ms: int | None = None,
    ) -> list[Span]:
        """Fix the stretches of all partitions of a topic; their ends are those of this moment.

        Args:
            spec: The topic.
            since_ms: First moment that is judged, ms since the epoch; None: the beginning.
            lead_ms: First moment that is read; None: the same.
        """
        tps = partitions_of(spec, self._kafka)
        async with self.reader.opened(tps) as cursor:
            ends = await cursor.ends()
            beginnings = await cursor.beginnings()
            starts = beginnings if since_ms is None else await cursor.offsets_at(since_ms, ends)
            leads = starts if lead_ms is None else await cursor.offsets_at(lead_ms, ends)
        return [Span(tp, beginnings[tp], leads[tp], starts[tp], ends[tp]) for tp in tps]

    async def read(
        self,
        spec: TopicSpec[M],
        span: Span,
        *,
        max_bytes: int | None = None,
    ) -> AsyncIterator[tuple[RawRecord, M | DecodeError]]:
        """Yield each record of a span, with why it can't be read where it can't."""
        async for raw in self.reader.read(span.tp, since_offset=span.lead, until_offset=span.end):
            self.records += 1
            if self.records % _PROGRESS_EVERY == 0:
                self._progress(span.tp.topic, self.records)
            try:
                yield raw, decode(spec, raw.value, raw.headers, max_bytes=max_bytes).record
            except DecodeError as error:
                yield raw, error

    async def read_ours(self, spec: TopicSpec[M], span: Span) -> AsyncIterator[tuple[RawRecord, M]]:
        """Yield the records of a topic that only we write; one that can't be read is a finding."""
        async for raw, record in self.read(spec, span):
            if isinstance(record, DecodeError):
                name = place(span.tp.topic, span.tp.partition, raw.offset)
                self._findings.add(Check.UNREADABLE, name, f"{record.reason}: {record.message}")
            else:
                yield raw, record

    async def end(self, tp: TopicPartition) -> int:
        """Return the end of a partition as it is now."""
        return (await self.reader.end_offsets([tp]))[tp]

    async def committed(self, spec: TopicSpec[Record], group: str) -> dict[int, int]:
        """Return by partition up to which offset a consumer group has done a topic, as of now."""
        tps = partitions_of(spec, self._kafka)
        try:
            async with admin_client(self._kafka) as admin:
                offsets = await admin.list_consumer_group_offsets(group, partitions=tps)
        except GroupCoordinatorNotAvailableError:
            # No group has ever committed anything to this cluster.
            return {}
        return {tp.partition: max(offsets[tp].offset, 0) if tp in offsets else 0 for tp in tps}

    async def oldest_kept_ms(self, spans: Iterable[Span]) -> int | None:
        """Return the time from which all partitions are whole, ms since the epoch; None if nothing has expired."""
        cut = [span for span in spans if 0 < span.beginning < span.end]
        records = [await self.reader.next_record(span.tp, span.beginning) for span in cut]
        return max((record.timestamp for record in records if record is not None), default=None)
