"""The routes that no provider has: health, behaviour at run time, script entries and served calls."""

import json
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierstream.simulator.answers import Script, ScriptError
from tierstream.simulator.batch_store import BatchStore
from tierstream.simulator.behaviour import ModelBehaviour, describe_errors
from tierstream.simulator.served_model import ModelRegistry, ServedModel
from tierstream.simulator.usage_log import UsageLog


class BehaviourChange(BaseModel):
    """Behaviour fields to set on a provider's model; `*` stands for all."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str = "*"
    model: str = "*"
    fields: dict[str, Any] = Field(alias="set")


def change_behaviour(models: ModelRegistry, change: BehaviourChange) -> None:
    """Apply a change to all matching models or, if a field is wrong, to none.

    Raises:
        LookupError: No model matches.
        pydantic.ValidationError: A field is unknown or out of range.
    """
    changes: list[tuple[ServedModel, ModelBehaviour]] = [
        (served, served.changed(change.fields)) for served in models.matching(change.provider, change.model)
    ]
    if not changes:
        raise LookupError(f"no model matches provider {change.provider!r} and model {change.model!r}")
    for served, behaviour in changes:
        served.configure(behaviour)


class ControlRoutes:
    """Handlers for `/health`, `/control`, `/script`, `/calls` and `/batches`."""

    def __init__(self, models: ModelRegistry, script: Script, log: UsageLog, batches: BatchStore) -> None:
        self._models = models
        self._script = script
        self._log = log
        self._batches = batches

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/health", self._health)
        app.router.add_get("/control", self._behaviours)
        app.router.add_post("/control", self._change)
        app.router.add_post("/control/reset", self._reset)
        app.router.add_post("/script", self._extend_script)
        app.router.add_get("/calls", self._calls)
        app.router.add_get("/batches", self._made_batches)
        app.router.add_post("/batches/finish", self._finish_batches)

    async def _health(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"status": "ok", "calls": self._log.total, "script_entries": len(self._script)})

    async def _behaviours(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._models.behaviours())

    async def _change(self, request: web.Request) -> web.Response:
        try:
            change_behaviour(self._models, BehaviourChange.model_validate_json(await request.read()))
        except ValidationError as error:
            return _problem(400, describe_errors(error))
        except LookupError as error:
            return _problem(404, str(error.args[0]))
        return await self._behaviours(request)

    async def _reset(self, request: web.Request) -> web.Response:
        for served in self._models.matching("*", "*"):
            served.reset()
        return await self._behaviours(request)

    async def _extend_script(self, request: web.Request) -> web.Response:
        try:
            added = self._script.add_lines(await request.text(), "body")
        except (ScriptError, UnicodeDecodeError) as error:
            return _problem(400, str(error))
        return web.json_response({"added": added, "script_entries": len(self._script)})

    async def _calls(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not since.isdecimal():
            return _problem(400, "since: expected the whole number that the last answer gave as next")
        calls = [{"index": index, **call.to_dict()} for index, call in self._log.since(int(since))]
        return web.Response(text=json.dumps({"calls": calls, "next": self._log.total}), content_type="application/json")

    async def _made_batches(self, request: web.Request) -> web.Response:
        del request
        return web.json_response({"batches": [batch.to_dict() for batch in self._batches.made]})

    async def _finish_batches(self, request: web.Request) -> web.Response:
        self._batches.hurry()
        return await self._made_batches(request)


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
