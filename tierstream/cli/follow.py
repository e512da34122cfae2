"""Following streamed answers from a command: of all requests, or of one until its result is there."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

import typer

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from tierstream.cli.render.stream import JsonView, NamedPage, Page, RawPage, StreamView, TextView
from tierstream.client.answer_stream import AnswerStream
from tierstream.client.record_reader import Start
from tierstream.client.request_producer import RequestProducer
from tierstream.interrupts import INTERRUPTED
from topics.partitioning import partition_for
from topics.registry import CALLS, CHUNKS
from topics.requests import Request
from topics.results import Result

T = TypeVar("T")


def run_until_interrupted(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; Ctrl-C ends it quietly."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


async def follow_all(settings: Settings, start: Start, *, limit: int | None, as_json: bool) -> None:
    """Show streamed text and results of all requests, until so many results were shown."""
    await require_topics(settings.kafka, CALLS, CHUNKS)
    view = _view(NamedPage(), as_json=as_json)
    shown = 0
    try:
        async with AnswerStream(settings.kafka, start=start) as stream:
            async for records in stream:
                for record in records:
                    view.take(record)
                    shown += isinstance(record, Result)
                    if shown == limit:
                        return
    finally:
        view.close()


async def follow_one(settings: Settings, request_id: str, *, timeout_s: float, as_json: bool) -> Result | None:
    """Show the streamed text and the result of a request; None after so many seconds of silence."""
    await require_topics(settings.kafka, CALLS, CHUNKS)
    async with _stream_of(settings, request_id, _within_window(settings)) as stream:
        return await _show_one(stream, timeout_s, as_json=as_json)


async def send_and_follow(
    settings: Settings, request: Request, *, is_new: bool, timeout_s: float, as_json: bool
) -> Result | None:
    """Send a request and show its answer as it arrives; None after so many seconds of silence.

    Args:
        settings: With an address of Kafka.
        request: What is asked.
        is_new: Whether nobody can have used the id before; otherwise its answer may be on the topics already.
        timeout_s: How long to wait for the next sign.
        as_json: Whether to print the records.
    """
    await require_topics(settings.kafka, CALLS, CHUNKS)
    start: Start = "end" if is_new else _within_window(settings)
    async with _stream_of(settings, request.request_id, start) as stream:
        async with RequestProducer(settings.kafka) as producer:
            await producer.send(request)
        return await _show_one(stream, timeout_s, as_json=as_json)


def _within_window(settings: Settings) -> Start:
    return utc_now() - timedelta(seconds=settings.delivery.dedup_window_s)


def _stream_of(settings: Settings, request_id: str, start: Start) -> AnswerStream:
    partition = partition_for(request_id, settings.kafka.partitions)
    return AnswerStream(settings.kafka, start=start, partitions=[partition], keep=lambda key: key == request_id)


async def _show_one(stream: AnswerStream, timeout_s: float, *, as_json: bool) -> Result | None:
    view = _view(RawPage(), as_json=as_json)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    found: Result | None = None
    try:
        async for records in stream:
            for record in records:
                view.take(record)
                found = record if isinstance(record, Result) else found
            if records:
                deadline = loop.time() + timeout_s
            if (found is not None or loop.time() >= deadline) and await stream.caught_up():
                break
    finally:
        view.close()
    return found


def _view(page: Page, *, as_json: bool) -> StreamView:
    return JsonView() if as_json else TextView(page)
