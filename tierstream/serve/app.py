"""The application of the door: its addresses."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tierstream.monitoring.door_monitoring import DoorMonitoring
from tierstream.serve.asking import ask
from tierstream.serve.batches.routes import batch_routes
from tierstream.serve.call import ANTHROPIC, Call, Endpoint, Handler
from tierstream.serve.door import Door
from tierstream.serve.models import list_models, show_model
from tierstream.serve.openapi.document import openapi_document
from tierstream.serve.request_ids import new_request_id
from tierstream.serve.stored_responses import StoredSurface, cancel, retrieve
from tierstream.serve.surface import DoorError, Surface
from tierstream.serve.token_counts import CountsTokens, count_tokens

CHAT: Final = "chat_completions"
RESPONSES: Final = "responses"
_PATHS: Final[Mapping[str, str]] = {
    CHAT: "/v1/chat/completions",
    ANTHROPIC: "/v1/messages",
    RESPONSES: "/v1/responses",
}
"""Where a body is posted, by the name of the surface that reads it."""


def new_app(door: Door, monitoring: DoorMonitoring) -> ASGIApp:
    """Make the application of a door.

    Args:
        door: Serves the APIs of its surfaces.
        monitoring: Of this process.
    """
    routes = [
        Route(_PATHS[name], Endpoint(door, surface, ask), methods=["POST"]) for name, surface in door.surfaces.items()
    ]
    routes += [
        Route(f"{_PATHS[name]}/count_tokens", Endpoint(door, surface, count_tokens(surface)), methods=["POST"])
        for name, surface in door.surfaces.items()
        if isinstance(surface, CountsTokens)
    ]
    if isinstance(responses := door.surfaces.get(RESPONSES), StoredSurface):
        path = f"{_PATHS[RESPONSES]}/{{response_id}}"
        routes += [
            Route(
                f"{_PATHS[RESPONSES]}/compact",
                Endpoint(door, responses, _not_served("conversations are not kept here")),
            ),
            Route(path, Endpoint(door, responses, retrieve), methods=["GET"]),
            Route(f"{path}/cancel", Endpoint(door, responses, cancel), methods=["POST"]),
        ]
    routes += [
        Route("/v1/models", _BySpeech(door, list_models), methods=["GET"]),
        Route("/v1/models/{name:path}", _BySpeech(door, show_model), methods=["GET"]),
        Route("/v1/embeddings", _BySpeech(door, _not_served("embeddings are not answers: ask the provider itself"))),
        *([] if door.batches is None else batch_routes(door, door.batches, next(iter(door.surfaces.values())))),
        Route("/openapi.json", _describe),
        *_health(door, monitoring),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _missing(door)})


class _BySpeech:
    """An address that both vendors have: it is served in the words of the one whose headers came."""

    def __init__(self, door: Door, handle: Handler) -> None:
        self._door = door
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Endpoint(self._door, _spoken(self._door, scope), self._handle)(scope, receive, send)


def _spoken(door: Door, scope: Scope) -> Surface:
    is_anthropic = any(name == b"anthropic-version" for name, _ in scope["headers"])
    found = door.surfaces.get(ANTHROPIC if is_anthropic or scope["path"].startswith("/v1/messages") else CHAT)
    return found or next(iter(door.surfaces.values()))


async def _describe(_: Request) -> Response:
    return JSONResponse(openapi_document())


def _not_served(why: str) -> Handler:
    """Make what says that an address of the vendors' is not served here."""

    async def refuse(_: Call) -> None:
        raise DoorError(404, "not_found", why)

    return refuse


def _missing(door: Door) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Make what answers where no address was found, or not with this method."""

    async def answer(request: Request, error: Exception) -> Response:
        status, headers = 404, {}
        if isinstance(error, HTTPException):
            status, headers = error.status_code, dict(error.headers or {})
        is_method = status == HTTPStatus.METHOD_NOT_ALLOWED
        refusal = DoorError(
            status,
            "method_not_allowed" if is_method else "not_found",
            "this address has another method" if is_method else "there is no such address",
        )
        return JSONResponse(_spoken(door, request.scope).error(refusal, new_request_id()), status, headers)

    return answer


def _health(door: Door, monitoring: DoorMonitoring) -> list[Route]:
    monitor = monitoring.monitor

    async def livez(_: Request) -> Response:
        stuck = monitor.stuck()
        return PlainTextResponse("\n".join(stuck or ["ok"]) + "\n", 503 if stuck else 200)

    async def readyz(_: Request) -> Response:
        is_ready = monitor.is_ready and not door.is_closing
        return PlainTextResponse("ok\n" if is_ready else "not ready\n", 200 if is_ready else 503)

    async def metrics(request: Request) -> Response:
        try:
            door.keys.identify(request.headers)
        except DoorError as error:
            return PlainTextResponse(f"{error.message}\n", error.status)
        return Response(monitoring.exposition(), media_type=monitoring.CONTENT_TYPE)

    return [Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)]
