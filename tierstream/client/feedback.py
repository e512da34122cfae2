"""Giving feedback on results: lines of JSON that are checked, and what came of what was sent."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from streams.kafka.publisher import Output, Publisher
from tierstream.client.record_reader import RecordReader
from tierstream.client.request_file import InputError
from topics.base import from_millis
from topics.codec import DecodeError, decode, encode
from topics.events import Hop
from topics.feedback import UNMATCHED, Feedback, kind_told, revision_asked_for
from topics.registry import FEEDBACK, HOPS, RESULTS
from topics.results import Result

_AT_ONCE = 500
"""Records that leave together."""
_BEFORE = timedelta(seconds=5)
"""How far clocks may be apart."""
_STAGE = "feedback"


@dataclass(frozen=True, slots=True)
class Given:
    """Feedback that the broker has, and when it appended it: by that a hop names it."""

    said: Feedback
    appended_ms: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of feedback."""

    given: Given
    hop: Hop
    result: Result | None = None
    """Of the revision that it asked for."""

    @property
    def is_matched(self) -> bool:
        """Whether the result that it is about is known."""
        return self.hop.outcome != UNMATCHED

    @property
    def revision(self) -> int | None:
        """The revision that it has answered anew; None: none."""
        return revision_asked_for(self.hop.detail)


def parse_feedback(data: Mapping[str, Any], place: str, max_bytes: int) -> tuple[Feedback, tuple[str, ...]]:
    """Make feedback of a JSON object.

    Returns:
        The feedback, and the names of the fields that nobody reads.

    Raises:
        InputError: Naming the place and the field.
    """
    try:
        decoded = decode(FEEDBACK, json.dumps(data).encode(), ())
    except DecodeError as error:
        raise InputError(f"{place}: {error.message.removeprefix('value: Value error, ')}") from None
    said = decoded.record
    if not isinstance(said, Feedback):
        raise InputError(f"{place}: is no feedback")
    size = len(encode(said).value)
    if size > max_bytes:
        raise InputError(f"{place}: the feedback has {size} bytes, at most {max_bytes} are accepted")
    return said, decoded.unknown_fields


def read_feedback(lines: Iterable[bytes], name: str, max_bytes: int) -> Iterator[tuple[int, Feedback, tuple[str, ...]]]:
    """Parse lines of JSON, blank ones apart; yield each with its number and the fields that nobody reads.

    Args:
        lines: As read from a file.
        name: What errors call the file.
        max_bytes: Largest record that the system accepts.

    Raises:
        InputError: Naming line and field.
    """
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        place = f"{name} line {number}"
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InputError(f"{place}: not JSON: {error}") from None
        if not isinstance(data, dict):
            raise InputError(f"{place}: not a JSON object")
        yield number, *parse_feedback(data, place, max_bytes)


async def give(settings: Settings, said: Sequence[Feedback]) -> list[Given]:
    """Publish feedback and return when the broker has all of it.

    Raises:
        TopicError: A topic is missing, or no broker answers.
        DeliveryError: The broker did not take one.
    """
    await require_topics(settings.kafka, FEEDBACK)
    given = []
    async with Publisher(settings.kafka) as publisher:
        for start in range(0, len(said), _AT_ONCE):
            batch = said[start : start + _AT_ONCE]
            places = await publisher.publish([Output(FEEDBACK, one) for one in batch])
            given += [Given(one, at.timestamp_ms) for one, at in zip(batch, places, strict=True)]
    return given


async def replies(settings: Settings, given: Sequence[Given], timeout_s: float) -> AsyncIterator[Reply]:
    """Yield what came of each feedback, once: with the result of the revision that it asked for, where it did.

    Args:
        settings: With an address of Kafka.
        given: What was sent.
        timeout_s: How long to wait; what took longer is left out.
    """
    open_ones = {_name(one.said.request_id, one.said.revision, one.said.kind, one.appended_ms): one for one in given}
    told: dict[tuple[str, int], list[Reply]] = {}
    results: dict[tuple[str, int], Result] = {}
    start = from_millis(min(one.appended_ms for one in given)) - _BEFORE
    ids = {one.said.request_id for one in given}
    kafka = settings.kafka
    with suppress(TimeoutError):
        async with (
            asyncio.timeout(timeout_s),
            RecordReader(HOPS, kafka, start=start, keep=ids.__contains__) as hops,
            RecordReader(RESULTS, kafka, start=start, keep=ids.__contains__) as ended,
        ):
            while open_ones or told:
                for record in await hops.poll():
                    for hop in (hop for hop in record.hops if hop.stage == _STAGE):
                        kind, moment = kind_told(hop.outcome, hop.detail), round(hop.started_at.timestamp() * 1000)
                        name = _name(record.request_id, record.revision, kind, moment)
                        if (one := open_ones.pop(name, None)) is None:
                            continue
                        reply = Reply(one, hop)
                        if reply.revision is None:
                            yield reply
                        else:
                            told.setdefault((record.request_id, reply.revision), []).append(reply)
                results.update({(result.request_id, result.revision): result for result in await ended.poll()})
                for identity in told.keys() & results.keys():
                    for reply in told.pop(identity):
                        yield Reply(reply.given, reply.hop, results[identity])


def _name(request_id: str, revision: int, kind: str, appended_ms: int) -> tuple[str, int, str, int]:
    return request_id, revision, kind, appended_ms
