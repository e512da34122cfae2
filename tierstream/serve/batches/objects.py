"""Files and batches as OpenAI writes them.

Source: https://platform.openai.com/docs/api-reference/files/object,
https://platform.openai.com/docs/api-reference/batch/object
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from streams.batches.batch_log import BatchState
from topics.batches import Batch, BatchEnded, BatchStatus, File

WINDOW: Final = "24h"
_BATCH: Final = "batch_"
_FILE: Final = "file-"
_OUTPUT, _ERRORS = "-output", "-errors"


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file as it is listed.

    Attributes:
        file_id: Its id.
        filename: Its name.
        size: Bytes; of results those that they are made from.
        purpose: `batch`, or `batch_output`.
        created_at: When it was there.
    """

    file_id: str
    filename: str
    size: int
    purpose: str
    created_at: datetime

    @classmethod
    def of(cls, file: File) -> "ShownFile":
        """Show a file that was uploaded."""
        return cls(file.file_id, file.filename, file.size, "batch", file.created_at)

    def as_json(self) -> dict[str, Any]:
        """Write it as OpenAI's `file`."""
        return {
            "id": self.file_id,
            "object": "file",
            "bytes": self.size,
            "created_at": int(self.created_at.timestamp()),
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }


def new_batch_id(unique: str) -> str:
    """Make the id of a batch of hexadecimal digits and dashes."""
    return _BATCH + unique.replace("-", "")


def new_file_id(unique: str) -> str:
    """Make the id of a file of the same."""
    return _FILE + unique.replace("-", "")


def batch_of(file_id: str) -> tuple[str, bool] | None:
    """Return the batch whose results a file holds, and whether it is those with an answer; None for other files."""
    for ending in (_OUTPUT, _ERRORS):
        if file_id.startswith(_FILE) and file_id.endswith(ending):
            return _BATCH + file_id.removeprefix(_FILE).removesuffix(ending), ending == _OUTPUT
    return None


def result_files(batch_id: str, ended: BatchEnded) -> Iterator[ShownFile]:
    """Yield the files with the results of a batch: one of answers, one of what has none."""
    stem = _FILE + batch_id.removeprefix(_BATCH)
    if ended.completed:
        name = f"{batch_id}_output.jsonl"
        yield ShownFile(stem + _OUTPUT, name, ended.completed_bytes, "batch_output", ended.at)
    if ended.failed and ended.status is not BatchStatus.FAILED:
        name = f"{batch_id}_error.jsonl"
        yield ShownFile(stem + _ERRORS, name, ended.failed_bytes, "batch_output", ended.at)


def batch_json(state: BatchState, now: datetime) -> dict[str, Any]:
    """Write a batch as OpenAI's `batch`."""
    batch, ended = state.batch, state.ended
    status = _status(state, now)
    files = {file.file_id: file for file in result_files(batch.batch_id, ended)} if ended else {}
    ended_s = _seconds(ended.at) if ended else None
    completed, failed = (ended.completed, ended.failed) if ended else (state.completed, state.failed)
    return {
        "id": batch.batch_id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": _errors(batch),
        "input_file_id": batch.input_file_id,
        "completion_window": WINDOW,
        "status": status,
        "output_file_id": next((name for name in files if name.endswith(_OUTPUT)), None),
        "error_file_id": next((name for name in files if name.endswith(_ERRORS)), None),
        "created_at": _seconds(batch.created_at),
        "in_progress_at": None if status == BatchStatus.FAILED else _seconds(batch.created_at),
        "expires_at": _seconds(batch.expires_at),
        "finalizing_at": ended_s if status == BatchStatus.COMPLETED else None,
        "completed_at": ended_s if status == BatchStatus.COMPLETED else None,
        "failed_at": ended_s if status == BatchStatus.FAILED else None,
        "expired_at": ended_s if status == BatchStatus.EXPIRED else None,
        "cancelling_at": _seconds(state.cancelled_at),
        "cancelled_at": ended_s if status == BatchStatus.CANCELLED else None,
        "request_counts": {"total": batch.total, "completed": completed, "failed": max(failed, batch.refused)},
        "metadata": batch.metadata or None,
    }


def listed(found: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Write a part of a list."""
    return {
        "object": "list",
        "data": found,
        "first_id": found[0]["id"] if found else None,
        "last_id": found[-1]["id"] if found else None,
        "has_more": has_more,
    }


def _status(state: BatchState, now: datetime) -> str:
    if state.ended is not None:
        return state.ended.status
    if state.cancelled_at is not None:
        return "cancelling"
    return "finalizing" if now >= state.batch.expires_at else "in_progress"


def _errors(batch: Batch) -> dict[str, Any] | None:
    if not batch.errors:
        return None
    return {"object": "list", "data": [error.model_dump() for error in batch.errors]}


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
