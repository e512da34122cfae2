"""What processes spend: CPU time and memory, each with its children, told from outside."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from tierstream.stack.state import read_state

_NAMES = {"kafka": "broker", "simulator": "mock"}
_MIB = 2**20


@dataclass(frozen=True)
class Spent:
    """CPU seconds (user and system) by process name since each began, and when that was read."""

    at: float
    cpu_s: Mapping[str, float]
    machine_s: float
    """CPU seconds of the whole machine since it began."""

    def since(self, before: "Spent") -> dict[str, float]:
        """Return what was spent between two readings; a process that is new in the later one counts as a whole."""
        return {name: spent - before.cpu_s.get(name, 0.0) for name, spent in self.cpu_s.items()}

    def others_since(self, before: "Spent") -> float:
        """Return how many CPUs were busy with anything else between two readings, on average."""
        elsewhere = self.machine_s - before.machine_s - sum(self.since(before).values())
        return max(0.0, elsewhere / (self.at - before.at))


class ProcessMeter:
    """Reads the CPU time and the memory of named processes.

    Args:
        processes: By the name under which they are reported.
    """

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = dict(processes)

    @classmethod
    def of_stack(cls, data_dir: Path, **others: int) -> "ProcessMeter":
        """Watch the services of a stack, and others by their pids.

        Args:
            data_dir: Of the running stack.
            others: Pids by name.

        Raises:
            psutil.NoSuchProcess: One has ended.
        """
        state = read_state(data_dir)
        services = state.services if state else ()
        found = {reported_name(service.name): psutil.Process(service.process.pid) for service in services}
        return cls({**found, **{name: psutil.Process(pid) for name, pid in others.items()}})

    def cpu(self) -> Spent:
        """Read the CPU time of all; one that has ended is left out."""
        cpu_s = {name: spent for name, one in self._alive() if (spent := cpu_seconds(one))}
        busy = psutil.cpu_times()
        return Spent(time.monotonic(), cpu_s, busy.user + busy.nice + busy.system)

    def rss_mib(self) -> dict[str, float]:
        """Read the resident memory of all, in MiB."""
        return {name: round(sum(p.memory_info().rss for p in _family(one)) / _MIB, 1) for name, one in self._alive()}

    def _alive(self) -> list[tuple[str, psutil.Process]]:
        return [(name, process) for name, process in self._processes.items() if process.is_running()]


def reported_name(service: str) -> str:
    """Return the name under which a service of the stack is reported."""
    return _NAMES.get(service, "worker" if service == "worker-1" else service)


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU seconds (user and system) of a process and of those that it has started."""
    times = [one.cpu_times() for one in _family(process)]
    return sum(one.user + one.system for one in times)


def _family(process: psutil.Process) -> list[psutil.Process]:
    # What this process has started is reported under names of its own.
    if process.pid == os.getpid():
        return [process]
    return [process, *process.children(recursive=True)]
