"""Counts the tokens of a message before it is sent.

Source: https://platform.claude.com/docs/en/api/messages-count-tokens.
"""

import time
from typing import Final

from aiohttp import web

from tierstream.simulator.anthropic_messages import read_conversation, read_toolbox
from tierstream.simulator.chat import ApiError, WireProtocol, dumps, read_model
from tierstream.simulator.exchange import read_body
from tierstream.simulator.served_model import ModelRegistry

_PATH: Final = "/v1/messages/count_tokens"


class TokenCountEndpoint:
    """The route of one provider that counts tokens. Its calls cost nothing, so they are in no log."""

    def __init__(self, provider: str, protocol: WireProtocol, models: ModelRegistry) -> None:
        self._provider = provider
        self._protocol = protocol
        self._models = models

    def add_to(self, app: web.Application) -> None:
        """Register the route."""
        app.router.add_post(f"/{self._provider}{_PATH}", self._count)

    async def _count(self, request: web.Request) -> web.Response:
        request_id = f"req_{time.time_ns():x}"
        try:
            body, status = await self._counted(request), 200
        except ApiError as error:
            body, status = self._protocol.error_body(error, request_id), error.status
        headers = self._protocol.headers(request_id, None)
        return web.Response(body=body, status=status, content_type="application/json", headers=headers)

    async def _counted(self, request: web.Request) -> bytes:
        body = await read_body(request)
        self._protocol.authorize(request.headers)
        model = self._models.serving(self._provider, read_model(body, "model: Field required"))
        conversation = read_conversation(body, model.model, read_toolbox(body))
        model.admit(conversation, conversation.needs)
        return dumps({"input_tokens": conversation.input_tokens}).encode()
