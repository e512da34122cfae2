"""LiteLLM's proxy as a process: one worker, a model for each tier, cost and latency of each call in a file."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tierstream.bench.litellm_install import litellm_environment
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.ports import HOST, free_port
from tierstream.stack.process import Child

_START_S: Final = 180.0
_STOP_S: Final = 10.0
_SPEND_VARIABLE: Final = "BENCH_SPEND_LOG"
_MODELS: Final = {"tier1": "gpt-oss-20b", "tier2": "gpt-6-luna", "tier3": "gpt-6.1-sol"}
_RATES: Final = {"input_cost_per_token": 1e-7, "output_cost_per_token": 4e-7}
_CALLBACK: Final = f'''\
"""Writes a line for each call that succeeded."""

import json
import os

from litellm.integrations.custom_logger import CustomLogger


class SpendLog(CustomLogger):
    def __init__(self):
        super().__init__()
        self._file = open(os.environ["{_SPEND_VARIABLE}"], "a", buffering=1)

    async def async_log_success_event(self, kwargs, response_obj, start_time, end_time):
        took = (end_time - start_time).total_seconds() * 1000
        line = {{"prompt": kwargs["messages"][-1]["content"], "cost_usd": kwargs.get("response_cost"), "ms": took}}
        self._file.write(json.dumps(line) + "\\n")


handler = SpendLog()
'''


class LiteLlmProxy:
    """A proxy that runs, and can be killed and started again on the same port."""

    def __init__(self, programs: Path, folder: Path, mock_url: str) -> None:
        """Prepare; `proxy_process` starts it.

        Args:
            programs: Of `installed_litellm`.
            folder: For its configuration and logs.
            mock_url: Root of the mock provider.
        """
        self._programs = programs
        self._folder = folder
        self._mock_url = mock_url
        self._port = free_port()
        self._key = f"sk-{secrets.token_urlsafe(32)}"
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{HOST}:{self._port}"

    @property
    def headers(self) -> dict[str, str]:
        """What lets a client in: the proxy does not start without a key."""
        return {"Authorization": f"Bearer {self._key}"}

    @property
    def pid(self) -> int:
        """Of its present process."""
        if self._child is None:
            raise RuntimeError("the proxy is not started")
        return self._child.pid

    def spent(self) -> Iterator[dict[str, Any]]:
        """Yield the lines that its callback has written: prompt, cost and milliseconds of each call."""
        file = self._folder / "spend.jsonl"
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            yield json.loads(line)

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StackError: It does not.
        """
        log_file = self._folder / "litellm.log"
        command = [str(self._programs / "litellm"), "--config", "config.yaml", "--num_workers", "1"]
        command += ["--host", HOST, "--port", str(self._port)]
        self._child = Child.start(command, env=self._environment(), log_file=log_file, cwd=self._folder)
        check = HealthCheck(kind="http", target=f"{self.url}/health/liveliness")
        await wait_healthy(self._child, check, name="LiteLLM's proxy", log_file=log_file, timeout_s=_START_S)

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()

    async def stop(self) -> None:
        """Ask it to end, and wait."""
        if self._child is not None:
            await self._child.stop(_STOP_S)

    def write_files(self) -> None:
        """Make its folder, and write its configuration and its callback there."""
        self._folder.mkdir(exist_ok=True)
        models = [
            {"model_name": name, "litellm_params": {"model": f"openai/{model}", **self._upstream(), **_RATES}}
            for name, model in _MODELS.items()
        ]
        # JSON is YAML.
        config = {"model_list": models, "litellm_settings": {"callbacks": "spend_log.handler", "num_retries": 0}}
        (self._folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
        (self._folder / "spend_log.py").write_text(_CALLBACK, encoding="utf-8")

    def _upstream(self) -> dict[str, str]:
        return {"api_base": f"{self._mock_url}/v1", "api_key": "bench"}

    def _environment(self) -> dict[str, str]:
        return {
            **litellm_environment(),
            "LITELLM_MASTER_KEY": self._key,
            # Prices are in the configuration; it would fetch a list of all models at each start.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            _SPEND_VARIABLE: str(self._folder / "spend.jsonl"),
        }


@asynccontextmanager
async def proxy_process(programs: Path, folder: Path, mock_url: str) -> AsyncIterator[LiteLlmProxy]:
    """Run a proxy for as long as the context lasts; see `LiteLlmProxy` for the arguments.

    Raises:
        StackError: It does not start.
    """
    proxy = LiteLlmProxy(programs, folder, mock_url)
    proxy.write_files()
    try:
        await proxy.start()
        yield proxy
    finally:
        await proxy.stop()
