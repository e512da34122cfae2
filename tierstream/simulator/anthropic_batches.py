"""The message batches of Anthropic's API.

Sources: https://platform.claude.com/docs/en/build-with-claude/batch-processing and
https://platform.claude.com/docs/en/api/creating-message-batches.
"""

import json
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from tierstream.simulator.batch import Batch, BatchCall, CallResult
from tierstream.simulator.batch_calls import answer, draw, found, jsonl, place_of, read_limit
from tierstream.simulator.chat import ApiError, dumps
from tierstream.simulator.file_store import FileStore
from tierstream.simulator.simulated_provider import SimulatedProvider, break_off, json_response, read_body

_PATH: Final = "/v1/messages/batches"
_DEFAULT_PAGE: Final = 20
_MOST_LISTED: Final = 1000
_MOST_REQUESTS: Final = 100_000
_WINDOW_S: Final = 24 * 3600
_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NEVER_MADE: Final = {"expired": "expired", "cancelled": "canceled"}


class AnthropicBatches:
    """The routes of one provider for message batches."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self._provider = provider
        self._files = FileStore()

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        path, route = f"/{self._provider.name}{_PATH}", self._provider.route
        app.router.add_post(path, route(self._create))
        app.router.add_get(path, route(self._list))
        app.router.add_get(f"{path}/{{batch_id}}", route(self._retrieve))
        app.router.add_delete(f"{path}/{{batch_id}}", route(self._delete))
        app.router.add_post(f"{path}/{{batch_id}}/cancel", route(self._cancel))
        app.router.add_get(f"{path}/{{batch_id}}/results", route(self._serve_results))

    async def _create(self, request: web.Request) -> web.Response:
        calls = _read_calls(await read_body(request))
        plan = draw(self._provider, request, calls)
        if plan.is_refused:
            raise ApiError(400, "requests: The batch was refused")
        batch = Batch(
            batch_id=f"msgbatch_{uuid.uuid4().hex}",
            provider=self._provider.name,
            custom_ids=tuple(call.custom_id for call in calls),
            calls=calls,
            seconds=plan.seconds * self._provider.time_scale,
            never_reached=plan.never_reached,
        )
        self._provider.batches.start(
            batch, lambda call: answer(self._provider, batch.batch_id, call), self._write_results
        )
        if plan.is_cut:
            break_off(request)
        return self._batch_response(batch, request)

    async def _list(self, request: web.Request) -> web.Response:
        limit = read_limit(request, default=_DEFAULT_PAGE, most=_MOST_LISTED)
        batches = self._provider.batches.newest_first(self._provider.name)
        ids = [batch.batch_id for batch in batches]
        before, after = request.query.get("before_id"), request.query.get("after_id")
        if before is not None:
            end = place_of(ids, before, "before_id")
            start = max(0, end - limit)
            has_more = start > 0
        else:
            start = 0 if after is None else place_of(ids, after, "after_id") + 1
            end = start + limit
            has_more = end < len(ids)
        page = {
            "data": [self._batch_object(batch, request) for batch in batches[start:end]],
            "has_more": has_more,
            "first_id": next(iter(ids[start:end]), None),
            "last_id": next(reversed(ids[start:end]), None),
        }
        return json_response(dumps(page).encode())

    async def _retrieve(self, request: web.Request) -> web.Response:
        return self._batch_response(self._found(request), request)

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._found(request)
        if batch.has_ended:
            raise ApiError(400, "The batch has ended and can't be canceled.")
        batch.call_off()
        return self._batch_response(batch, request)

    async def _delete(self, request: web.Request) -> web.Response:
        batch = self._found(request)
        if not batch.has_ended:
            raise ApiError(400, "The batch is being processed; cancel it before it is deleted.")
        self._provider.batches.forget(batch.batch_id)
        return json_response(dumps({"id": batch.batch_id, "type": "message_batch_deleted"}).encode())

    async def _serve_results(self, request: web.Request) -> web.Response:
        batch = self._found(request)
        if not batch.has_ended:
            raise ApiError(404, "The batch has no results yet.")
        content = self._files.get(batch.vendor["results_file_id"]).content
        return web.Response(body=content, content_type="application/x-jsonl")

    def _found(self, request: web.Request) -> Batch:
        return found(self._provider, request.match_info["batch_id"], "Batch not found")

    def _write_results(self, batch: Batch) -> None:
        content = jsonl(batch.results, _result_line)
        batch.vendor["results_file_id"] = self._files.add("results.jsonl", "results", content).file_id

    def _batch_response(self, batch: Batch, request: web.Request) -> web.Response:
        return json_response(dumps(self._batch_object(batch, request)).encode())

    def _batch_object(self, batch: Batch, request: web.Request) -> dict[str, object]:
        """The `message_batch` object; how its requests came out is told once all have ended."""
        created_at = batch.reached["validating"]
        results_url = f"{request.url.origin()}/{self._provider.name}{_PATH}/{batch.batch_id}/results"
        return {
            "id": batch.batch_id,
            "type": "message_batch",
            "processing_status": _processing_status(batch),
            "request_counts": {
                "processing": 0 if batch.has_ended else len(batch.custom_ids),
                "succeeded": batch.answered if batch.has_ended else 0,
                "errored": batch.erred if batch.has_ended else 0,
                "canceled": batch.cancelled if batch.has_ended else 0,
                "expired": batch.expired if batch.has_ended else 0,
            },
            "created_at": _time(created_at),
            "expires_at": _time(created_at + _WINDOW_S),
            "ended_at": _time(batch.reached[batch.status]) if batch.has_ended else None,
            "cancel_initiated_at": _time(batch.reached.get("cancelling")),
            "archived_at": None,
            "results_url": results_url if batch.has_ended else None,
        }


def _read_calls(body: Mapping[str, Any]) -> list[BatchCall]:
    """The requests of a batch. What is wrong with their `params` is told in the results of those alone."""
    requests = body.get("requests")
    if not isinstance(requests, list) or not 1 <= len(requests) <= _MOST_REQUESTS:
        raise ApiError(400, f"requests: List should have 1 to {_MOST_REQUESTS} items")
    calls: dict[str, BatchCall] = {}
    for place, request in enumerate(requests):
        custom_id = request.get("custom_id") if isinstance(request, dict) else None
        if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
            raise ApiError(400, f"requests.{place}.custom_id: String should match {_CUSTOM_ID.pattern}")
        if custom_id in calls:
            raise ApiError(400, f"requests.{place}.custom_id: Must be unique in the batch")
        if not isinstance(request.get("params"), dict):
            raise ApiError(400, f"requests.{place}.params: Input should be an object")
        calls[custom_id] = BatchCall(custom_id, request["params"])
    return list(calls.values())


def _result_line(result: CallResult) -> dict[str, object]:
    if isinstance(result.status, str):
        outcome: dict[str, object] = {"type": _NEVER_MADE[result.status]}
    elif result.is_answer:
        outcome = {"type": "succeeded", "message": json.loads(result.body)}
    else:
        outcome = {"type": "errored", "error": json.loads(result.body)}
    return {"custom_id": result.custom_id, "result": outcome}


def _processing_status(batch: Batch) -> str:
    if batch.has_ended:
        return "ended"
    return "canceling" if batch.status == "cancelling" else "in_progress"


def _time(at: float | None) -> str | None:
    """Seconds since the epoch as the vendor writes a time."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
