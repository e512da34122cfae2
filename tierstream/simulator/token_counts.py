"""Counts the tokens of a message before it is sent.

Source: https://platform.claude.com/docs/en/api/messages-count-tokens.
"""

from typing import Final

from aiohttp import web

from tierstream.simulator.anthropic_messages import read_conversation, read_toolbox
from tierstream.simulator.chat import dumps, read_model
from tierstream.simulator.simulated_provider import SimulatedProvider, json_response, read_body

_PATH: Final = "/v1/messages/count_tokens"


class TokenCountEndpoint:
    """The route of one provider that counts tokens. Its calls cost nothing, so they are in no log."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._provider = provider

    def add_to(self, app: web.Application) -> None:
        """Register the route."""
        app.router.add_post(f"/{self._provider.name}{_PATH}", self._provider.route(self._count))

    async def _count(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        model = self._provider.models.serving(self._provider.name, read_model(body, "model: Field required"))
        conversation = read_conversation(body, model.model, read_toolbox(body))
        model.admit(conversation, conversation.needs)
        return json_response(dumps({"input_tokens": conversation.input_tokens}).encode())
