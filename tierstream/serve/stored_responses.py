"""Responses that are asked for again by their ids: nothing is kept here, the topics have all of it.

An id says where its request stands. The request says the rest: its result, and the chunks of its stream, are found by
any process for as long as the topics keep them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Literal, Protocol, runtime_checkable

from starlette.datastructures import QueryParams

from streams.kafka.publisher import Delivered
from streams.runtime.unless import unless
from tierstream.serve.bodies import ClientGoneError
from tierstream.serve.call import Call
from tierstream.serve.places import Place, unknown
from tierstream.serve.request_ids import belongs_to
from tierstream.serve.streaming import AnswerEvents
from tierstream.serve.surface import Asked, DoorError, EventWriter, Surface, error_of
from topics.requests import Request
from topics.results import Result

_PREFIX: Final = "resp_"
_CANCEL_S: Final = 10.0
"""How long a cancelled request has for its result."""
_DIGITS: Final = 9
"""Of the number of an event, at most."""


@runtime_checkable
class StoredSurface(Surface, Protocol):
    """A surface whose answers can be asked for again."""

    def continued(self, asked: Asked, earlier: Request, result: Result) -> Asked:
        """Have a request go on where an earlier one ended."""

    def asked_of(self, request: Request, *, created_s: int, token: str) -> Asked:
        """Say what was asked, from the record alone."""

    def failed(self, asked: Asked, error: DoorError) -> dict[str, Any]:
        """Write that there is no answer."""

    def unfinished(self, asked: Asked, status: Literal["queued", "in_progress", "cancelled"]) -> dict[str, Any]:
        """Write that there is no answer yet, or none any more."""

    def events(self, asked: Asked, *, after: int | None = None) -> EventWriter:
        """Return a writer of the events behind a number; None: of all."""


def surface_of(call: Call) -> StoredSurface:
    """Return the surface of a call as one whose answers can be asked for again.

    Raises:
        DoorError: 400, it is none.
    """
    if isinstance(call.surface, StoredSurface):
        return call.surface
    raise DoorError(400, "invalid_request", "this API has no answers that can be asked for again")


async def begin(call: Call, asked: Asked) -> None:
    """Send a request that is answered in the background, and say under which id.

    Raises:
        DoorError: Kafka does not take it.
    """
    place = await call.door.exchange.send(asked.request)
    await call.answer(surface_of(call).unfinished(replace(asked, token=place.token()), "queued"))


async def continued(call: Call, asked: Asked) -> Asked:
    """Put the conversation before a request that its `previous_response_id` stands for.

    Raises:
        DoorError: There is no such response, or it has no answer.
    """
    earlier_id = asked.echo.get("previous_response_id")
    if earlier_id is None:
        return asked
    earlier, delivered = await _sent(call, earlier_id)
    result = await call.door.exchange.result_of(earlier, delivered)
    if result is None or error_of(result):
        message = "the response has no answer to go on from"
        raise DoorError(400, "invalid_request", message, param="previous_response_id")
    return surface_of(call).continued(asked, earlier, result)


async def retrieve(call: Call) -> None:
    """Serve `GET /v1/responses/{id}`: as it is now, or with `stream=true` its events behind `starting_after`.

    https://platform.openai.com/docs/api-reference/responses/get

    Raises:
        DoorError: There is no such response.
    """
    surface = surface_of(call)
    request, delivered = await _sent(call, call.scope["path_params"]["response_id"])
    asked = _asked(surface, request, delivered)
    query = QueryParams(call.scope["query_string"])
    if query.get("stream") != "true":
        result = await call.door.exchange.result_of(request, delivered)
        await call.answer(_state(surface, asked, result))
        return
    events = AnswerEvents(call, surface.events(asked, after=_starting_after(query)))
    async with call.door.attended(call.receive) as gone:
        if not await unless(gone, _resume(call, events, request, delivered)):
            raise ClientGoneError


async def cancel(call: Call) -> None:
    """Serve `POST /v1/responses/{id}/cancel`.

    https://platform.openai.com/docs/api-reference/responses/cancel

    Raises:
        DoorError: There is no such response, or it can't be cancelled.
    """
    surface = surface_of(call)
    request, delivered = await _sent(call, call.scope["path_params"]["response_id"])
    exchange = call.door.exchange
    if (result := await exchange.result_of(request, delivered)) is None:
        await exchange.cancel(request.request_id)
        async with exchange.following(request, delivered) as pending:
            result = await pending.result_within(_CANCEL_S)
    await call.answer(_state(surface, _asked(surface, request, delivered), result))


async def _resume(call: Call, events: AnswerEvents, request: Request, delivered: Delivered) -> bool:
    exchange = call.door.exchange
    async with exchange.following(request, delivered) as pending:
        if request.stream:
            await events.read_log(pending)
        await events.follow(pending)
    return True


async def _sent(call: Call, response_id: str) -> tuple[Request, Delivered]:
    """Find the request of a response; of others' requests nobody hears whether there are any."""
    if not response_id.startswith(_PREFIX):
        raise unknown()
    place = Place.of(response_id.removeprefix(_PREFIX))
    if not belongs_to(place.request_id, call.caller.name):
        raise unknown()
    return await call.door.exchange.sent(place)


def _asked(surface: StoredSurface, request: Request, delivered: Delivered) -> Asked:
    token = Place(delivered.partition, delivered.offset, request.request_id).token()
    return surface.asked_of(request, created_s=delivered.timestamp_ms // 1000, token=token)


def _state(surface: StoredSurface, asked: Asked, result: Result | None) -> dict[str, Any]:
    if result is None:
        return surface.unfinished(asked, "in_progress")
    error = error_of(result)
    if error is None:
        return surface.answer(asked, result)
    return surface.unfinished(asked, "cancelled") if error.code == "cancelled" else surface.failed(asked, error)


def _starting_after(query: Mapping[str, str]) -> int | None:
    """Read the number of the last event that the client has.

    Raises:
        DoorError: 400, it is none.
    """
    given = query.get("starting_after")
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= _DIGITS):
        raise DoorError(400, "invalid_request", "it must be the number of an event", param="starting_after")
    return int(given)
