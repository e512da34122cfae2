"""A body that asks for an answer: read, sent, waited for, and answered at once or piece by piece."""

from contextlib import AsyncExitStack
from dataclasses import replace

from streams.config.settings_serve import ServeSettings
from streams.runtime.unless import unless
from tierstream.serve.bodies import ClientGoneError, idempotency_key, read_json
from tierstream.serve.call import Call
from tierstream.serve.exchange import PendingAnswer
from tierstream.serve.request_ids import request_id_of
from tierstream.serve.shown_answer import ShownAnswer
from tierstream.serve.surface import Asked, error_of
from topics.requests import Request
from topics.results import Result


async def ask(call: Call) -> None:
    """Serve a POST for an answer.

    Raises:
        DoorError: There is none.
        ClientGoneError: Nobody is there for it any more.
    """
    key = idempotency_key(call.headers)
    call.request_id = request_id_of(call.caller.name, key or call.request_id)
    asked = await _read(call)
    async with AsyncExitStack() as open_things:
        exchange = call.door.exchange
        pending = await open_things.enter_async_context(exchange.asking(asked.request, may_be_known=key is not None))
        asked = replace(asked, token=pending.place.token())
        gone = await open_things.enter_async_context(call.door.attended(call.receive))
        serving = _stream(call, asked, pending) if asked.streams else _answer(call, asked, pending)
        if not await unless(gone, serving):
            if call.door.settings.serve.on_disconnect == "cancel":
                await call.door.cancellations.cancel(asked.request.request_id)
            raise ClientGoneError


async def _read(call: Call) -> Asked:
    settings = call.door.settings
    serve = settings.serve
    most = serve.body_max_bytes or settings.kafka.request_max_bytes
    body = await read_json(call.receive, call.headers, max_bytes=most, depth=serve.json_depth)
    asked = call.surface.read(
        body,
        call.headers,
        request_id=call.request_id,
        caller=call.caller,
        targets=call.door.targets,
        now_s=int(call.door.clock()),
    )
    request = _with_defaults(asked.request, serve)
    if asked.streams and not asked.background and serve.streaming == "live":
        request = for_live(request)
    return replace(asked, request=request)


def _with_defaults(request: Request, serve: ServeSettings) -> Request:
    """Fill in what the body does not say; the same body has to come to the same request at any time."""
    given: dict[str, object] = {}
    if "service_class" not in request.model_fields_set:
        given["service_class"] = serve.service_class
    if request.timeout_ms is None and serve.timeout_s is not None:
        given["timeout_ms"] = int(serve.timeout_s * 1000)
    return request.model_copy(update=given) if given else request


def for_live(request: Request) -> Request:
    """Have the text of the answer published as a model writes it."""
    return request.model_copy(update={"stream": True})


async def _answer(call: Call, asked: Asked, pending: PendingAnswer) -> bool:
    """Answer once the result is there."""
    await call.answer(call.surface.answer(asked, _answered(await pending.result())))
    return True


async def _stream(call: Call, asked: Asked, pending: PendingAnswer) -> bool:
    """Answer piece by piece. Until there is something to show, errors can still have their HTTP status."""
    writer, shown = call.surface.events(asked), ShownAnswer()
    heartbeat_s = call.door.settings.serve.heartbeat_s
    has_begun = False
    while True:
        news = await pending.next(heartbeat_s)
        if news is None:
            data = writer.keep_alive()
        elif isinstance(news, Result):
            result = _answered(news)
            data = b"".join(map(writer.piece, shown.finish(result))) + writer.finish(result)
        else:
            data = b"".join(map(writer.piece, shown.add(news)))
        if data and not has_begun:
            has_begun = True
            await call.begin(writer)
        await call.write(data)
        if isinstance(news, Result):
            await call.end()
            return True


def _answered(result: Result) -> Result:
    """Return a result with an answer.

    Raises:
        DoorError: It has none.
    """
    if error := error_of(result):
        raise error
    return result
