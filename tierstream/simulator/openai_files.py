"""The files of OpenAI's and Groq's APIs, as far as batches need them.

Sources: https://platform.openai.com/docs/api-reference/files and https://console.groq.com/docs/api-reference#files.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web
from aiohttp.web_request import FileField

from tierstream.simulator.batch_calls import place_of, read_limit
from tierstream.simulator.chat import ApiError, dumps
from tierstream.simulator.file_store import LIFETIMES_S, FileStore, StoredFile
from tierstream.simulator.simulated_provider import SimulatedProvider, json_response

PREFIXES: Final = ("/v1", "/openai/v1")

_MOST_LISTED: Final = 10_000


class FileEndpoint:
    """The routes of one provider for files."""

    def __init__(self, provider: SimulatedProvider, files: FileStore, *, max_bytes: int) -> None:
        self._provider = provider
        self._files = files
        self._max_bytes = max_bytes

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        route = self._provider.route
        for prefix in PREFIXES:
            path = f"/{self._provider.name}{prefix}/files"
            app.router.add_post(path, route(self._upload))
            app.router.add_get(path, route(self._list))
            app.router.add_get(f"{path}/{{file_id}}", route(self._retrieve))
            app.router.add_get(f"{path}/{{file_id}}/content", route(self._content))
            app.router.add_delete(f"{path}/{{file_id}}", route(self._delete))

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, FileField):
            raise ApiError(400, "'file' is a required property", param="file")
        if purpose != "batch":
            raise ApiError(400, "'purpose' has to be 'batch'", param="purpose")
        content = file.file.read()
        if len(content) > self._max_bytes:
            raise ApiError(413, f"The file is larger than {self._max_bytes} bytes.", param="file")
        expiry = {key: form.get(f"expires_after[{key}]") for key in ("anchor", "seconds")}
        lifetime_s = read_lifetime(expiry if any(expiry.values()) else None, "expires_after")
        return _json(_file_object(self._files.add(file.filename, purpose, content, lifetime_s)))

    async def _list(self, request: web.Request) -> web.Response:
        purpose, after = request.query.get("purpose"), request.query.get("after")
        limit = read_limit(request, default=_MOST_LISTED, most=_MOST_LISTED)
        files = [file for file in self._files.newest_first() if purpose in {None, file.purpose}]
        if request.query.get("order") == "asc":
            files.reverse()
        if after is not None:
            files = files[place_of([file.file_id for file in files], after, "after") + 1 :]
        return _json(list_object([_file_object(file) for file in files[:limit]], has_more=len(files) > limit))

    async def _retrieve(self, request: web.Request) -> web.Response:
        return _json(_file_object(self._files.get(request.match_info["file_id"])))

    async def _content(self, request: web.Request) -> web.Response:
        file = self._files.get(request.match_info["file_id"])
        return web.Response(body=file.content, content_type="application/octet-stream")

    async def _delete(self, request: web.Request) -> web.Response:
        file_id = request.match_info["file_id"]
        self._files.delete(file_id)
        return _json({"id": file_id, "object": "file", "deleted": True})


def read_lifetime(value: object, where: str) -> int | None:
    """Seconds from the making of a file to its end, of `expires_after` and its like; ApiError where it is wrong."""
    if value is None:
        return None
    seconds = str(value.get("seconds")) if isinstance(value, Mapping) and value.get("anchor") == "created_at" else ""
    if not seconds.isdecimal() or int(seconds) not in LIFETIMES_S:
        raise ApiError(400, f"{where}: expected the anchor 'created_at' and 3600 to 2592000 seconds", param=where)
    return int(seconds)


def list_object(data: list[dict[str, Any]], *, has_more: bool) -> dict[str, object]:
    """A `list` object, one page of more."""
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": has_more}


def _file_object(file: StoredFile) -> dict[str, object]:
    return {
        "object": "file",
        "id": file.file_id,
        "purpose": file.purpose,
        "filename": file.filename,
        "bytes": len(file.content),
        "created_at": file.created_at,
        "expires_at": file.expires_at,
        "status": "processed",
        "status_details": None,
    }


def _json(value: object) -> web.Response:
    return json_response(dumps(value).encode())
