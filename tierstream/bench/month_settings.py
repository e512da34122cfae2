"""The settings of the runs of a month: one table for what the loop adds, as variables of the workers."""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from typing import Any, Final

from streams.config.settings_problems import NESTED, VARIABLE_PREFIX

_LOOP_FILE: Final = "month_loop.toml"
_ALL: Final[Mapping[str, Any]] = {"stack": {"simulator_time_scale": 0.25}}
"""Of all runs: with the simulator's usual latencies a day would mostly be waiting for its last answers."""
_OFF: Final[Mapping[str, Any]] = {"validation": {"sample_rate": 0}}


def loop_table() -> dict[str, Any]:
    """Return what is switched on in the runs that learn, nested as in a config file."""
    return tomllib.loads(resources.files(__package__).joinpath(_LOOP_FILE).read_text(encoding="utf-8"))


@contextmanager
def run_environment(*, learns: bool, budget_usd: float | None = None) -> Iterator[None]:
    """Give this process, and the workers that it starts, the settings of a run, for as long as the context lasts.

    Args:
        learns: Whether the loop is on.
        budget_usd: What requests are to cost on average; None: there is no budget.
    """
    before = dict(os.environ)
    budget = {} if budget_usd is None else {"routing": {"budget_usd_per_request": budget_usd}}
    tables = (_ALL, loop_table() if learns else _OFF, budget)
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
