"""Making a dead letter of a record that could not be served, and knowing a record that was sent again."""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Protocol

from topics.codec import DecodeError, Headers, header
from topics.events import DeadLetter

KEPT_BYTES = 1024 * 1024
"""As many bytes a letter keeps at most, each of key, headers and value."""
RETRIES_HEADER = "dead-letter-retries"
LETTER_HEADER = "dead-letter"
"""On a record that was sent again: `partition:offset` of its letter."""
REVISION_HEADER = "revision"
"""On a request that was sent again: the revision that its result will have."""
_MAX_DIGITS = 9


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
    kept_bytes: int = KEPT_BYTES,
) -> DeadLetter:
    """Keep the record's bytes, where it came from and why it failed.

    `kept_bytes` is the limit, each of key, headers and value: what is longer is cut off.
    """
    value = record.value or b""
    return DeadLetter.model_construct(
        stage=stage,
        reason=error.reason,
        message=error.message,
        topic=topic,
        partition=partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        request_id=error.request_id,
        key=record.key[:kept_bytes] if record.key is not None else None,
        headers=tuple(_fitting(record.headers, kept_bytes)),
        value=value[:kept_bytes] if record.value is not None else None,
        size=len(value),
        sha256=hashlib.sha256(value).hexdigest(),
        truncated=len(value) > kept_bytes,
        traceback=traceback,
        retries=_number(record.headers, RETRIES_HEADER),
        at=at,
    )


def revision_of(headers: Headers) -> int:
    """Return the revision that a retry gave to a request; 0 for a producer's own, which may not pick one."""
    return _number(headers, REVISION_HEADER) if header(headers, LETTER_HEADER) is not None else 0


def _number(headers: Headers, name: str) -> int:
    """Read a count from a header; 0 for anything else that a producer may have written there."""
    text = header(headers, name) or ""
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def _fitting(headers: Iterable[tuple[str, bytes]], kept_bytes: int) -> Iterator[tuple[str, bytes]]:
    """Yield headers up to the limit: in base64 all of a largest record's would make a letter that no topic takes."""
    size = 0
    for name, value in headers:
        size += len(name) + len(value or b"")
        if size > kept_bytes:
            return
        yield name, value
