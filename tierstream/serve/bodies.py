"""Bodies and headers of requests, as far as all APIs agree on them: read within bounds, or refused by name."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json
from starlette.types import Receive

from streams.config.settings import Settings
from tierstream.serve.surface import DoorError

_ONCE: Final = frozenset(
    {"authorization", "x-api-key", "idempotency-key", "content-type", "content-encoding", "anthropic-version", "host"}
)
"""Of which two would leave open which one counts."""
_LONGEST_KEY: Final = 200


class ClientGoneError(Exception):
    """Whoever asked has closed the connection: there is nobody to answer."""


def read_headers(raw: list[tuple[bytes, bytes]], max_bytes: int) -> dict[str, str]:
    """Return the headers by their names in lower case; of one that came several times all values, commas between.

    Raises:
        DoorError: 400, one that counts came twice; 431, they are too large.
    """
    # The server bounds what it waits for, not what comes at once.
    if sum(len(name) + len(value) for name, value in raw) > max_bytes:
        raise DoorError(431, "headers_too_large", f"the headers are too large: at most {max_bytes} bytes are accepted")
    headers: dict[str, str] = {}
    for name, value in ((name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in raw):
        if name in headers and name in _ONCE:
            raise DoorError(400, "invalid_request", f"the header {name} came twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the Idempotency-Key; None where there is none.

    Raises:
        DoorError: 400, it is not printable ASCII, or too long.
    """
    key = headers.get("idempotency-key")
    if key is None:
        return None
    if not key or len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
        message = f"the Idempotency-Key must have 1 to {_LONGEST_KEY} printable ASCII characters"
        raise DoorError(400, "invalid_request", message, param="Idempotency-Key")
    return key


async def read_json(receive: Receive, headers: Mapping[str, str], settings: Settings) -> dict[str, Any]:
    """Read a body that is one JSON object.

    Args:
        receive: Gives the body.
        headers: In lower case.
        settings: How large it may be, and how deep it may be nested.

    Raises:
        DoorError: 400, it is not JSON in UTF-8, no object, or nested too deep; 413, too large; 415, not said to be
            plain JSON.
        ClientGoneError: The client went away before it was there.
    """
    _check_type(headers)
    serve = settings.serve
    max_bytes, depth = serve.body_max_bytes or settings.kafka.request_max_bytes, serve.json_depth
    return json_object(await _body(receive, headers, max_bytes), depth)


def json_object(text: bytes, depth: int) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        text: In UTF-8.
        depth: How deep it may be nested.

    Raises:
        DoorError: 400, it is not JSON in UTF-8, no object, or nested too deep.
    """
    data = _parsed(text)
    if not isinstance(data, dict):
        raise DoorError(400, "invalid_json", "the body must be a JSON object")
    if _is_deeper(data, depth):
        raise DoorError(400, "invalid_json", f"the body is nested too deep: at most {depth} levels are accepted")
    return data


def _check_type(headers: Mapping[str, str]) -> None:
    kind, _, parameters = headers.get("content-type", "application/json").lower().partition(";")
    charset = parameters.partition("charset=")[2].strip(' "')
    if kind.strip() != "application/json" or charset not in {"", "utf-8", "utf8"}:
        raise DoorError(415, "unsupported_media_type", "the body must be application/json in UTF-8")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise DoorError(415, "unsupported_media_type", "the body must not be compressed")


async def _body(receive: Receive, headers: Mapping[str, str], max_bytes: int) -> bytes:
    length = headers.get("content-length", "")
    too_large = DoorError(413, "request_too_large", f"the body is too large: at most {max_bytes} bytes are accepted")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise too_large
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise too_large
        if not message.get("more_body"):
            return b"".join(parts)


def _parsed(body: bytes) -> Any:  # noqa: ANN401 - JSON
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # It says where and what, and never repeats the text.
        raise DoorError(400, "invalid_json", f"the body is not JSON in UTF-8: {error}") from None


def _is_deeper(value: dict[str, Any], depth: int) -> bool:
    level: list[Any] = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


async def until_gone(receive: Receive) -> None:
    """Return when the client has closed the connection; its body has been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
