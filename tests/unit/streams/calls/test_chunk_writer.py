"""Streamed text becomes chunks: in order, whole, and with an end that says whether it is one."""

import asyncio
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.in_memory import Clock, Log

from streams.calls.chunk_writer import ChunkWriter
from streams.kafka.publisher import DeliveryError

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


async def test_half_a_character_is_replaced():
    log = Log(Clock())
    writer = new_writer(log)
    await writer.add("\ud83d")
    await writer.end(complete=True)
    assert [chunk.text for chunk in log.published] == ["?", ""]


async def test_an_error_of_the_broker_is_raised_to_the_stream():
    class Broken(Log):
        async def publish(self, outputs, *, trace=None):
            raise DeliveryError("no broker")

    writer = new_writer(Broken(Clock()))
    await writer.add("one")
    await asyncio.sleep(0)
    with pytest.raises(DeliveryError):
        await writer.add("two")
