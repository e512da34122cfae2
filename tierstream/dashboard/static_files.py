"""Style sheet and scripts: compressed once, and kept by browsers as long as they stay what they are."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
FILES: Final = ("style.css", "dashboard.js", "echarts.common.min.js")
"""All that is served; names come from outside, so nothing else is looked for."""
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Asset:
    content: bytes
    compressed: bytes
    digest: str


def address(name: str) -> str:
    """Return where a file is served; another content has another address."""
    return f"/static/{name}?v={_asset(name).digest}"


def warm() -> None:
    """Compress the files before somebody waits for them."""
    for name in FILES:
        _asset(name)


async def static_file(request: Request) -> Response:
    """Serve one of `FILES`."""
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404)
    asset = _asset(name)
    headers = {"cache-control": _FOR_EVER, "etag": f'"{asset.digest}"', "vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(None, 304, headers)
    media_type = _TYPES[name.rpartition(".")[2]]
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(asset.compressed, 200, {**headers, "content-encoding": "gzip"}, media_type)
    return Response(asset.content, 200, headers, media_type)


@cache
def _asset(name: str) -> _Asset:
    content = (files("tierstream.dashboard") / "static" / name).read_bytes()
    return _Asset(content, gzip.compress(content, 9, mtime=0), hashlib.sha256(content).hexdigest()[:16])
