"""Making a dead letter of a record that could not be served."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from topics.codec import DecodeError, header
from topics.events import DeadLetter

KEPT_BYTES = 1024 * 1024
RETRIES_HEADER = "dead-letter-retries"


class Received(Protocol):
    """A record as a consumer got it; the base of what a dead letter keeps."""

    @property
    def offset(self) -> int:
        """Offset in the partition."""

    @property
    def timestamp(self) -> int:
        """Broker append time, ms since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Key bytes."""

    @property
    def value(self) -> bytes | None:
        """Value bytes."""

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """Names and values."""


def dead_letter(
    stage: str,
    error: DecodeError,
    record: Received,
    *,
    topic: str,
    partition: int,
    at: datetime,
    traceback: str | None = None,
) -> DeadLetter:
    """Keep the record's bytes (the first MiB each of key, headers and value), where it came from and why it failed."""
    value = record.value or b""
    retries = header(record.headers, RETRIES_HEADER)
    return DeadLetter.model_construct(
        stage=stage,
        reason=error.reason,
        message=error.message,
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        request_id=error.request_id,
        key=record.key[:KEPT_BYTES] if record.key is not None else None,
        headers=tuple(_fitting(record.headers)),
        value=value[:KEPT_BYTES] if record.value is not None else None,
        size=len(value),
        sha256=hashlib.sha256(value).hexdigest(),
        truncated=len(value) > KEPT_BYTES,
        traceback=traceback,
        retries=int(retries) if retries and retries.isdecimal() else 0,
        at=at,
    )


def _fitting(headers: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Yield headers up to the limit: in base64 all of a largest record's would make a letter that no topic takes."""
    size = 0
    for name, value in headers:
        size += len(name) + len(value or b"")
        if size > KEPT_BYTES:
            return
        yield name, value
