"""Streamed text becomes chunks: in order, whole, and with an end that says whether it is one."""

import asyncio
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import Clock, Log
from support.tool_loop import PIECES

from streams.calls.chunk_writer import ChunkWriter
from streams.kafka.publisher import DeliveryError
from topics.answer_assembly import AnswerAssembly, pieces_of
from topics.events import Delta

IDS = {"request_id": "r1", "revision": 0, "attempt_id": uuid4(), "call_id": uuid4()}


def new_writer(log):
    return ChunkWriter(log, **IDS, clock=Clock())


@given(st.lists(st.text(max_size=5), max_size=20), st.booleans())
def test_chunks_add_up_to_the_text_in_order(pieces, complete):
    log = Log(Clock())

    async def stream():
        writer = new_writer(log)
        for piece in pieces:
            await writer.add(piece)
            await asyncio.sleep(0)
        await writer.end(complete=complete)

    asyncio.run(stream())
    chunks = log.published
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert "".join(chunk.text for chunk in chunks) == "".join(pieces)
    assert all(chunk.kind == "text" for chunk in chunks[:-1])
    if chunks:
        assert chunks[-1].kind == ("done" if complete else "broken")
    assert chunks or not complete


async def test_the_first_piece_does_not_wait_and_later_ones_travel_together():
    log = Log(Clock())
    writer = new_writer(log)
    await writer.add("one ")
    await asyncio.sleep(0)
    assert [chunk.text for chunk in log.published] == ["one "]
    for piece in ("two ", "three ", "four"):
        await writer.add(piece)
        await asyncio.sleep(0)
    await writer.end(complete=True)
    assert "".join(chunk.text for chunk in log.published) == "one two three four"
    assert len(log.published) <= 3


async def written_at_once(*pieces):
    """The records of pieces of which all but the first come together."""
    log = Log(Clock())
    writer = new_writer(log)
    for piece in pieces:
        await writer.add(piece)
    await writer.end(complete=True)
    return log.published


async def test_a_record_of_text_alone_has_no_deltas():
    chunks = await written_at_once("one ", "two")
    assert "".join(chunk.text for chunk in chunks) == "one two"
    assert all("deltas" not in chunk.model_dump() for chunk in chunks)


async def test_a_record_with_something_else_has_all_of_it_in_order_and_alike_ones_as_one():
    chunk, end = await written_at_once(*PIECES)
    assert (chunk.text, end.text, end.deltas) == ("I look.", "", ())
    assert [(delta.kind, delta.index, delta.id, delta.name, delta.text) for delta in chunk.deltas] == [
        ("reasoning", None, None, None, "Look first."),
        ("signature", None, None, None, "sig=="),
        ("redacted", None, None, None, "xyz"),
        ("text", None, None, None, "I look."),
        ("tool_call", 0, "c1", "look", '{"at":"door"}'),
        ("tool_call", 1, "c2", "listen", "{}"),
    ]


async def test_what_is_complete_in_itself_is_never_joined():
    twice = [Delta(kind="redacted", text="x"), Delta(kind="redacted", text="y"), Delta(kind="signature", text="s")]
    chunk, _ = await written_at_once(*twice, twice[-1])
    assert [delta.text for delta in chunk.deltas] == ["x", "y", "s", "s"]


kinds = st.sampled_from(("text", "reasoning", "signature", "redacted"))
deltas = st.builds(Delta, kind=kinds, text=st.text(max_size=3)) | st.builds(
    Delta,
    kind=st.just("tool_call"),
    text=st.text(max_size=3),
    index=st.integers(0, 2),
    id=st.none() | st.sampled_from(("a", "b")),
    name=st.none() | st.just("look"),
)


@given(st.lists(st.text(min_size=1, max_size=3) | deltas, max_size=12), st.lists(st.booleans(), min_size=12))
def test_chunks_add_up_to_the_answer_however_they_are_cut(pieces, pauses):
    log = Log(Clock())
    given, read = AnswerAssembly(), AnswerAssembly()

    async def stream():
        writer = new_writer(log)
        for piece, pauses_behind in zip(pieces, pauses, strict=False):
            await writer.add(piece)
            given.add(piece)
            if pauses_behind:
                await asyncio.sleep(0)
        await writer.end(complete=True)

    asyncio.run(stream())
    for chunk in log.published:
        for piece in pieces_of(chunk):
            read.add(piece)
    assert (read.text, read.tool_calls, read.parts) == (given.text, given.tool_calls, given.parts)


async def test_an_error_of_the_broker_is_raised_to_the_stream():
    class Broken(Log):
        async def publish(self, outputs, *, trace=None):
            raise DeliveryError("no broker")

    writer = new_writer(Broken(Clock()))
    await writer.add("one")
    await asyncio.sleep(0)
    with pytest.raises(DeliveryError):
        await writer.add("two")
