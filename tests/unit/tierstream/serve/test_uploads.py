"""Forms with files, however they arrive."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.batch_world import BatchWorld
from support.examples import examples

from tierstream.serve.batches.uploads import receive_file
from tierstream.serve.bodies import ClientGoneError
from tierstream.serve.surface import DoorError

HEADERS = {"content-type": "multipart/form-data; boundary=limit"}


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    of_file = "" if filename is None else f'; filename="{filename}"'
    return f'--limit\r\nContent-Disposition: form-data; name="{name}"{of_file}\r\n\r\n'.encode() + value + b"\r\n"


def form(data: bytes = b"data", *, purpose: str = "batch", file_first: bool = False) -> bytes:
    parts = [part("purpose", purpose.encode()), part("file", data, "in.jsonl")]
    return b"".join(parts[::-1] if file_first else parts) + b"--limit--\r\n"


def receiving(body: bytes, cuts=(), *, breaks_off: bool = False):
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    messages = [
        {"type": "http.request", "body": body[start:end], "more_body": end < len(body) or breaks_off}
        for start, end in pairwise(places)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive():
        return messages.pop(0)

    return receive


async def received(world: BatchWorld, body: bytes, cuts=(), headers=HEADERS, **more):
    async with world.following():
        file = await receive_file(receiving(body, cuts, **more), headers, world.store, file_id="file-1", owner="ann")
        return file, b"".join([piece async for piece in world.store.data(file)])


@settings(max_examples=examples(50), deadline=None)
@given(
    data=st.binary(max_size=40) | st.just(b"\r\n--limi\r\n--limit-"),
    cuts=st.lists(st.integers(0, 300), max_size=8),
    file_first=st.booleans(),
)
async def test_a_file_is_the_same_wherever_its_form_is_cut(data, cuts, file_first):
    file, kept = await received(BatchWorld(), form(data, file_first=file_first), cuts)
    assert (file.filename, file.owner, file.size, kept) == ("in.jsonl", "ann", len(data), data)


async def test_a_large_file_is_kept_in_pieces():
    data = bytes(2_000_000)
    file, kept = await received(BatchWorld(), form(data), range(0, 2_000_000, 65_536))
    assert (len(file.offsets), kept) == (3, data)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (form(purpose="vision"), 400, "purpose"),
        (part("purpose", b"batch") + b"--limit--\r\n", 400, "file"),
        (part("purpose", b"batch") + part("file", b"1", "a") + part("file", b"2", "b") + b"--limit--\r\n", 400, "file"),
        (form()[:-8], 400, "file"),
        (b"nothing of the kind", 400, "file"),
        (part("purpose", b"x" * 2_000) + b"--limit--\r\n", 400, "purpose"),
        (form(bytes(5_000)), 413, "file"),
    ],
)
async def test_what_is_no_form_with_a_file_is_refused_and_nothing_is_seen_of_it(body, status, param):
    world = BatchWorld(file_max_bytes=4_096)
    with pytest.raises(DoorError) as refused:
        await received(world, body)
    assert (refused.value.status, refused.value.param) == (status, param)
    assert world.known.files("ann") == []


async def test_a_length_that_is_too_large_is_refused_before_anything_is_read():
    with pytest.raises(DoorError) as refused:
        await received(BatchWorld(file_max_bytes=4_096), form(), headers={**HEADERS, "content-length": "100000"})
    assert refused.value.status == 413


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary="])
async def test_another_type_is_refused(kind):
    with pytest.raises(DoorError) as refused:
        await received(BatchWorld(), form(), headers={"content-type": kind})
    assert refused.value.status == 415


async def test_who_goes_away_in_between_has_uploaded_nothing():
    world = BatchWorld()
    with pytest.raises(ClientGoneError):
        await received(world, form()[:-20], breaks_off=True)
    assert world.known.files("ann") == []
