"""A body that asks for an answer: read, sent, waited for, and answered at once or piece by piece."""

from contextlib import AsyncExitStack
from dataclasses import replace

from streams.config.settings_serve import ServeSettings
from streams.runtime.unless import unless
from tierstream.serve.bodies import ClientGoneError, idempotency_key, read_json
from tierstream.serve.call import Call
from tierstream.serve.exchange import PendingAnswer
from tierstream.serve.places import Place
from tierstream.serve.request_ids import request_id_of
from tierstream.serve.stored_responses import begin, continued
from tierstream.serve.streaming import AnswerEvents
from tierstream.serve.surface import Asked, error_of
from topics.requests import Request


async def ask(call: Call) -> None:
    """Serve a POST for an answer.

    Raises:
        DoorError: There is none.
        ClientGoneError: Nobody is there for it any more.
    """
    key = idempotency_key(call.headers)
    call.request_id = request_id_of(call.caller.name, key or call.request_id)
    asked = await _read(call)
    if asked.background and not asked.streams:
        await begin(call, asked)
        return
    async with AsyncExitStack() as open_things:
        asking = call.door.exchange.asking(asked.request, may_be_known=key is not None)
        pending = await open_things.enter_async_context(asking)
        asked = replace(asked, token=pending.place.token())
        gone = await open_things.enter_async_context(call.door.attended(call.receive))
        serving = _stream(call, asked, pending) if asked.streams else _answer(call, asked, pending)
        if await unless(gone, serving):
            return
    exchange, request_id = call.door.exchange, asked.request.request_id
    cancels = call.door.settings.serve.on_disconnect == "cancel" and not asked.background
    if cancels and not exchange.is_awaited(request_id):
        await exchange.cancel(request_id)
    raise ClientGoneError


async def _read(call: Call) -> Asked:
    settings = call.door.settings
    serve = settings.serve
    body = await read_json(call.receive, call.headers, settings)
    asked = call.surface.read(
        body,
        call.headers,
        request_id=call.request_id,
        caller=call.caller,
        targets=call.door.targets,
        now_s=int(call.door.clock()),
    )
    asked = await continued(call, asked)
    request = _with_defaults(asked.request, serve)
    return replace(
        asked, request=for_live(request) if asked.streams and serve.streaming == "live" else for_one(request)
    )


def _with_defaults(request: Request, serve: ServeSettings) -> Request:
    """Fill in what the body does not say; the same body has to come to the same request at any time."""
    given: dict[str, object] = {}
    if "service_class" not in request.model_fields_set:
        given["service_class"] = serve.service_class
    if request.timeout_ms is None and serve.timeout_s is not None:
        given["timeout_ms"] = int(serve.timeout_s * 1000)
    return request.model_copy(update=given) if given else request


def for_live(request: Request) -> Request:
    """Have the text of the answer published as a model writes it; what was shown is not escalated."""
    return request.model_copy(update={"stream": True, "final_once_shown": True})


def for_one(request: Request) -> Request:
    """Have the answer published as a whole, once it has passed its checks."""
    return request.model_copy(update={"stream": False})


async def _answer(call: Call, asked: Asked, pending: PendingAnswer) -> bool:
    """Answer once the result is there."""
    result = await pending.result()
    if error := error_of(result):
        raise error
    # A repeat has the id that the first copy had, which is the one that was answered.
    answered = Place(result.source.partition, result.source.offset, asked.request.request_id)
    await call.answer(call.surface.answer(replace(asked, token=answered.token()), result))
    return True


async def _stream(call: Call, asked: Asked, pending: PendingAnswer) -> bool:
    """Answer piece by piece."""
    await AnswerEvents(call, call.surface.events(asked)).follow(pending)
    return True
