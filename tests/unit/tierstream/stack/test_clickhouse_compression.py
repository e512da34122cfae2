"""ClickHouse's own compressed blocks: what is read back, and what is refused."""

import pytest

from tierstream.stack.clickhouse_compression import accepted_encoding, from_frames, to_encoding, to_frames
from tierstream.stack.clickhouse_protocol import ClickHouseError

LIMIT = 10_000_000
CONTENT = bytes(range(256)) * 9_000


@pytest.mark.parametrize("method", ["LZ4", "lz4hc", "ZSTD", "NONE"])
def test_frames_read_back(method):
    frames = to_frames(CONTENT, method)
    assert from_frames(frames, LIMIT) == CONTENT
    assert from_frames(frames + frames, LIMIT) == CONTENT * 2
    assert to_frames(b"", method) == b""
    with pytest.raises(ClickHouseError) as caught:
        from_frames(frames, len(CONTENT) - 1)
    assert (caught.value.code, caught.value.http_status) == (229, 413)


@pytest.mark.parametrize("length", [1, 15, 20, 24, -1])
def test_a_frame_that_is_cut_off(length):
    with pytest.raises(ClickHouseError, match=r"Code: 33\."):
        from_frames(to_frames(b"some content", "LZ4")[:length], LIMIT)


def test_damaged_and_unknown_frames():
    frames = bytearray(to_frames(b"some content", "NONE"))
    frames[-1] ^= 1
    with pytest.raises(ClickHouseError, match=r"Code: 40\."):
        from_frames(bytes(frames), LIMIT)
    with pytest.raises(ClickHouseError, match=r"Code: 33\."):
        from_frames(b"INSERT INTO t VALUES (1), (2), (3)", LIMIT)
    with pytest.raises(ClickHouseError, match="network_compression_method 'T64'"):
        to_frames(b"content", "T64")


def test_the_quickest_encoding_that_is_accepted():
    assert accepted_encoding("br, gzip;q=0.5, LZ4") == "lz4"
    assert accepted_encoding("br") == accepted_encoding("") == "identity"
    assert to_encoding(b"content", "identity") == b"content"
