"""Ids of requests that come over HTTP."""

import secrets
import time
from typing import Final
from uuid import UUID

_RANDOM_BITS: Final = 80


def new_request_id() -> str:
    """Make up an id that sorts by time: a UUID of version 7 (RFC 9562, section 5.7)."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


def request_id_of(caller: str, key: str) -> str:
    """Return the id of a request: keys of different callers never meet.

    Args:
        caller: The name of their key; empty where there are none.
        key: The Idempotency-Key, or an id that was made up.
    """
    return f"{caller}:{key}" if caller else key


def belongs_to(request_id: str, caller: str) -> bool:
    """Whether a request was sent by a caller."""
    return request_id.startswith(f"{caller}:") if caller else True
