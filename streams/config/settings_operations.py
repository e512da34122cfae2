"""The section of the settings about what a process says of itself: metrics, liveness, traces and its log."""

from typing import Annotated, Literal

from pydantic import Field

from streams.config.section import Section
from streams.config.setting_types import Port


class OperationsSettings(Section):
    """What workers and the sink show to those who watch over them; all of it is off by default."""

    metrics_host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$", max_length=255)] = "127.0.0.1"
    """The address that `/metrics`, `/livez` and `/readyz` are served at, which ask for no password."""
    metrics_port: Port | None = None
    """Of a worker. None: it serves nothing. 0: any free one, which the log names."""
    sink_metrics_port: Port | None = None
    """Of the sink, likewise."""
    commit_age_limit_s: Annotated[float, Field(gt=0)] = 120.0
    """A process is alive as long as none of its partitions with records to work on stays where it is for longer than
    this and the longest work on one record."""
    log_format: Literal["text", "json"] = "text"
    """Of the lines that workers and the sink write to stderr."""
    tracing: Literal["off", "otlp"] = "off"
    """Whether spans go to an OpenTelemetry collector; which one, and which requests, the variables `OTEL_*` say."""
