"""What the circuit breakers of a worker did, read from its log: `llm.control` tells only the latest state of each."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from support.deployment import Deployment

from topics.control import BreakerState, BreakerStatus
from topics.registry import CONTROL

_LINE = re.compile(r"^(\S+ \S+),(\d{3}) \S+ \S+: breaker of (\S+) is (\w+), was \w+: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Change:
    """A breaker's new state; `at` in seconds since the epoch."""

    at: float
    target: str
    state: BreakerState
    reason: str


def changes(log_file: Path) -> list[Change]:
    """Read the changes of all breakers of a worker, in order."""
    found = _LINE.findall(log_file.read_text())
    return [
        Change(
            datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").astimezone().timestamp() + int(millis) / 1000,
            target,
            BreakerState(state),
            reason,
        )
        for moment, millis, target, state, reason in found
    ]


def periods(log_file: Path, state: BreakerState) -> Counter[str]:
    """Count how often each breaker came into a state."""
    return Counter(change.target for change in changes(log_file) if change.state is state)


def ended_periods(log_file: Path, state: BreakerState) -> Counter[str]:
    """Count how often each breaker came into a state and left it."""
    now = {change.target: change.state for change in changes(log_file)}
    return periods(log_file, state) - Counter(target for target, last in now.items() if last is state)


async def reached(deployment: Deployment, state: BreakerState, *targets: str) -> None:
    """Wait until the breakers have told that they are in a state."""
    while True:
        deployment.check()
        latest = {
            record.target: record.state
            for record in await deployment.read(CONTROL)
            if isinstance(record, BreakerStatus)
        }
        if all(latest.get(target) is state for target in targets):
            return
