"""What all endpoints of one provider share: its models, what they answer, and how a response leaves."""

import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NoReturn

from aiohttp import web

from tierstream.simulator.answers import Script, choose_answer
from tierstream.simulator.batch_store import BatchStore
from tierstream.simulator.behaviour import Fault
from tierstream.simulator.chat import Answer, ApiError, ChatRequest, Reply, WireProtocol
from tierstream.simulator.rate_limit import LimitState
from tierstream.simulator.served_model import CallPlan, ModelRegistry, ServedModel
from tierstream.simulator.tool_calls import spoiled
from tierstream.simulator.usage_log import UsageLog

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_REFUSALS: Final = {
    Fault.UNAUTHORIZED: (401, "Incorrect API key provided."),
    Fault.SERVER_ERROR: (500, "The server had an error while processing your request."),
    Fault.UNAVAILABLE: (503, "The service is overloaded. Try again later."),
}


class Dropped(Exception):  # noqa: N818 (a fate that was asked for, not an error)
    """The connection was closed on purpose; there is nothing to send."""


@dataclass(frozen=True, slots=True)
class SimulatedProvider:
    """One provider.

    Attributes:
        name: As the configuration has it; its paths begin with it.
        time_scale: Multiplies every latency; 0 waits for nothing.
    """

    name: str
    protocol: WireProtocol
    models: ModelRegistry
    script: Script
    log: UsageLog
    batches: BatchStore
    time_scale: float

    def reply(self, model: ServedModel, chat: ChatRequest, plan: CallPlan) -> Reply:
        """What a model answers a request that it takes, spoiled by the fault in its plan."""
        answer = Answer("") if plan.fault is Fault.EMPTY else choose_answer(self.script, chat, model.behaviour)
        answer = replace(answer, calls=spoiled(answer.calls, plan.fault, chat))
        return model.reply(chat, answer, number=plan.number, call_id_prefix=self.protocol.call_id_prefix)

    def route(self, serve: Callable[[web.Request], Awaitable[web.Response]]) -> Handler:
        """A handler for clients with a key that turns refusals into the vendor's error body."""

        async def handle(request: web.Request) -> web.StreamResponse:
            request_id = new_request_id()
            try:
                self.protocol.authorize(request.headers)
                response = await serve(request)
            except ApiError as error:
                return self.refusal(error, request_id, None)
            except Dropped:
                return web.Response(status=500)
            response.headers.update(self.protocol.headers(request_id, None))
            return response

        return handle

    def refusal(self, error: ApiError, request_id: str, limits: LimitState | None) -> web.Response:
        """The response to a request that is refused."""
        headers = self.protocol.headers(request_id, limits)
        if error.retry_after_s is not None:
            headers["retry-after"] = f"{error.retry_after_s:.3f}".rstrip("0").rstrip(".")
        body = self.protocol.error_body(error, request_id)
        return web.Response(body=body, status=error.status, content_type="application/json", headers=headers)


def new_request_id() -> str:
    """An id of a request; the clock makes it unique enough for a header that only people read."""
    return f"req_{time.time_ns():x}"


def admit(model: ServedModel, chat: ChatRequest, plan: CallPlan, *, limited: bool) -> None:
    """Raise the ApiError of what a model can't take, of a limit that is exceeded or of a fault that is a status.

    Args:
        model: Which is asked.
        chat: What it is asked.
        plan: What chance has in store for the call.
        limited: Whether the limits per minute count the call.
    """
    model.admit(chat.conversation, chat.needs, chat.thinking)
    exceeded = model.limits.admit(chat.conversation.input_tokens, time.monotonic()) if limited else None
    if exceeded is not None or plan.fault is Fault.TOO_MANY:
        # Vendors name whole seconds; a configured wait is taken as it is.
        limit, wait_s = (
            (exceeded[0], math.ceil(exceeded[1])) if exceeded else ("requests", model.behaviour.retry_after_s)
        )
        raise ApiError(
            429,
            f"Rate limit reached for model `{chat.model}` on {limit} per minute. Try again in {wait_s:.3g}s.",
            code="rate_limit_exceeded",
            kind=limit,
            retry_after_s=wait_s,
        )
    if plan.fault in _REFUSALS:
        status, message = _REFUSALS[plan.fault]
        raise ApiError(status, message)


def drop_connection(request: web.Request, *, flush: bool) -> None:
    """Close the client's connection without a proper end, with or without what is still to be sent."""
    if request.transport is not None:
        if flush:
            request.transport.close()
        else:
            request.transport.abort()


def break_off(request: web.Request) -> NoReturn:
    """Close the client's connection before it hears anything."""
    drop_connection(request, flush=False)
    raise Dropped


async def read_body(request: web.Request) -> Mapping[str, Any]:
    """The JSON object that a client sent, or ApiError."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "We could not parse the JSON body of your request; send a JSON object.")
    return body


def json_response(body: bytes) -> web.Response:
    """A response that is JSON already."""
    return web.Response(body=body, content_type="application/json")
