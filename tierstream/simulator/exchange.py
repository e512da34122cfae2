"""One provider's chat endpoint: reads a call, draws its fate, and sends the response or breaks it."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final, NoReturn

from aiohttp import web

from tierstream.simulator.behaviour import Fault
from tierstream.simulator.chat import ApiError, ChatRequest, Reply
from tierstream.simulator.classification import asks_for_tiers
from tierstream.simulator.served_model import ServedModel
from tierstream.simulator.simulated_provider import (
    Dropped,
    SimulatedProvider,
    admit,
    drop_connection,
    json_response,
    new_request_id,
    read_body,
)
from tierstream.simulator.usage_log import ServedCall

CALL_ID_HEADER: Final = "X-Client-Request-Id"

# Each write wakes both sides up; closer ones would cost CPU that nobody sees.
_WRITE_GAP_S: Final = 0.05

# What happens to a stream in its middle.
_BREAK_OFF: Final = frozenset({Fault.CUT, Fault.MALFORMED, Fault.STREAM_ERROR})


@dataclass(frozen=True, slots=True)
class _Delivery:
    """A reply on its way out: what to send, when (seconds, before the time scale), and what goes wrong."""

    call: ServedCall
    chat: ChatRequest
    reply: Reply
    fault: Fault | None
    thinking_s: float
    writing_s: float
    headers: dict[str, str]


class ChatEndpoint:
    """The chat route of one provider."""

    def __init__(self, provider: SimulatedProvider, *, stopping: asyncio.Event) -> None:
        self._provider = provider
        self._protocol = provider.protocol
        self._log = provider.log
        self._stopping = stopping

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Serve one call and record it, however it ends."""
        call = self._log.start(self._provider.name, request.headers.get(CALL_ID_HEADER))
        request_id = new_request_id()
        try:
            return await self._serve(request, call, request_id)
        except ApiError as error:
            return self._refuse(call, error, request_id, None)
        except (Dropped, ConnectionError):
            self._log.end(call, "client_closed")
            return web.Response(status=500)
        except asyncio.CancelledError:
            self._log.end(call, "dropped" if self._stopping.is_set() else "client_closed")
            raise

    async def list_models(self, request: web.Request) -> web.Response:
        """The models of the provider."""
        del request
        return json_response(self._protocol.model_list(self._provider.models.ids(self._provider.name)))

    async def _serve(self, request: web.Request, call: ServedCall, request_id: str) -> web.StreamResponse:
        body = await read_body(request)
        self._protocol.authorize(request.headers)
        chat = self._protocol.parse(body)
        call.identify(model=chat.model, prompt=chat.conversation.prompt, stream=chat.stream)
        model = self._provider.models.serving(self._provider.name, chat.model)
        if model.behaviour.down:
            self._drop(request, call, "dropped", flush=False)
        plan = model.next_call()
        call.fault = plan.fault
        try:
            admit(model, chat, plan, limited=True)
        except ApiError as error:
            return self._refuse(call, error, request_id, model)
        if plan.fault is Fault.HANG:
            await self._hang(request, call)
        reply = self._provider.reply(model, chat, plan)
        model.limits.charge(reply.usage.output_tokens)
        delivery = _Delivery(
            call=call,
            chat=chat,
            reply=reply,
            fault=plan.fault,
            thinking_s=model.thinking_s(reply.usage, plan, classifies=asks_for_tiers(chat.conversation)),
            writing_s=model.writing_s(reply.usage, plan),
            headers=self._protocol.headers(request_id, model.limits.state(time.monotonic())),
        )
        send = self._stream if chat.stream else self._respond
        return await send(request, delivery)

    def _refuse(self, call: ServedCall, error: ApiError, request_id: str, model: ServedModel | None) -> web.Response:
        call.retry_after_s = error.retry_after_s
        self._log.end(call, error.status)
        return self._provider.refusal(error, request_id, model.limits.state(time.monotonic()) if model else None)

    def _drop(self, request: web.Request, call: ServedCall, status: str, *, flush: bool) -> NoReturn:
        self._log.end(call, status)
        drop_connection(request, flush=flush)
        raise Dropped

    async def _hang(self, request: web.Request, call: ServedCall) -> NoReturn:
        try:
            await self._stopping.wait()
        finally:
            self._log.end(call, "hang")
        drop_connection(request, flush=False)
        raise Dropped

    async def _pause(self, seconds: float) -> None:
        if self._provider.time_scale:
            await asyncio.sleep(seconds * self._provider.time_scale)

    async def _respond(self, request: web.Request, delivery: _Delivery) -> web.StreamResponse:
        call, reply, headers = delivery.call, delivery.reply, delivery.headers
        await self._pause(delivery.thinking_s + delivery.writing_s)
        body = self._protocol.completion(reply)
        if delivery.fault is Fault.CUT:
            half = web.StreamResponse(headers={**headers, "Content-Type": "application/json"})
            half.content_length = len(body)
            await half.prepare(request)
            await half.write(body[: len(body) // 2])
            self._drop(request, call, "cut", flush=True)
        if delivery.fault is Fault.MALFORMED:
            self._log.end(call, 200)
            body = body[: len(body) // 2]
        else:
            self._log.end(call, 200, reply.usage)
        return web.Response(body=body, content_type="application/json", headers=headers)

    async def _stream(self, request: web.Request, delivery: _Delivery) -> web.StreamResponse:
        call, chat, reply, fault = delivery.call, delivery.chat, delivery.reply, delivery.fault
        events = self._protocol.events(reply, include_usage=chat.include_usage)
        await self._pause(delivery.thinking_s)
        response = web.StreamResponse(headers={**delivery.headers, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        pieces = events.pieces
        if fault in _BREAK_OFF:
            pieces = pieces[: len(pieces) // 2]
        await self._write_pieces(response, events.head, pieces, delivery.writing_s)
        if fault is Fault.CUT:
            self._drop(request, call, "cut", flush=True)
        if fault is Fault.MALFORMED:
            self._log.end(call, 200)
            # The first half of an event, properly ended: it parses as an event but not as JSON.
            await response.write(events.head[: len(events.head) // 2] + b"\n\n")
        elif fault is Fault.STREAM_ERROR:
            self._log.end(call, 200)
            await response.write(self._protocol.error_event())
        else:
            self._log.end(call, 200, reply.usage if self._protocol.returns_usage(chat) else None)
            await response.write(events.tail)
        await response.write_eof()
        return response

    async def _write_pieces(
        self, response: web.StreamResponse, head: bytes, pieces: list[bytes], seconds: float
    ) -> None:
        """Send the opening at once and the pieces evenly over the time, several to a write if it is short."""
        writes = min(len(pieces), int(seconds * self._provider.time_scale / _WRITE_GAP_S))
        if writes <= 1:
            await self._pause(seconds)
            await response.write(head + b"".join(pieces))
            return
        await response.write(head)
        size = -(-len(pieces) // writes)
        for start in range(0, len(pieces), size):
            await self._pause(seconds * min(size, len(pieces) - start) / len(pieces))
            await response.write(b"".join(pieces[start : start + size]))
