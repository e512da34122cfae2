"""The batches of OpenAI's and Groq's APIs.

Sources: https://platform.openai.com/docs/guides/batch, https://platform.openai.com/docs/api-reference/batch and
https://console.groq.com/docs/batch.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from tierstream.simulator.batch import Batch, CallResult, Status
from tierstream.simulator.batch_calls import answer, draw, found, jsonl, place_of, read_limit
from tierstream.simulator.chat import ApiError, dumps
from tierstream.simulator.file_store import FileStore
from tierstream.simulator.openai_batch_lines import ENDPOINT, problem, read_calls, result_line
from tierstream.simulator.openai_files import PREFIXES, FileEndpoint, list_object, read_lifetime
from tierstream.simulator.simulated_provider import SimulatedProvider, break_off, json_response, read_body

_DEFAULT_PAGE: Final = 20
_MOST_LISTED: Final = 100
_HOUR_S: Final = 3600
_HOURS: Final = {"h": 1, "d": 24}
_WINDOW: Final = re.compile(r"(\d{1,3})([hd])")
_MOST_PAIRS: Final = 16
_LONGEST_KEY: Final = 64
_LONGEST_VALUE: Final = 512
_TOLD_TIMES: Final[tuple[Status, ...]] = (
    "in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BatchRules:
    """Where the vendors of this wire format differ: hours are those that the completion window may have."""

    max_file_bytes: int
    one_model: bool
    hours: range


OPENAI_RULES: Final = BatchRules(200 * 1024 * 1024, one_model=True, hours=range(24, 25))
GROQ_RULES: Final = BatchRules(100 * 1024 * 1024, one_model=False, hours=range(24, 7 * 24 + 1))


class OpenAIBatches:
    """The routes of one provider for batches, and for the files that they need."""

    def __init__(self, provider: SimulatedProvider, *, rules: BatchRules) -> None:
        self._provider = provider
        self._rules = rules
        self._files = FileStore()

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        FileEndpoint(self._provider, self._files, max_bytes=self._rules.max_file_bytes).add_to(app)
        route = self._provider.route
        for prefix in PREFIXES:
            path = f"/{self._provider.name}{prefix}/batches"
            app.router.add_post(path, route(self._create))
            app.router.add_get(path, route(self._list))
            app.router.add_get(f"{path}/{{batch_id}}", route(self._retrieve))
            app.router.add_post(f"{path}/{{batch_id}}/cancel", route(self._cancel))

    async def _create(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        if body.get("endpoint") != ENDPOINT:
            raise ApiError(400, f"Invalid value for 'endpoint': expected '{ENDPOINT}'", param="endpoint")
        hours = self._read_hours(body.get("completion_window"))
        metadata = _read_metadata(body.get("metadata"))
        lifetime_s = read_lifetime(body.get("output_expires_after"), "output_expires_after")
        file = self._files.get(str(body.get("input_file_id")), param="input_file_id")
        models = self._provider.models.ids(self._provider.name)
        calls, problems = read_calls(file.content, models, one_model=self._rules.one_model)
        plan = draw(self._provider, request, calls)
        if plan.is_refused:
            message = f"Enqueued token limit reached for {calls[0].body['model']}. Try again once batches have ended."
            problems = [problem("token_limit_exceeded", message)]
        batch = Batch(
            batch_id=f"batch_{uuid.uuid4().hex}",
            provider=self._provider.name,
            custom_ids=tuple(call.custom_id for call in calls),
            calls=calls,
            seconds=plan.seconds * self._provider.time_scale,
            never_reached=plan.never_reached,
            problems=problems,
            metadata=metadata,
            filename=file.filename,
        )
        batch.vendor = {
            "endpoint": ENDPOINT,
            "input_file_id": file.file_id,
            "completion_window": body["completion_window"],
            "expires_at": int(batch.reached["validating"]) + hours * _HOUR_S,
            "output_file_id": None,
            "error_file_id": None,
        }
        self._provider.batches.start(
            batch,
            lambda call: answer(self._provider, batch.batch_id, call),
            lambda batch: self._write_files(batch, lifetime_s),
        )
        if plan.is_cut:
            break_off(request)
        return _batch_response(batch)

    async def _list(self, request: web.Request) -> web.Response:
        limit = read_limit(request, default=_DEFAULT_PAGE, most=_MOST_LISTED)
        batches = self._provider.batches.newest_first(self._provider.name)
        after = request.query.get("after")
        if after is not None:
            batches = batches[place_of([batch.batch_id for batch in batches], after, "after") + 1 :]
        page = list_object([_batch_object(batch) for batch in batches[:limit]], has_more=len(batches) > limit)
        return json_response(dumps(page).encode())

    async def _retrieve(self, request: web.Request) -> web.Response:
        return _batch_response(self._found(request))

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._found(request)
        if batch.has_ended:
            raise ApiError(409, f"Cannot cancel a batch with status '{batch.status}'.")
        batch.call_off()
        return _batch_response(batch)

    def _found(self, request: web.Request) -> Batch:
        batch_id = request.match_info["batch_id"]
        return found(self._provider, batch_id, f"No batch found with id '{batch_id}'.")

    def _read_hours(self, window: object) -> int:
        match = _WINDOW.fullmatch(window) if isinstance(window, str) else None
        hours = int(match[1]) * _HOURS[match[2]] if match else 0
        if hours not in self._rules.hours:
            expected = " to ".join(f"{hours}h" for hours in sorted({self._rules.hours[0], self._rules.hours[-1]}))
            raise ApiError(400, f"Invalid completion_window: expected {expected}", param="completion_window")
        return hours

    def _write_files(self, batch: Batch, lifetime_s: int | None) -> None:
        """The answers go into one file, errors and what was never made into another; one without lines is not there."""

        def write(kind: str, belongs: Callable[[CallResult], bool]) -> None:
            results = [result for result in batch.results if belongs(result)]
            if results:
                name, content = f"{batch.batch_id}_{kind}.jsonl", jsonl(results, result_line)
                batch.vendor[f"{kind}_file_id"] = self._files.add(name, "batch_output", content, lifetime_s).file_id

        write("output", lambda result: result.is_answer)
        write("error", lambda result: not result.is_answer)


def _read_metadata(metadata: object) -> dict[str, str] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, dict) or len(metadata) > _MOST_PAIRS:
        raise ApiError(400, f"Invalid 'metadata': expected at most {_MOST_PAIRS} strings", param="metadata")
    for key, value in metadata.items():
        if len(key) > _LONGEST_KEY or not isinstance(value, str) or len(value) > _LONGEST_VALUE:
            message = f"expected strings: keys of at most {_LONGEST_KEY} characters, values of {_LONGEST_VALUE}"
            raise ApiError(400, f"Invalid 'metadata': {message}", param="metadata")
    return metadata


def _batch_response(batch: Batch) -> web.Response:
    return json_response(dumps(_batch_object(batch)).encode())


def _batch_object(batch: Batch) -> dict[str, object]:
    """The `batch` object; how many calls there are is not known before they are validated."""
    total = len(batch.custom_ids) if "in_progress" in batch.reached else 0
    times = {f"{status}_at": batch.reached.get(status) for status in _TOLD_TIMES}
    return {
        "id": batch.batch_id,
        "object": "batch",
        **batch.vendor,
        "status": batch.status,
        "errors": {"object": "list", "data": batch.problems} if batch.status == "failed" else None,
        "created_at": int(batch.reached["validating"]),
        **{name: None if time is None else int(time) for name, time in times.items()},
        "request_counts": {"total": total, "completed": batch.answered, "failed": batch.erred},
        "metadata": batch.metadata,
    }
