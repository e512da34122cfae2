"""Dead letters in an operator's hands: listed with what became of them, sent again, purged."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.config.settings import Settings
from streams.kafka.admin import delete_records
from streams.kafka.clock import utc_now
from streams.kafka.publisher import DeliveryError, Output, Publisher
from streams.kafka.topic_reader import TopicReader
from tierstream.operations.dead_letter_log import Entry, LetterId, PartitionScan, read
from topics.base import Record, from_millis
from topics.codec import DecodeError, Headers, decode, encode
from topics.dead_letters import LETTER_HEADER, RETRIES_HEADER, REVISION_HEADER, revision_of
from topics.events import DeadLetter, DeadLetterNote
from topics.partitioning import partition_for
from topics.registry import DEAD_LETTERS, REQUESTS, SETTLED, TopicSpec, all_topics
from topics.results import Settled
from topics.tasks import TierTask, task_of

_OURS = frozenset((LETTER_HEADER, RETRIES_HEADER, REVISION_HEADER))
_ENDED = frozenset({"handler_error", "too_large"})


class DeadLetterError(Exception):
    """A letter that isn't there or can't be handled; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Original:
    """The record that became a letter."""

    key: bytes | None
    headers: Headers
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Retry:
    """A letter that is about to be sent again."""

    entry: Entry
    request_id: str | None
    """None where no request can be read, which therefore gets no revision."""
    revision: int | None
    reissued: bool
    """Whether the request has a result of its revision, so that the retry makes the next one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A letter that can't be sent again, and why."""

    entry: Entry
    message: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter that was sent again, and where the broker put it."""

    retry: Retry
    offset: int


class DeadLetters:
    """The dead letters of a deployment.

    Args:
        settings: With an address of Kafka.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kafka = settings.kafka
        self._topic = DEAD_LETTERS.full_name(settings.kafka.prefix)
        # The settling stage writes its letters in transactions.
        self._reader = TopicReader(settings.kafka)
        self._specs: dict[str, TopicSpec[Record]] = {
            spec.full_name(settings.kafka.prefix): spec for spec in all_topics(settings.top_tier)
        }

    async def entries(self, *, since: datetime | None = None) -> list[Entry]:
        """List the letters that are kept, oldest first; with `since`, those appended from then on."""
        since_ms = int(since.timestamp() * 1000) if since is not None else None
        found = await asyncio.gather(*(self._scan(number, since_ms) for number in range(self._kafka.partitions)))
        entries = [entry for scan in found for entry in scan.entries.values()]
        return sorted(entries, key=lambda entry: (entry.letter.at, entry.id))

    async def find(self, ids: Collection[LetterId]) -> list[Entry]:
        """Return these letters, in the order of the ids.

        Raises:
            DeadLetterError: One of them isn't there.
        """
        present = {entry.id: entry for entry in await self.entries()}
        if missing := [str(letter) for letter in ids if letter not in present]:
            raise DeadLetterError(f"no dead letter {', '.join(missing)}: see `tierstream dead-letters list`")
        return [present[letter] for letter in dict.fromkeys(ids)]

    async def load(self, entry: Entry) -> Entry:
        """Return the entry with all that its letter keeps.

        Raises:
            DeadLetterError: It was deleted in the meantime.
        """
        record = await self._reader.record_at(TopicPartition(self._topic, entry.id.partition), entry.id.offset)
        content = read(DEAD_LETTERS, record) if record is not None else None
        if not isinstance(content, DeadLetter):
            raise DeadLetterError(f"dead letter {entry.id} is gone")
        return Entry(entry.id, content, entry.notes)

    async def original(self, letter: DeadLetter) -> Original:
        """Return the record whole; one that the letter keeps a part of is read back from where it came from.

        Raises:
            DeadLetterError: It is no longer there.
        """
        if not letter.truncated:
            return Original(letter.key, letter.headers, letter.value)
        place = f"{letter.topic}:{letter.partition}:{letter.offset}"
        if letter.topic in self._specs and letter.partition < self._kafka.partitions:
            record = await self._reader.record_at(TopicPartition(letter.topic, letter.partition), letter.offset)
            if record is not None and _hash(record.value) == letter.sha256:
                return Original(record.key, record.headers, record.value)
        kept = len(letter.value or b"")
        raise DeadLetterError(
            f"the letter keeps {kept} of {letter.size} bytes and {place} is no longer there to read the rest from"
        )

    async def plan(self, entries: Iterable[Entry], *, edited: bytes | None = None) -> tuple[list[Retry], list[Problem]]:
        """Decide which revision each letter gets when it is sent again.

        A request that has its result goes through as the next revision; letters of the same request share one, so
        that the first of them wins as it would have done.

        Args:
            entries: The letters.
            edited: What to send instead of the original bytes.
        """
        subjects: list[tuple[Entry, _Subject | None]] = []
        problems: list[Problem] = []
        for entry in entries:
            try:
                subjects.append((entry, await self._subject(entry, edited)))
            except DeadLetterError as error:
                problems.append(Problem(entry, str(error)))
        known = await self._known_revisions(subjects)
        retries = []
        for entry, subject in subjects:
            if subject is None:
                retries.append(Retry(entry, None, None, reissued=False))
                continue
            settled, highest = known[subject.request_id]
            reissued = subject.has_ended or settled >= subject.revision
            revision = highest + 1 if reissued else subject.revision
            retries.append(Retry(entry, subject.request_id, revision, reissued=reissued))
        return retries, problems

    async def send(
        self, retries: Sequence[Retry], *, by: str, edited: bytes | None = None
    ) -> AsyncIterator[Sent | Problem]:
        """Send letters again, each to the partition it came from, and note it; yield what came of each.

        Raises:
            DeliveryError: The broker did not take one; those that were yielded are sent.
        """
        async with Publisher(self._kafka) as publisher:
            for retry in retries:
                try:
                    entry = await self.load(retry.entry)
                    original = await self.original(entry.letter)
                except DeadLetterError as error:
                    yield Problem(retry.entry, str(error))
                    continue
                letter = entry.letter
                try:
                    delivered = await publisher.producer.send_and_wait(
                        letter.topic,
                        self._value(retry, original, edited),
                        key=original.key,
                        partition=letter.partition,
                        headers=_headers(retry, letter, original),
                    )
                except KafkaError as error:
                    raise DeliveryError(f"the broker did not take dead letter {entry.id} again: {error!r}") from error
                await publisher.publish([_note(entry, "retried", by, retry)])
                yield Sent(retry, delivered.offset)

    async def purge(self, entries: Iterable[Entry], *, by: str) -> dict[int, int]:
        """Note the letters as purged, and delete them where nothing that is open lies before them.

        The broker serves what was deleted to nobody any more, and frees the disk with the segment it was in.

        Returns:
            For each partition in which something was deleted, the offset of the first record that is left.

        Raises:
            DeliveryError: The broker did not take a note; nothing was deleted.
        """
        partitions = set()
        async with Publisher(self._kafka) as publisher:
            for entry in entries:
                await publisher.publish([_note(entry, "purged", by)])
                partitions.add(entry.id.partition)
        ends: dict[TopicPartition, int] = {}
        for partition in partitions:
            scan = await self._scan(partition, None)
            if (end := scan.end_of_purged()) is not None:
                ends[TopicPartition(self._topic, partition)] = end
        if not ends:
            return {}
        return {tp.partition: low for tp, low in (await delete_records(self._kafka, ends)).items()}

    async def _scan(self, partition: int, since_ms: int | None) -> PartitionScan:
        scan = PartitionScan()
        async for record in self._reader.read(TopicPartition(self._topic, partition), since_ms=since_ms):
            scan.add(partition, record)
        return scan

    async def _subject(self, entry: Entry, edited: bytes | None) -> "_Subject | None":
        """Say which request the bytes are about; None where no request can be read.

        Raises:
            DeadLetterError: The bytes, their topic, or the edit can't be used.
        """
        letter = (await self.load(entry)).letter
        spec = self._specs.get(letter.topic)
        if spec is None:
            raise DeadLetterError(f"{letter.topic} is no topic of these settings")
        original = await self.original(letter)
        if original.key is None and not original.value and edited is None:
            raise DeadLetterError("it has neither key nor value, so there is nothing to send: give --edit, or purge it")
        record = read(spec, original) if edited is None else self._edited(spec, edited, original)
        if spec.name == REQUESTS.name:
            asked = letter.request_id if edited is None else getattr(record, "request_id", None)
            # Whatever makes a letter of a request that has an id also ends the request.
            is_known = asked is not None and asked == letter.request_id
            return _Subject(asked, revision_of(letter.headers), has_ended=True) if asked and is_known else None
        task = task_of(record)
        if task is None:
            return None
        if edited is not None and task.partition_key.encode() != original.key:
            raise DeadLetterError("the edited record is about another request")
        return _Subject(task.partition_key, task.revision, has_ended=letter.reason in _ENDED)

    def _edited(self, spec: TopicSpec[Record], edited: bytes, original: Original) -> Record:
        limit = self._kafka.request_max_bytes if spec.from_outside else None
        try:
            return decode(spec, edited, original.headers, max_bytes=limit).record
        except DecodeError as error:
            raise DeadLetterError(f"the edited record would be refused too: {error.message}") from None

    def _value(self, retry: Retry, original: Original, edited: bytes | None) -> bytes | None:
        value = edited if edited is not None else original.value
        spec = self._specs[retry.entry.letter.topic]
        if retry.revision is None or not retry.reissued or spec.name == REQUESTS.name:
            return value
        record = decode(spec, value, original.headers).record
        return encode(_reissued(record, retry.revision, utc_now())).value

    async def _known_revisions(self, subjects: Iterable[tuple[Entry, "_Subject | None"]]) -> dict[str, tuple[int, int]]:
        """Return, by request id, the highest revision that has a result (or -1), and the highest there is."""
        own: dict[str, int] = {}
        oldest: dict[int, int] = {}
        for entry, subject in subjects:
            if subject is not None:
                own[subject.request_id] = max(own.get(subject.request_id, -1), subject.revision)
                partition = partition_for(subject.request_id, self._kafka.partitions)
                since = entry.letter.timestamp_ms - int(self._settings.delivery.dedup_window_s * 1000)
                oldest[partition] = min(oldest.get(partition, since), since)
        settled = dict.fromkeys(own, -1)
        for partition, since_ms in oldest.items():
            tp = TopicPartition(SETTLED.full_name(self._kafka.prefix), partition)
            async for record in self._reader.read(tp, since_ms=since_ms):
                if (record.key or b"").decode(errors="replace") in own:
                    marker = decode(SETTLED, record.value, record.headers).record
                    if isinstance(marker, Settled):
                        settled[marker.request_id] = max(settled[marker.request_id], marker.revision)
        given = dict.fromkeys(own, -1)
        for entry in await self.entries() if own else ():
            for note in entry.notes:
                if note.request_id in given and note.revision is not None:
                    given[note.request_id] = max(given[note.request_id], note.revision)
        return {name: (settled[name], max(own[name], settled[name], given[name])) for name in own}


@dataclass(frozen=True, slots=True)
class _Subject:
    """The request that a letter is about."""

    request_id: str
    revision: int
    has_ended: bool
    """Whether the letter came with an end of this revision, be it published already or not."""


def _reissued(record: Record, revision: int, now: datetime) -> Record:
    """Make the next revision of a task: with as much time as it had, and without what the last one was billed for."""
    task = task_of(record)
    if task is None:
        raise TypeError(f"{type(record).__name__} has no task")
    deadline = now + (task.deadline - from_millis(task.source.timestamp_ms))
    fresh = task.model_copy(update={"revision": revision, "deadline": deadline, "attempts": ()})
    return fresh if isinstance(record, TierTask) else record.model_copy(update={"task": fresh})


def _headers(retry: Retry, letter: DeadLetter, original: Original) -> list[tuple[str, bytes | None]]:
    headers = [(name, value) for name, value in original.headers if name not in _OURS]
    headers.append((LETTER_HEADER, str(retry.entry.id).encode()))
    headers.append((RETRIES_HEADER, str(letter.retries + 1).encode()))
    if retry.revision is not None:
        headers.append((REVISION_HEADER, str(retry.revision).encode()))
    return headers


def _note(entry: Entry, action: Literal["retried", "purged"], by: str, retry: Retry | None = None) -> Output:
    note = DeadLetterNote(
        letter_partition=entry.id.partition,
        letter_offset=entry.id.offset,
        letter_key=entry.letter.partition_key,
        action=action,
        at=utc_now(),
        by=by,
        request_id=retry.request_id if retry is not None else None,
        revision=retry.revision if retry is not None else None,
    )
    return Output(DEAD_LETTERS, note)


def _hash(value: bytes | None) -> str:
    return hashlib.sha256(value or b"").hexdigest()
