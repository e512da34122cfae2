"""Native blocks as ClickHouse's protocol has them from some revision on; the engine writes those of revision 0.

The format Buffers has the same columns as Native, each after its size, but neither names nor types. A block of the
protocol is put together from these and from the types: the columns' bytes need not be understood.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

LOWEST_REVISION: Final = 54454
"""DBMS_MIN_REVISION_WITH_CUSTOM_SERIALIZATION. Below it clients are read as having named none: they can tell."""

BUFFERS: Final = "Buffers"

_COUNT: Final = struct.Struct("<Q")
# Field 1: no overflow rows; field 2: no bucket of an aggregation; end of the fields.
_BLOCK_INFO: Final = b"\x01\x00\x02\xff\xff\xff\xff\x00"
_DEFAULT_SERIALIZATION: Final = b"\x00"
_MORE: Final = 0x80
"""Set in each byte of a LEB128 but the last."""


class Column(NamedTuple):
    """A column of a result: its name, and its type as ClickHouse writes it."""

    name: str
    type: str


def to_blocks(buffers: bytes, columns: Sequence[Column]) -> bytes:
    """Rewrite a result in the format Buffers as Native blocks of `LOWEST_REVISION` or later.

    Raises:
        ValueError: The columns are not those of the result.
    """
    heads = [_text(column.name) + _text(column.type) + _DEFAULT_SERIALIZATION for column in columns]
    blocks = bytearray()
    data = memoryview(buffers)
    position = 0
    while position < len(data):
        width, rows = _count(data, position), _count(data, position + 8)
        position += 16
        if width != len(columns):
            raise ValueError(f"a block has {width} columns and not {len(columns)}")
        blocks += _BLOCK_INFO + _varint(width) + _varint(rows)
        for head in heads:
            start = position + 8
            position = start + _count(data, position)
            blocks += head
            blocks += data[start:position]
    return bytes(blocks)


def _count(data: memoryview, position: int) -> int:
    return int(_COUNT.unpack_from(data, position)[0])


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _varint(len(encoded)) + encoded


def _varint(number: int) -> bytes:
    """Write an unsigned LEB128."""
    encoded = bytearray()
    while number >= _MORE:
        encoded.append(number % _MORE | _MORE)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
