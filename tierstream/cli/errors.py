"""What the user reads when something is wrong: one line on stderr and an exit code, never a traceback."""

import errno
import sys
from typing import Final

import typer

FAILED: Final = 1
"""The thing that was asked for did not succeed."""
USAGE: Final = 2
"""Wrong usage, settings or environment."""

_SETTINGS_ERROR: Final = ("streams.config.settings", "SettingsError")
_KAFKA_ERROR: Final = ("aiokafka.errors", "KafkaError")
_EXPLAINED: Final = (
    ("streams.kafka.admin", "TopicError"),
    ("streams.kafka.publisher", "DeliveryError"),
    ("streams.calls.pricing", "UnknownPriceError"),
    ("tierstream.client.request_file", "InputError"),
    ("tierstream.worker", "WorkerError"),
    ("tierstream.monitoring.errors", "MonitoringError"),
    ("tierstream.stack.errors", "StackError"),
    ("analytics.clickhouse", "ClickHouseUnavailable"),
    ("analytics.sink", "LedgerAheadError"),
    ("tierstream.operations.budgets", "LedgerBehindError"),
)
"""By module and name: the modules take a second to import, and one whose exception was raised has been imported."""


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
    if isinstance(error, _imported(_SETTINGS_ERROR)):
        return str(error)
    if isinstance(error, _imported(*_EXPLAINED)):
        return " ".join(str(error).split())
    if isinstance(error, _imported(_KAFKA_ERROR)):
        return f"Kafka: {type(error).__name__}: {error}"
    # A pipe that the reader closed is no error.
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        reason = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: {reason}" if error.filename else reason
    return None


def _imported(*names: tuple[str, str]) -> tuple[type[Exception], ...]:
    return tuple(getattr(sys.modules[module], name) for module, name in names if module in sys.modules)
