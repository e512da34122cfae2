"""Disks that are full or slow, injected into the embedded ClickHouse for the fault lab and for tests."""

import asyncio
import os
import time
from http import HTTPStatus
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierstream.stack.clickhouse_protocol import ClickHouseError, Query

FAULTS_VARIABLE: Final = "TIERSTREAM_CLICKHOUSE_FAULTS"
"""If it is set, whoever reaches the server, which listens on the loopback only, may break its inserts."""

_NO_SPACE: Final = 243
_NO_SPACE_MESSAGE: Final = "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)"


class InsertFault(BaseModel):
    """What is to be wrong with inserts from now on: `disk_full` refuses them, `slow_disk` holds each up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fault: Literal["disk_full", "slow_disk"]
    for_s: float = Field(ge=0)
    """Seconds until it is over by itself, so that a test which dies leaves no broken server; 0 ends it now."""
    delay_s: float = Field(default=2.0, ge=0)
    """How long a slow disk holds up each insert, in seconds."""


class InjectedFaults:
    """The faults of one server."""

    def __init__(self) -> None:
        self._faults: dict[str, tuple[InsertFault, float]] = {}
        self._met = {"disk_full": 0, "slow_disk": 0}

    @classmethod
    def if_allowed(cls) -> "InjectedFaults | None":
        """Return none unless `FAULTS_VARIABLE` is set."""
        return cls() if os.environ.get(FAULTS_VARIABLE) else None

    def add_to(self, app: web.Application) -> None:
        """Register `/faults`: POST takes an `InsertFault`, both methods tell how many inserts have met each fault."""
        app.router.add_get("/faults", self._tell)
        app.router.add_post("/faults", self._set)

    async def meet(self, query: Query) -> None:
        """Hold up or refuse an insert while a fault lasts.

        Raises:
            ClickHouseError: 243, what a server with a full disk answers.
        """
        if query.text[:64].lstrip()[:6].upper() != b"INSERT":
            return
        if slow := self._current("slow_disk"):
            await asyncio.sleep(slow.delay_s)
        if self._current("disk_full"):
            raise ClickHouseError(_NO_SPACE, _NO_SPACE_MESSAGE)

    def _current(self, name: str) -> InsertFault | None:
        fault, until = self._faults.get(name, (None, 0.0))
        if fault is None or time.monotonic() >= until:
            return None
        self._met[name] += 1
        return fault

    async def _set(self, request: web.Request) -> web.Response:
        # A page in a browser can't send this type to us unasked.
        if request.content_type != "application/json":
            return web.Response(status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE, text="send application/json\n")
        try:
            fault = InsertFault.model_validate_json(await request.read())
        except ValidationError as error:
            return web.Response(status=HTTPStatus.BAD_REQUEST, text=f"{error}\n")
        self._faults[fault.fault] = fault, time.monotonic() + fault.for_s
        return await self._tell(request)

    async def _tell(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._met)
