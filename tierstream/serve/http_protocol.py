"""HTTP/1.1 against clients that are slow, many or rude: what uvicorn leaves open is bounded here.

uvicorn waits for the head of a first request, for a body, and for a client to take its response for as long as that
takes. Each connection here is allowed so long for each of them, and there are so many connections. What a proxy may
read in another way than h11 is refused: what the one takes for a body, the other could take for a request.
"""

import asyncio
import json
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_VERSIONS: Final = (b"1.0", b"1.1")


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What a connection is allowed; seconds, and bytes of the head of a request."""

    header_max_bytes: int
    header_timeout_s: float
    body_timeout_s: float
    write_timeout_s: float
    max_connections: int


def bounded_protocol(limits: ConnectionLimits) -> type[asyncio.Protocol]:
    """Make the protocol that keeps to these limits, as uvicorn's setting `http` takes it."""

    class Bounded(_BoundedProtocol):
        allowed = limits

    return Bounded


class _StrictConnection(h11.Connection):
    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check(event)
        return event


def _check(head: h11.Request) -> None:
    """Refuse a head by which it is open where the body ends.

    Source: https://www.rfc-editor.org/rfc/rfc9112#section-6.1.

    Raises:
        h11.RemoteProtocolError: It is such a head, or of a version that is not spoken here.
    """
    if head.http_version not in _VERSIONS:
        raise h11.RemoteProtocolError("not HTTP/1.1", error_status_hint=HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    names = {name for name, _ in head.headers}
    if b"transfer-encoding" in names and (b"content-length" in names or head.http_version == b"1.0"):
        raise h11.RemoteProtocolError("two ways to tell the length of the body")


class _BoundedProtocol(H11Protocol):
    allowed: ConnectionLimits

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.conn = _StrictConnection(h11.SERVER, self.allowed.header_max_bytes)
        self._reading: asyncio.TimerHandle | None = None
        self._awaited: object = None
        """Which state of the client's the timer is for."""
        self._writing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.allowed.max_connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "overloaded", "too many connections; come back in a moment")
        else:
            self._await(h11.IDLE, self.allowed.header_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_reading()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # What the client has begun, it has to go on with.
        state = self.conn.their_state
        if self.transport.is_closing() or state not in {h11.IDLE, h11.SEND_BODY}:
            self._cancel_reading()
        else:
            is_head = state is h11.IDLE
            self._await(state, self.allowed.header_timeout_s if is_head else self.allowed.body_timeout_s)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is not h11.SEND_BODY:
            # From here to the next request uvicorn closes what stays idle.
            self._cancel_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing = self.loop.call_later(self.allowed.write_timeout_s, self._give_up_writing)

    def resume_writing(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's
        """Refuse what h11 has raised an error for, with the status that it advises: 431 for too large a head."""
        status = HTTPStatus(getattr(sys.exception(), "error_status_hint", HTTPStatus.BAD_REQUEST))
        self._refuse(status, "invalid_request", f"this is not HTTP as it is served here: {status.phrase}")

    def _await(self, state: object, timeout_s: float) -> None:
        """Begin to count, unless that has begun before: each further byte would buy time otherwise."""
        if self._awaited is not state:
            self._cancel_reading()
            self._awaited = state
            self._reading = self.loop.call_later(timeout_s, self._give_up_reading)

    def _cancel_reading(self) -> None:
        self._awaited = None
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _give_up_reading(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", "the request took too long to arrive")

    def _give_up_writing(self) -> None:
        # To close it would wait until the client has taken what is left.
        self.transport.abort()

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        """Say what is wrong, if nothing has been said yet, and close."""
        if self.transport.is_closing():
            return
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": {"message": message, "type": "invalid_request_error", "code": code}}).encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n"
            )
            retry = "retry-after: 1\r\n" if status is HTTPStatus.SERVICE_UNAVAILABLE else ""
            self.transport.write(f"{head}{retry}\r\n".encode() + body)
        self.transport.close()
