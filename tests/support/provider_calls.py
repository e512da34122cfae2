"""Calls to providers as the settings name them, and servers that stand in for their vendors."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

from aiohttp import web
from support.shipped_providers import NAMES

from streams.config.settings import Settings, load
from streams.config.settings_sections import ModelSettings
from streams.providers.base import ChatCall, Prompt, Provider
from streams.providers.registry import build_providers
from tierstream.simulator import load_config
from topics.answer_assembly import Piece
from topics.messages import Message
from topics.requests import Params

PROMPT = "What is the SECRETPROMPT of it?"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


MESSAGES = (Message(role="system", content="Be brief."), Message(role="user", content=PROMPT))
PARAMS = Params(temperature=0.2, stop=("\n\n\n",))


def call_of(
    model: str,
    *,
    messages: tuple[Message, ...] = MESSAGES,
    params: Params = PARAMS,
    max_tokens: int = 200,
    response_schema: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
    asked: Mapping[str, Any] | None = None,
    **fields: Any,
) -> ChatCall:
    """Return a call; `asked` are further fields of its prompt, `fields` such of its own."""
    call = ChatCall(
        call_id=uuid4(),
        model=ModelSettings(provider="p", model=model, max_tokens=max_tokens, extra=extra or {}),
        prompt=Prompt(messages, params, response_schema, **asked or {}),
        timeout_s=20,
    )
    return replace(call, **fields)


class Listener:
    """Takes the pieces of a streamed call."""

    def __init__(self) -> None:
        self.pieces: list[Piece] = []

    async def __call__(self, piece: Piece) -> None:
        self.pieces.append(piece)


def settings_with_all() -> Settings:
    """Return settings in which every shipped provider has a model that the simulator serves."""
    served = load_config().providers
    missing = [name for name in NAMES if name not in served]
    assert not missing, f"tierstream/simulator/default.toml: the simulator does not stand for {missing}"
    models = [{"provider": name, "model": next(iter(served[name].models))} for name in NAMES]
    return load(overrides={"tiers": [{"name": name, "models": models} for name in ("one", "two")]})


@asynccontextmanager
async def built(settings: Settings, url: str) -> AsyncIterator[dict[str, Provider]]:
    providers = build_providers(settings, environ={}, simulator_url=url, simulated=NAMES)
    try:
        yield providers
    finally:
        for provider in providers.values():
            await provider.close()


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    """Root URL of a server whose every answer the handler makes; it is cancelled when the client leaves."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def answering(settings: Settings, handler: Handler) -> AsyncIterator[dict[str, Provider]]:
    """Providers whose every call gets what the handler makes of it."""
    async with served(handler) as url, built(settings, url) as providers:
        yield providers


async def at_once() -> None:
    """Let a batch leave without a further look."""
