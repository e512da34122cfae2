"""Whose work a log line is about: the stage, the request and its trace, as far as they are known."""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class LogContext:
    """What the lines of a task are about."""

    stage: str
    request_id: str | None = None
    traceparent: bytes | None = None

    @property
    def trace_id(self) -> str | None:
        """The trace of the request; None where it has none that can be read."""
        parts = (self.traceparent or b"").split(b"-")
        return parts[1].decode("ascii", errors="replace") if len(parts) > 1 else None


_CURRENT: Final[ContextVar[LogContext | None]] = ContextVar("tierstream_log_context", default=None)


def note_work(stage: str, request_id: str | None = None, traceparent: bytes | None = None) -> None:
    """Say what the lines of this task, and of those that it starts, are about from now on."""
    _CURRENT.set(LogContext(stage, request_id, traceparent))


def current_work() -> LogContext | None:
    """Return what this task's lines are about; None where it is about no record."""
    return _CURRENT.get()
