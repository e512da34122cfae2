"""What the user reads when something is wrong: one line on stderr and an exit code, never a traceback."""

import errno
import sys
from typing import Final

import typer
from aiokafka.errors import KafkaError

from streams.pricing import UnknownPriceError
from streams.publisher import DeliveryError
from streams.settings import SettingsError
from streams.topic_admin import TopicError
from tierstream.request_file import InputError

FAILED: Final = 1
"""The thing that was asked for did not succeed."""
USAGE: Final = 2
"""Wrong usage, settings or environment."""

_EXPLAINED: Final = (TopicError, DeliveryError, UnknownPriceError, InputError)
_EXPLAINED_ELSEWHERE: Final = (
    ("tierstream.worker", "WorkerError"),
    ("tierstream.stack.errors", "StackError"),
    ("analytics.clickhouse", "ClickHouseUnavailable"),
    ("analytics.sink", "LedgerAheadError"),
)


def show_error(line: str) -> None:
    """Write an error to stderr."""
    typer.echo(f"error: {line}", err=True)


def show_warning(line: str) -> None:
    """Write a warning to stderr."""
    typer.echo(f"warning: {line}", err=True)


def explain(error: Exception) -> str | None:
    """Return the line that a user gets for an error; None for a bug, which deserves its traceback.

    Settings have a line for each problem.
    """
    if isinstance(error, SettingsError):
        return str(error)
    if isinstance(error, (*_EXPLAINED, *_loaded())):
        return " ".join(str(error).split())
    if isinstance(error, KafkaError):
        return f"Kafka: {type(error).__name__}: {error}"
    # A pipe that the reader closed is no error.
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    return None


def _loaded() -> tuple[type[Exception], ...]:
    """Return the exceptions of modules that take a second to import: one that was raised has its module loaded."""
    return tuple(getattr(sys.modules[module], name) for module, name in _EXPLAINED_ELSEWHERE if module in sys.modules)
