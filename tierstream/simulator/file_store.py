"""Files that a provider keeps: what batches are made of, and what comes of them."""

import time
import uuid
from dataclasses import dataclass
from typing import Final

from tierstream.simulator.chat import ApiError

_MOST_BYTES: Final = 512 * 1024 * 1024
LIFETIMES_S: Final = range(3600, 30 * 24 * 3600 + 1)
"""Seconds for which a client may ask."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file; times in seconds since the epoch."""

    file_id: str
    filename: str
    purpose: str
    content: bytes
    created_at: int
    expires_at: int


class FileStore:
    """The files of one provider, in memory. Of too many bytes, the oldest files are forgotten."""

    def __init__(self) -> None:
        self._files: dict[str, StoredFile] = {}
        self._bytes = 0

    def add(self, filename: str, purpose: str, content: bytes, lifetime_s: int | None = None) -> StoredFile:
        """Keep a file; by default for 30 days, as the vendor says: time does not end it."""
        now = int(time.time())
        expires_at = now + (lifetime_s or LIFETIMES_S[-1])
        file = StoredFile(f"file-{uuid.uuid4().hex}", filename, purpose, content, now, expires_at)
        self._files[file.file_id] = file
        self._bytes += len(content)
        while self._bytes > _MOST_BYTES and len(self._files) > 1:
            self.delete(next(iter(self._files)))
        return file

    def get(self, file_id: str, *, param: str = "id") -> StoredFile:
        """A file, or ApiError that names the parameter by which it was asked for."""
        file = self._files.get(file_id)
        if file is None:
            raise ApiError(404, f"No such File object: {file_id}", param=param)
        return file

    def delete(self, file_id: str) -> None:
        """Forget a file, or ApiError."""
        self._bytes -= len(self.get(file_id).content)
        del self._files[file_id]

    def newest_first(self) -> list[StoredFile]:
        """All files."""
        return list(reversed(self._files.values()))
