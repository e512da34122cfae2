"""How bodies are compressed: ClickHouse's own frames (`compress=1`, `decompress=1`), and encodings of HTTP.

A frame is a checksum of 16 bytes, one byte for the method, the sizes of the rest of the frame and of its content, and
the compressed content: https://github.com/ClickHouse/ClickHouse/blob/master/src/Compression/CompressionInfo.h.
"""

from __future__ import annotations

import gzip
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Final

import lz4.block
import lz4.frame
from clickhouse_cityhash.cityhash import CityHash128

from tierstream.stack.clickhouse_protocol import ClickHouseError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_CHECKSUM: Final = struct.Struct("<QQ")
_HEADER: Final = struct.Struct("<BII")
_BLOCK_BYTES: Final = 1024**2
"""Content of a frame, as a server cuts it; readers hold a whole frame in memory."""

_NONE: Final = 0x02
_LZ4: Final = 0x82
_ZSTD: Final = 0x90

_COMPRESS: Final[dict[str, tuple[int, Callable[[bytes], bytes]]]] = {
    "NONE": (_NONE, bytes),
    "LZ4": (_LZ4, lambda content: lz4.block.compress(content, store_size=False)),
    "LZ4HC": (_LZ4, lambda content: lz4.block.compress(content, mode="high_compression", store_size=False)),
    "ZSTD": (_ZSTD, lambda content: zstd.compress(content, level=1)),
}

# From the quickest to the slowest, with what a query costs in mind and not the wire.
_ENCODINGS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "lz4": lz4.frame.compress,
    "zstd": lambda content: zstd.compress(content, level=1),
    "gzip": lambda content: gzip.compress(content, compresslevel=1),
    "deflate": lambda content: zlib.compress(content, level=1),
}


def accepted_encoding(accept: str) -> str:
    """Return the encoding for a response, from the header Accept-Encoding of its request; `identity` if none fits."""
    offered = {name.partition(";")[0].strip().lower() for name in accept.split(",")}
    return next((name for name in _ENCODINGS if name in offered), "identity")


def to_encoding(content: bytes, encoding: str) -> bytes:
    """Compress a response in what `accepted_encoding` returned."""
    return _ENCODINGS[encoding](content) if encoding in _ENCODINGS else content


def to_frames(content: bytes, method: str) -> bytes:
    """Compress a response.

    Args:
        content: The body; an empty one has no frames.
        method: A value of the setting `network_compression_method`.

    Raises:
        ClickHouseError: 89, there is no such method.
    """
    if method.upper() not in _COMPRESS:
        raise ClickHouseError.of(
            89, "UNKNOWN_COMPRESSION_METHOD", f"network_compression_method {method!r}: use LZ4, LZ4HC, ZSTD or NONE"
        )
    code, compress = _COMPRESS[method.upper()]
    frames = bytearray()
    for start in range(0, len(content), _BLOCK_BYTES):
        block = content[start : start + _BLOCK_BYTES]
        packed = compress(block)
        summed = _HEADER.pack(code, _HEADER.size + len(packed), len(block)) + packed
        frames += _checksum(summed) + summed
    return bytes(frames)


def from_frames(body: bytes, limit: int) -> bytes:
    """Undo ClickHouse's own compression of a request.

    Raises:
        ClickHouseError: A frame is cut off (33), damaged (40, 271) or of another method (89), or there are more than
            `limit` bytes in them (229).
    """
    content = bytearray()
    position = 0
    while position < len(body):
        start = position + _CHECKSUM.size
        if len(body) < start + _HEADER.size:
            raise _cut_off()
        method, packed_size, size = _HEADER.unpack_from(body, start)
        position = start + packed_size
        if packed_size < _HEADER.size or len(body) < position:
            raise _cut_off()
        _check_size(len(content) + size, limit)
        if body[start - _CHECKSUM.size : start] != _checksum(body[start:position]):
            raise ClickHouseError.of(40, "CHECKSUM_DOESNT_MATCH", "a compressed block of the body is damaged")
        content += _unpack(method, body[start + _HEADER.size : position], size)
    return bytes(content)


def from_lz4(body: bytes, limit: int) -> bytes:
    """Undo the Content-Encoding lz4, the one that clients of ClickHouse use and aiohttp does not undo itself.

    Raises:
        ClickHouseError: The body is no lz4 (432) or cut off (33), or has more than `limit` bytes (229).
    """
    content = bytearray()
    while body:
        decompressor = lz4.frame.LZ4FrameDecompressor()
        try:
            content += decompressor.decompress(body, max_length=limit + 1 - len(content))
        except RuntimeError as error:
            raise ClickHouseError.of(432, "UNKNOWN_CODEC", str(error)) from error
        _check_size(len(content), limit)
        if not decompressor.eof:
            raise _cut_off()
        body = decompressor.unused_data or b""
    return bytes(content)


def _unpack(method: int, packed: bytes, size: int) -> bytes:
    try:
        if method == _NONE:
            content = packed
        elif method == _LZ4:
            content = lz4.block.decompress(packed, uncompressed_size=size)
        elif method == _ZSTD:
            content = zstd.ZstdDecompressor().decompress(packed, max_length=size + 1)
        else:
            raise ClickHouseError.of(
                89, "UNKNOWN_COMPRESSION_METHOD", f"the body has blocks of method 0x{method:02x}: use LZ4, ZSTD or NONE"
            )
    except (lz4.block.LZ4BlockError, zstd.ZstdError) as error:
        raise ClickHouseError.of(271, "CANNOT_DECOMPRESS", str(error)) from error
    if len(content) != size:
        raise ClickHouseError.of(271, "CANNOT_DECOMPRESS", f"a block has {len(content)} bytes where it says {size}")
    return content


def _checksum(summed: bytes) -> bytes:
    whole = CityHash128(summed)
    return _CHECKSUM.pack(whole >> 64, whole & 0xFFFF_FFFF_FFFF_FFFF)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ClickHouseError.of(
            229, "QUERY_IS_TOO_LARGE", f"the body has more than {limit} bytes: send less at a time"
        )


def _cut_off() -> ClickHouseError:
    return ClickHouseError.of(33, "CANNOT_READ_ALL_DATA", "the compressed body is cut off")
