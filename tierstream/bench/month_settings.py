"""The settings of the two runs of a month: one table for what the loop adds, as variables of the workers."""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final

from streams.config.settings_problems import NESTED, VARIABLE_PREFIX

_LOOP_FILE: Final = "month_loop.toml"
_BOTH: Final[Mapping[str, Any]] = {"stack": {"simulator_time_scale": 0.25}}
"""Of both runs: with the simulator's usual latencies a day would mostly be waiting for its last answers."""
_OFF: Final[Mapping[str, Any]] = {"validation": {"sample_rate": 0}}


def loop_table() -> dict[str, Any]:
    """Return what is switched on in the run that learns, nested as in a config file."""
    return tomllib.loads(resources.files(__package__).joinpath(_LOOP_FILE).read_text(encoding="utf-8"))


@contextmanager
def arm_environment(*, learns: bool) -> Iterator[None]:
    """Give this process, and the workers that it starts, the settings of a run, for as long as the context lasts."""
    before = dict(os.environ)
    tables = (_BOTH, loop_table() if learns else _OFF)
    os.environ.update({name: value for table in tables for name, value in variables_of(table)})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def variables_of(table: Mapping[str, Any], prefix: str = VARIABLE_PREFIX) -> Iterator[tuple[str, str]]:
    """Yield the variables that stand for a table of settings."""
    for key, value in table.items():
        name = f"{prefix}{key.upper()}"
        if isinstance(value, Mapping):
            yield from variables_of(value, f"{name}{NESTED}")
        else:
            yield name, value if isinstance(value, str) else json.dumps(value)
