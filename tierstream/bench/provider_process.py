"""The mock provider as a process, and how a stack is brought to call it."""

import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.config.settings import Settings
from streams.config.settings_problems import NESTED, VARIABLE_PREFIX
from streams.providers.registry import speaker_of
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.ports import HOST, free_port
from tierstream.stack.process import Child

_KEY: Final = "bench"
_START_S: Final = 30.0
_STOP_S: Final = 5.0


class MockProcess:
    """A mock provider that listens.

    Attributes:
        url: Its root.
        pid: Of its process.
    """

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.pid = pid

    def environment(self, settings: Settings) -> Mapping[str, str]:
        """Return the variables by which processes on these settings take the mock for every provider they have."""
        found = {"NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), HOST)))}
        for name, provider in settings.providers.items():
            key = f"{VARIABLE_PREFIX}PROVIDERS{NESTED}{name.upper()}{NESTED}BASE_URL"
            found[key] = f"{self.url}/{name}{speaker_of(provider.protocol).simulated_path}"
            found[provider.api_key_env] = _KEY
        return found


@asynccontextmanager
async def mock_process(log_dir: Path, *, latency_ms: float, count: bool = False) -> AsyncIterator[MockProcess]:
    """Run the mock provider for as long as the context lasts.

    Args:
        log_dir: Gets its log.
        latency_ms: From a whole call to its answer.
        count: Whether it counts the calls for each request.

    Raises:
        StackError: It does not start.
    """
    port, log_file = free_port(), log_dir / "mock.log"
    url = f"http://{HOST}:{port}"
    command = [sys.executable, "-m", "tierstream.bench.mock_provider", "--port", str(port)]
    command += ["--latency-ms", str(latency_ms), *(["--count"] if count else [])]
    child = Child.start(command, env=os.environ, log_file=log_file)
    try:
        check = HealthCheck(kind="http", target=f"{url}/health")
        await wait_healthy(child, check, name="the mock provider", log_file=log_file, timeout_s=_START_S)
        yield MockProcess(url, child.pid)
    finally:
        await child.stop(_STOP_S)


@dataclass(frozen=True)
class StackUnderTest:
    """A stack that runs to be measured.

    Attributes:
        settings: With its addresses.
        folder: Its data folder; what a benchmark writes there goes with it.
        mock: The mock provider; None where the simulator answers.
    """

    settings: Settings
    folder: Path
    mock: MockProcess | None
