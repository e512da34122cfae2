"""Whose records these are: requests by digest, and the age by which two uses of one id are told apart."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

IDENTITY_BYTES: Final = 16


def identity(request_id: str, revision: int) -> bytes:
    """Name what is asked in few bytes."""
    return hashlib.blake2b(f"{revision}\x1f{request_id}".encode(), digest_size=IDENTITY_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Window:
    """Two copies are of one request if the broker appended them within `ms` of each other, and of two if not."""

    ms: int

    @classmethod
    def of(cls, length: timedelta) -> Self:
        """Take the deduplication window of the settings."""
        return cls(int(length.total_seconds() * 1000))

    def joins(self, one_ms: int, other_ms: int) -> bool:
        """Whether two append times, ms since the epoch, are of one request."""
        return abs(one_ms - other_ms) <= self.ms
