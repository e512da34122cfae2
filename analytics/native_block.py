"""Rows as a block of ClickHouse's format Native, for columns of the types that the ledger has.

A column is written as a whole, which costs a fraction of writing value by value; a value that does not fit
fails its block. The format: https://clickhouse.com/docs/interfaces/formats/Native.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context
from functools import partial
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple
from uuid import UUID

import numpy as np

FORMAT: Final = "Native"

UNFIT: Final = (struct.error, ValueError, TypeError, OverflowError, ArithmeticError, KeyError)
"""What writing a block raises when a value is not one of its column's type."""

_Cells = Sequence[Any]
_Write = Callable[[_Cells], bytes]


class _Serialization(NamedTuple):
    """How the values of a type are written.

    Attributes:
        write: Makes the bytes of a column.
        empty: What stands for NULL below the mask of a column of Nullable.
        prefix: Stands before the column, and before the sizes where it is one of arrays.
    """

    write: _Write
    empty: Any
    prefix: bytes = b""


_ONE_BYTE: Final = 0x80
_LENGTHS: Final = [bytes([length]) for length in range(_ONE_BYTE)]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_END: Final = datetime(2300, 1, 1, tzinfo=UTC)

_MOST_DIGITS: Final = 38
_EXACT: Final = Context(prec=2 * _MOST_DIGITS)

_DICTIONARY_VERSION: Final = struct.pack("<Q", 1)
_OWN_KEYS: Final = 1 << 9 | 1 << 10
"""In the head of a dictionary: its keys come with the block and replace others. Lowest byte: width of the indexes."""
_INDEXES: Final = ("B", "H", "I")

_WRAPPED: Final = re.compile(r"(Nullable|LowCardinality|Array)\((.*)\)")
_DECIMAL: Final = re.compile(rf"Decimal\({_MOST_DIGITS}, (\d+)\)")
_MOMENT: Final = re.compile(r"DateTime64\(([36]), 'UTC'\)")
_FIXED: Final = re.compile(r"FixedString\((\d+)\)")
_ENUM: Final = re.compile(r"Enum8\(.*\)")
_ENUM_ITEM: Final = re.compile(r"'(\w+)' = (\d+)")


class BlockFormat:
    """How rows of some columns are written.

    Args:
        types: The type of each column by its name, as ClickHouse writes it and in the order in which rows have them.

    Raises:
        ValueError: No column of the ledger has such a type.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self.columns: Sequence[str] = tuple(types)
        kinds = [_serialization(kind) for kind in types.values()]
        heads = [_text(name) + _text(kind) for name, kind in types.items()]
        self._columns = [(head + kind.prefix, kind.write) for head, kind in zip(heads, kinds, strict=True)]

    def write(self, rows: Sequence[Mapping[str, object]]) -> bytes:
        """Write at least one row; each has its values in the order of the columns.

        Raises:
            struct.error, ValueError, TypeError, OverflowError, ArithmeticError, KeyError: A value does not fit; all of
                them are in `UNFIT`.
        """
        block = [_length(len(self._columns)), _length(len(rows))]
        for (head, write), cells in zip(self._columns, zip(*[row.values() for row in rows], strict=True), strict=True):
            block += head, write(cells)
        return b"".join(block)


def _serialization(kind: str) -> _Serialization:
    if plain := _PLAIN.get(kind):
        return plain
    if found := _WRAPPED.fullmatch(kind):
        return _wrapped(found[1], _serialization(found[2]))
    if found := _DECIMAL.fullmatch(kind):
        return _Serialization(partial(_decimals, int(found[1])), 0)
    if found := _MOMENT.fullmatch(kind):
        return _Serialization(partial(_moments, _MICROSECOND * 10 ** (6 - int(found[1]))), _EPOCH)
    if found := _FIXED.fullmatch(kind):
        return _Serialization(partial(_fixed, int(found[1])), None)
    if _ENUM.fullmatch(kind):
        return _Serialization(partial(_enumerated, {name: int(n) for name, n in _ENUM_ITEM.findall(kind)}), None)
    raise ValueError(f"nothing writes values of the type {kind}")


def _wrapped(outer: str, inner: _Serialization) -> _Serialization:
    match outer:
        case "Nullable":
            return _Serialization(partial(_nullable, inner), None, inner.prefix)
        case "LowCardinality":
            return _Serialization(partial(_dictionary, inner.write), None, _DICTIONARY_VERSION)
        case _:
            return _Serialization(partial(_arrays, inner.write), None, inner.prefix)


def _length(length: int) -> bytes:
    """Write an unsigned LEB128."""
    if length < _ONE_BYTE:
        return _LENGTHS[length]
    return bytes([length % _ONE_BYTE | _ONE_BYTE]) + _length(length >> 7)


def _text(text: str) -> bytes:
    data = text.encode()
    return _length(len(data)) + data


def _texts(cells: _Cells) -> bytes:
    return b"".join([_length(len(data)) + data for data in [text.encode() for text in cells]])


def _numbers(code: str, cells: _Cells) -> bytes:
    return struct.pack(f"<{len(cells)}{code}", *cells)


def _uuids(cells: _Cells) -> bytes:
    """Write two numbers of 64 bits for each, the lowest byte first."""
    data = b"".join([value.bytes for value in cells])
    return np.frombuffer(data, ">u8").astype("<u8").tobytes()


def _decimals(scale: int, cells: _Cells) -> bytes:
    shift = _EXACT.scaleb
    units = [int(shift(value, scale)) if value else 0 for value in cells]
    if max(map(abs, units)) >= 10**_MOST_DIGITS:
        raise OverflowError("a decimal number of too many digits")
    return b"".join([unit.to_bytes(16, "little", signed=True) for unit in units])


def _moments(unit: timedelta, cells: _Cells) -> bytes:
    if not (min(cells) >= _EARLIEST and max(cells) < _END):
        raise OverflowError("a moment that DateTime64 does not hold")
    return _numbers("q", [(moment - _EPOCH) // unit for moment in cells])


def _fixed(size: int, cells: _Cells) -> bytes:
    data = [text.encode() for text in cells]
    if any(len(one) != size for one in data):
        raise ValueError(f"a text of not {size} bytes")
    return b"".join(data)


def _enumerated(numbers: Mapping[str, int], cells: _Cells) -> bytes:
    return bytes([numbers[name] for name in cells])


def _nullable(inner: _Serialization, cells: _Cells) -> bytes:
    mask = bytes([value is None for value in cells])
    return mask + inner.write([inner.empty if value is None else value for value in cells])


def _arrays(write: _Write, cells: _Cells) -> bytes:
    ends = _numbers("Q", list(accumulate(map(len, cells))))
    items = list(chain.from_iterable(cells))
    return ends + write(items) if items else ends


def _dictionary(write: _Write, cells: _Cells) -> bytes:
    keys = {value: index for index, value in enumerate(dict.fromkeys(cells))}
    width = (len(keys) > 1 << 8) + (len(keys) > 1 << 16)
    head = struct.pack("<QQ", _OWN_KEYS | width, len(keys)) + write(list(keys))
    indexes = _numbers(_INDEXES[width], [keys[value] for value in cells])
    return head + struct.pack("<Q", len(cells)) + indexes


_PLAIN: Final = {
    "UInt8": _Serialization(partial(_numbers, "B"), 0),
    "UInt32": _Serialization(partial(_numbers, "I"), 0),
    "UInt64": _Serialization(partial(_numbers, "Q"), 0),
    "Int32": _Serialization(partial(_numbers, "i"), 0),
    "Int64": _Serialization(partial(_numbers, "q"), 0),
    "Float64": _Serialization(partial(_numbers, "d"), 0),
    "Bool": _Serialization(bytes, False),  # noqa: FBT003 - a value and not an option
    "String": _Serialization(_texts, ""),
    "UUID": _Serialization(_uuids, UUID(int=0)),
}
