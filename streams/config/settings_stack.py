"""The section of the settings about the embedded stack."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from streams.config.section import Section
from streams.config.setting_types import Port


class StackSettings(Section):
    """The embedded stack: its folder, ports (0: any free one) and processes."""

    data_dir: Path = Path(".tierstream")
    kafka_port: Port = 9092
    kafka_controller_port: Port = 9093
    clickhouse_port: Port = 8123
    simulator_port: Port = 8089
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    kafka_heap_mb: Annotated[int, Field(ge=256)] = 512
    simulator_config: Path | None = None
    simulator_scripts: tuple[Path, ...] = ()
    simulator_time_scale: Annotated[float, Field(ge=0)] = 1.0

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        users: dict[int, str] = {}
        for name in ("kafka_port", "kafka_controller_port", "clickhouse_port", "simulator_port"):
            port: int = getattr(self, name)
            if port and port in users:
                raise ValueError(f"{users[port]} and {name} are both {port}")
            users[port] = name
        return self
