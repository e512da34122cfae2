"""What a command starts from: its settings, the addresses of the embedded stack, and who gives it."""

import getpass
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from streams.config.settings import Settings, SettingsError, load

if TYPE_CHECKING:
    from tierstream.stack.state import Addresses


@dataclass(frozen=True)
class Invocation:
    """The options before the command."""

    config_file: Path | None
    verbose: int


def invocation(ctx: typer.Context) -> Invocation:
    """Return the options before the command."""
    found = ctx.find_object(Invocation)
    if found is None:
        raise RuntimeError("the command runs outside the application")
    return found


def load_settings(ctx: typer.Context) -> Settings:
    """Load the settings as they are configured, whether or not anything runs.

    Raises:
        SettingsError: One line that names the place and the problem.
    """
    return load(invocation(ctx).config_file)


def load_with_kafka(ctx: typer.Context) -> Settings:
    """Load the settings with an address of Kafka.

    Raises:
        SettingsError: There is none, or the settings can't be used.
    """
    return with_kafka(load_settings(ctx))


def with_kafka(settings: Settings) -> Settings:
    """Fill in the address of the embedded broker where none is configured.

    Raises:
        SettingsError: No embedded stack is running.
    """
    if settings.kafka.bootstrap_servers is not None:
        return settings
    running = _running(settings)
    if running is None:
        raise SettingsError("no Kafka: set KAFKA_BOOTSTRAP_SERVERS or start the embedded stack with `tierstream up`")
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": running.kafka})
    return settings.model_copy(update={"kafka": kafka})


def with_clickhouse(settings: Settings) -> Settings:
    """Fill in the URL of the embedded ClickHouse engine where none is configured.

    Raises:
        SettingsError: No embedded stack is running.
    """
    if settings.clickhouse.url is not None:
        return settings
    running = _running(settings)
    if running is None:
        raise SettingsError("no ClickHouse: set CLICKHOUSE_URL or start the embedded stack with `tierstream up`")
    clickhouse = settings.clickhouse.model_copy(update={"url": running.clickhouse})
    return settings.model_copy(update={"clickhouse": clickhouse})


def simulator_environment(settings: Settings) -> dict[str, str]:
    """Return the variables by which a worker of its own uses the simulator of the running embedded stack."""
    running = _running(settings)
    if running is None or running.simulator is None:
        return {}
    return {
        "TIERSTREAM_SIMULATOR_URL": running.simulator,
        "TIERSTREAM_SIMULATED": ",".join(running.simulated),
    }


def operator_name() -> str:
    """Name who gives a command, for the records that it leaves."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        # A container's user need not have a name.
        return f"uid {os.getuid()}"


def _running(settings: Settings) -> "Addresses | None":
    # It brings an HTTP client, which `--help` need not wait for.
    from tierstream.stack.state import addresses  # noqa: PLC0415

    return addresses(settings.stack.data_dir)
