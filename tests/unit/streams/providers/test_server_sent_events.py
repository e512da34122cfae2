"""Server-sent events as they come over the wire, cut anywhere."""

from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.providers.server_sent_events import read_events


async def cut(body: bytes, cuts: Sequence[int] = ()) -> AsyncIterator[bytes]:
    places = [0, *sorted(place % (len(body) + 1) for place in cuts), len(body)]
    for start, end in pairwise(places):
        yield body[start:end]


async def data_of(body: bytes, cuts: Sequence[int] = ()) -> list[str]:
    return [data async for data in read_events(cut(body, cuts))]


class Response:
    """As much of a response as the decoder of Anthropic's SDK looks at."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        return cut(self.body)


PIECES = st.sampled_from(
    ["data:", "data: ", "data", "event: x", "id: 1", "retry: 5", ": hello", "é✓", "{}", " ", "a", "\u2028", "\x0b"]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def bodies(draw) -> bytes:
    """Bodies of lines that all end the same way, as every server's do."""
    end = draw(ENDS)
    lines = draw(st.lists(st.lists(PIECES, max_size=4).map("".join), max_size=12))
    return "".join(line + end for line in lines).encode()


@given(body=bodies(), cuts=st.lists(st.integers(0, 200), max_size=8))
async def test_they_are_those_of_a_vendors_decoder_wherever_the_body_is_cut(body, cuts):
    from anthropic import AsyncStream

    expected = [event.data async for event in AsyncStream.raw_events(Response(body))]
    # An event without data is none; that decoder passes it on.
    assert await data_of(body, cuts) == [data for data in expected if data.strip("\n")]


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: a\n\ndata: b\n\n", ["a", "b"]),
        (b"data: a\r\n\r\ndata: b\r\rdata: c\n\n", ["a", "b", "c"]),
        (b"data: a\ndata:b\ndata:  c\n\n", ["a\nb\n c"]),
        (b"event: ping\n\n: keep alive\n\ndata: a\n\n", ["a"]),
        (b"data: a\n\ndata: not ended\n", ["a"]),
        (b"database: a\ndata: b\n\n", ["b"]),
        (b"\xef\xbb\xbfdata: a\n\n", ["a"]),
        (b"", []),
    ],
)
async def test_an_event_is_what_an_empty_line_ends(body, events):
    assert await data_of(body) == events
    assert await data_of(body, range(len(body))) == events


async def test_an_event_comes_as_soon_as_it_has_ended():
    async def endless() -> AsyncIterator[bytes]:
        yield b"data: a\r\n\r"
        raise AssertionError("nobody asked for more")

    assert await anext(read_events(endless())) == "a"


async def test_what_is_not_in_utf8_is_an_error():
    with pytest.raises(UnicodeDecodeError):
        await data_of(b"data: \xff\n\n")
