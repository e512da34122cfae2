"""The memory of what is settled: which requests have their result, read back from the markers."""

import asyncio
import contextlib
import hashlib
import logging
from collections import OrderedDict
from datetime import timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import ValidationError

from streams.clock import Clock
from streams.log_reader import RawRecord
from streams.settings import Settings
from topics.codec import SCHEMA_HEADER, DecodeError, decode, header
from topics.registry import SETTLED
from topics.results import Settled

log = logging.getLogger(__name__)

_KEY_BYTES = 16
_DIGEST_BYTES = 8


class SettledMemory:
    """Recognises settled (request, revision) pairs for as long as the horizon, in about 200 bytes each."""

    def __init__(self, horizon: timedelta) -> None:
        self._horizon_ms = int(horizon.total_seconds() * 1000)
        self._seen: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, request_id: str, revision: int, digest: str, at_ms: int) -> None:
        """Remember a marker that the broker appended at `at_ms`; forget those a horizon older."""
        self._seen[_key(request_id, revision)] = (_short(digest), at_ms)
        while self._seen and next(iter(self._seen.values()))[1] < at_ms - self._horizon_ms:
            self._seen.popitem(last=False)

    def add_record(self, record: RawRecord) -> None:
        """Remember a marker as it was read; a value that is no marker is logged and passed over."""
        try:
            marker = _read(record)
        except DecodeError as error:
            log.error("a marker at offset %d can't be read: %s", record.offset, error.message)  # noqa: TRY400
            return
        self.add(marker.request_id, marker.revision, marker.digest, record.timestamp)

    def knows(self, request_id: str, revision: int) -> bool:
        """Whether the pair has its result."""
        return _key(request_id, revision) in self._seen

    def same_body(self, request_id: str, revision: int, digest: str) -> bool:
        """Whether the settled pair was asked with this body; False also where the pair is unknown."""
        found = self._seen.get(_key(request_id, revision))
        return found is not None and found[0] == _short(digest)


def _read(record: RawRecord) -> Settled:
    """Read a marker; nearly all are plain ones, and a restore of 100,000 has to take less than 2 s."""
    if header(record.headers, SCHEMA_HEADER) == Settled.SCHEMA:
        with contextlib.suppress(ValidationError):
            return Settled.model_validate_json(record.value)
    return decode(SETTLED, record.value, record.headers).record


class SettledFollower:
    """Keeps a memory of all partitions up to date by following the marker topic.

    It serves stages whose source is keyed by the producer, so that any request may come in on any partition.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._horizon = timedelta(seconds=settings.delivery.dedup_window_s)
        self.memory = SettledMemory(self._horizon)

    async def run(self, ready: asyncio.Event) -> None:
        """Read the markers of the last horizon, set `ready`, and go on following until cancelled."""
        kafka = self._settings.kafka
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka.bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            topic = SETTLED.full_name(kafka.prefix)
            tps = [TopicPartition(topic, p) for p in range(kafka.partitions)]
            consumer.assign(tps)
            behind = await self._seek_back(consumer, tps)
            while True:
                if not behind:
                    ready.set()
                for tp, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        self.memory.add_record(record)
                    if records[-1].offset + 1 >= behind.get(tp, 0):
                        behind.pop(tp, None)
                behind = {tp: end for tp, end in behind.items() if (await consumer.position(tp)) < end}
        finally:
            await consumer.stop()

    async def _seek_back(self, consumer: AIOKafkaConsumer, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Seek to the start of the horizon; return the ends of the partitions that have something to read."""
        since = int((self._clock() - self._horizon).timestamp() * 1000)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(tps)
        starts = await consumer.offsets_for_times(dict.fromkeys(tps, max(since, 0)))
        behind = {}
        for tp in tps:
            start = starts[tp].offset if starts[tp] is not None else ends[tp]
            consumer.seek(tp, start)
            if start < ends[tp]:
                behind[tp] = ends[tp]
        return behind


def _key(request_id: str, revision: int) -> bytes:
    return hashlib.blake2b(f"{request_id}\x1f{revision}".encode(), digest_size=_KEY_BYTES).digest()


def _short(digest: str) -> bytes:
    return hashlib.blake2b(digest.encode(), digest_size=_DIGEST_BYTES).digest()
