"""The simulator as an aiohttp application, as a process and as a context manager for tests."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from aiohttp import web

from tierstream.simulator.answers import Script, ScriptEntry
from tierstream.simulator.anthropic_batches import AnthropicBatches
from tierstream.simulator.batch_store import BatchStore
from tierstream.simulator.behaviour import SimulatorConfig, load_config
from tierstream.simulator.control import BehaviourChange, ControlRoutes, change_behaviour
from tierstream.simulator.exchange import ChatEndpoint
from tierstream.simulator.openai_batches import GROQ_RULES, OPENAI_RULES, OpenAIBatches
from tierstream.simulator.served_model import ModelRegistry
from tierstream.simulator.simulated_provider import SimulatedProvider
from tierstream.simulator.token_counts import TokenCountEndpoint
from tierstream.simulator.usage_log import UsageLog
from tierstream.simulator.wire_protocols import WIRE_PROTOCOLS

# What a batch of Anthropic's may have, which comes in one request.
_MAX_BODY_BYTES: Final = 256 * 1024 * 1024
_SHUTDOWN_S: Final = 0.5
_BACKLOG: Final = 1024


class Endpoint(Protocol):
    """Routes of one provider."""

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""


_MORE_ENDPOINTS: Final[Mapping[str, tuple[Callable[[SimulatedProvider], Endpoint], ...]]] = {
    "openai": (partial(OpenAIBatches, rules=OPENAI_RULES),),
    "groq": (partial(OpenAIBatches, rules=GROQ_RULES),),
    "anthropic": (TokenCountEndpoint, AnthropicBatches),
}
"""What a protocol has besides chat and the list of its models."""


def create_app(
    config: SimulatorConfig, models: ModelRegistry, script: Script, log: UsageLog, batches: BatchStore
) -> web.Application:
    """Wire the application. It needs a runner with `handler_cancellation`, or it can't see clients leave."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    stopping = asyncio.Event()
    for name, declared in config.providers.items():
        protocol = WIRE_PROTOCOLS[declared.protocol]()
        provider = SimulatedProvider(name, protocol, models, script, log, batches, config.time_scale)
        endpoint = ChatEndpoint(provider, stopping=stopping)
        for path in protocol.chat_paths:
            app.router.add_post(f"/{name}{path}", endpoint.chat)
        for path in protocol.model_paths:
            app.router.add_get(f"/{name}{path}", provider.route(endpoint.list_models))
        for more in _MORE_ENDPOINTS[declared.protocol]:
            more(provider).add_to(app)
    ControlRoutes(models, script, log, batches).add_to(app)

    async def release_hanging_calls(_: web.Application) -> None:
        stopping.set()

    app.on_shutdown.append(release_hanging_calls)
    return app


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that listens.

    Attributes:
        url: Its root, such as `http://127.0.0.1:8080`, without a slash at the end.
        script: Its answers; entries can be added while it runs.
    """

    url: str
    script: Script
    _config: SimulatorConfig
    _models: ModelRegistry
    _log: UsageLog
    _batches: BatchStore

    @property
    def calls(self) -> list[dict[str, object]]:
        """The served calls in memory, as in the usage log."""
        return [call.to_dict() for _, call in self._log.since(0)]

    async def served(self, total: int) -> list[dict[str, object]]:
        """Wait until that many calls have ended, and return the served calls."""
        await self._log.reached(total)
        return self.calls

    @property
    def batches(self) -> list[dict[str, object]]:
        """Every batch that was made, the oldest first, with its status in OpenAI's words."""
        return [batch.to_dict() for batch in self._batches.made]

    def finish_batches(self) -> None:
        """Have the batches that are under way end at once, as `POST /batches/finish` does."""
        self._batches.hurry()

    async def ended_batches(self, total: int) -> list[dict[str, object]]:
        """Wait until that many batches have ended, and return all."""
        await self._batches.ended_reach(total)
        return self.batches

    def base_url(self, provider: str) -> str:
        """The `base_url` for the SDK of the provider's protocol."""
        protocol = WIRE_PROTOCOLS[self._config.providers[provider].protocol]()
        return f"{self.url}/{provider}{protocol.base_path}"

    def set_behaviour(self, provider: str = "*", model: str = "*", **fields: Any) -> None:  # noqa: ANN401 (any field)
        """Set behaviour fields, as `POST /control` does.

        Raises:
            LookupError: No model matches.
            pydantic.ValidationError: A field is unknown or out of range.
        """
        change_behaviour(self._models, BehaviourChange(provider=provider, model=model, set=fields))

    def reset(self) -> None:
        """Go back to the configured behaviours."""
        for served in self._models.matching("*", "*"):
            served.reset()


@asynccontextmanager
async def listening_simulator(
    config: SimulatorConfig, script: Script, *, usage_log: Path | None, host: str, port: int
) -> AsyncIterator[RunningSimulator]:
    """Listen until the context ends; port 0 takes a free one. OSError if the port is in use."""
    log = UsageLog(usage_log, config.calls_in_memory)
    models = ModelRegistry(config)
    batches = BatchStore()
    runner = web.AppRunner(
        create_app(config, models, script, log, batches),
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=_SHUTDOWN_S,
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        bound_host, bound_port = runner.addresses[0][:2]
        yield RunningSimulator(f"http://{bound_host}:{bound_port}", script, config, models, log, batches)
    finally:
        await runner.cleanup()
        await batches.close()
        log.close()


@asynccontextmanager
async def running_simulator(
    *,
    config: SimulatorConfig | None = None,
    script: Iterable[ScriptEntry | Mapping[str, Any]] = (),
    usage_log: Path | None = None,
    time_scale: float | None = None,
) -> AsyncIterator[RunningSimulator]:
    """A simulator in this event loop on a free loopback port, for tests.

    Args:
        config: Providers and behaviours; by default those that ship with the package.
        script: Entries, or mappings with their fields.
        usage_log: The JSONL file to append served calls to.
        time_scale: Replaces the one of the configuration; 0 answers at once.
    """
    chosen = config or load_config()
    if time_scale is not None:
        chosen = chosen.model_copy(update={"time_scale": time_scale})
    async with listening_simulator(chosen, Script(script), usage_log=usage_log, host="127.0.0.1", port=0) as simulator:
        yield simulator


async def serve(
    config: SimulatorConfig,
    script: Script,
    *,
    host: str,
    port: int,
    usage_log: Path | None,
    announce: Callable[[str], None],
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: Providers and behaviours.
        script: The known answers.
        host: The address to listen on.
        port: The port; 0 takes a free one.
        usage_log: The JSONL file to append served calls to.
        announce: Called with the URL once it listens.

    Raises:
        OSError: The port is in use or the usage log can't be written.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with listening_simulator(config, script, usage_log=usage_log, host=host, port=port) as simulator:
        announce(simulator.url)
        await stop.wait()
