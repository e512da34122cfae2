"""What batches of all vendors share: whether one is taken, and how its calls are answered."""

from collections.abc import Callable, Sequence
from typing import Final

from aiohttp import web

from tierstream.simulator.batch import Batch, BatchCall, CallResult
from tierstream.simulator.behaviour import Fault
from tierstream.simulator.chat import ApiError, Reply, dumps
from tierstream.simulator.served_model import BatchPlan, ServedModel
from tierstream.simulator.simulated_provider import SimulatedProvider, admit, break_off, new_request_id
from tierstream.simulator.usage_log import ServedCall

_OF_NO_MODEL: Final = BatchPlan(is_full=False, is_cut=False, is_refused=False, never_reached=frozenset(), seconds=0)


def draw(provider: SimulatedProvider, request: web.Request, calls: Sequence[BatchCall]) -> BatchPlan:
    """What chance has in store for a batch; that follows from the model of its first call that has a known one.

    Raises:
        ApiError: There is no room for it.
        Dropped: Its model is down.
    """
    model = next(filter(None, (_model_of(provider, call) for call in calls)), None)
    if model is None:
        return _OF_NO_MODEL
    if model.behaviour.down:
        break_off(request)
    plan = model.next_batch(len(calls))
    if plan.is_full:
        message = "Too many batches are being processed. Try again once some of them have ended."
        raise ApiError(429, message, code="rate_limit_exceeded", retry_after_s=model.behaviour.retry_after_s)
    return plan


def _model_of(provider: SimulatedProvider, call: BatchCall) -> ServedModel | None:
    try:
        return provider.models.serving(provider.name, str(call.body.get("model")))
    except ApiError:
        return None


def answer(provider: SimulatedProvider, batch_id: str, call: BatchCall) -> CallResult:
    """Make a call as if it came alone and were not streamed, and record it. It waits for nothing."""
    served = provider.log.start(provider.name, call.custom_id, batch_id)
    try:
        reply = _reply(provider, served, call)
    except ApiError as error:
        provider.log.end(served, error.status)
        return CallResult(call.custom_id, error.status, provider.protocol.error_body(error, new_request_id()))
    is_halved = served.fault == Fault.MALFORMED
    provider.log.end(served, 200, None if is_halved else reply.usage)
    return CallResult(call.custom_id, 200, provider.protocol.completion(reply), is_halved)


def _reply(provider: SimulatedProvider, served: ServedCall, call: BatchCall) -> Reply:
    chat = provider.protocol.parse(call.body)
    served.identify(model=chat.model, prompt=chat.conversation.prompt, stream=chat.stream)
    model = provider.models.serving(provider.name, chat.model)
    if chat.stream:
        raise ApiError(400, "Streaming is not supported in a batch.", param="stream")
    plan = model.next_call()
    served.fault = plan.fault
    # Batches have limits of their own.
    admit(model, chat, plan, limited=False)
    return provider.reply(model, chat, plan)


def jsonl(results: Sequence[CallResult], line: Callable[[CallResult], object]) -> bytes:
    """What came of calls, a line each; not in the order in which they were asked, for no vendor promises that."""
    lines = [(dumps(line(result)).encode(), result.is_halved) for result in reversed(results)]
    return b"".join((text[: len(text) // 2] if is_halved else text) + b"\n" for text, is_halved in lines)


def found(provider: SimulatedProvider, batch_id: str, missing: str) -> Batch:
    """A batch of a provider, or ApiError with the vendor's message."""
    batch = provider.batches.find(provider.name, batch_id)
    if batch is None:
        raise ApiError(404, missing)
    return batch


def read_limit(request: web.Request, *, default: int, most: int) -> int:
    """How many objects a page may have, or ApiError."""
    limit = request.query.get("limit", str(default))
    if not limit.isdecimal() or not 1 <= int(limit) <= most:
        raise ApiError(400, f"limit: expected a whole number from 1 to {most}", param="limit")
    return int(limit)


def place_of(ids: Sequence[str], cursor: str, where: str) -> int:
    """Where in a list the object is that a page begins or ends with, or ApiError."""
    try:
        return ids.index(cursor)
    except ValueError:
        raise ApiError(400, f"{where}: no such object", param=where) from None
