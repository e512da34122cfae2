"""Blocks of ClickHouse's format Native, as ClickHouse's own client reads them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from clickhouse_connect.driver import ctypes as driver_ctypes
from clickhouse_connect.driver.transform import NativeTransform
from hypothesis import given
from hypothesis import strategies as st

from analytics.native_block import UNFIT, BlockFormat

MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2299, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001
MONEY = st.decimals(0, Decimal("99999999999999999999999999.999999999999"), places=12)
CELLS = {
    "Bool": st.booleans(),
    "UInt8": st.integers(0, 2**8 - 1),
    "UInt32": st.integers(0, 2**32 - 1),
    "UInt64": st.integers(0, 2**64 - 1),
    "Int32": st.integers(-(2**31), 2**31 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "Float64": st.floats(allow_nan=False),
    "String": st.text(max_size=300),
    "UUID": st.uuids(),
    "DateTime64(6, 'UTC')": MOMENTS,
    "Decimal(38, 12)": MONEY,
    "FixedString(4)": st.text("abcd", min_size=4, max_size=4),
    "Enum8('started' = 1, 'ended' = 2)": st.sampled_from(["started", "ended"]),
    "LowCardinality(String)": st.text(max_size=3),
    "Nullable(UInt8)": st.none() | st.integers(0, 2**8 - 1),
    "Nullable(UUID)": st.none() | st.uuids(),
    "Nullable(Decimal(38, 12))": st.none() | MONEY,
    "Nullable(DateTime64(6, 'UTC'))": st.none() | MOMENTS,
    "Array(LowCardinality(String))": st.lists(st.text(max_size=3), max_size=3),
    "Array(Decimal(38, 12))": st.lists(MONEY, max_size=3),
    "Array(UUID)": st.lists(st.uuids(), max_size=3),
}

TYPES = {f"a {kind}": kind for kind in CELLS}


class Source:
    """What the client takes for the body of a response."""

    def __init__(self, data: bytes) -> None:
        self.gen = iter([data])

    def close(self) -> None:
        pass


def read(block: bytes) -> list[dict]:
    found = NativeTransform.parse_response(driver_ctypes.RespBuffCls(Source(block)))
    return [dict(zip(found.column_names, row, strict=True)) for row in found.result_rows]


# Hypothesis makes the values of a dictionary in an order of its own.
ROWS = st.tuples(*CELLS.values()).map(lambda cells: dict(zip(TYPES, cells, strict=True)))


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_every_type_is_read_as_it_was_written(rows):
    found = read(BlockFormat(TYPES).write(rows))
    for row in found:
        row["a FixedString(4)"] = row["a FixedString(4)"].decode()
        for kind in ("DateTime64(6, 'UTC')", "Nullable(DateTime64(6, 'UTC'))"):
            moment = row[f"a {kind}"]
            row[f"a {kind}"] = moment and moment.replace(tzinfo=UTC)
    assert found == rows


@pytest.mark.parametrize("kinds", [256, 257, 70_000])
def test_a_dictionary_has_indexes_as_wide_as_its_number_of_keys_needs(kinds):
    rows = [{"name": f"{n % kinds}"} for n in range(kinds + 3)]
    assert read(BlockFormat({"name": "LowCardinality(String)"}).write(rows)) == rows


def test_moments_are_rounded_down_to_the_unit_of_their_column():
    moment = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    [row] = read(BlockFormat({"at": "DateTime64(3, 'UTC')"}).write([{"at": moment}]))
    assert row["at"].replace(tzinfo=UTC) == moment - timedelta(microseconds=999)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("UInt8", 256),
        ("UInt32", -1),
        ("UInt64", 2**64),
        ("Nullable(Int32)", 2**31),
        ("UInt64", None),
        ("Float64", "1"),
        ("String", "\ud800"),
        ("DateTime64(6, 'UTC')", datetime(2300, 1, 1, tzinfo=UTC)),
        ("DateTime64(3, 'UTC')", datetime(1899, 12, 31, tzinfo=UTC)),
        ("DateTime64(3, 'UTC')", datetime(2000, 1, 1)),  # noqa: DTZ001
        ("Decimal(38, 12)", Decimal(10**26)),
        ("Array(Decimal(38, 6))", [Decimal(-(10**32))]),
        ("FixedString(4)", "abc"),
        ("Enum8('started' = 1, 'ended' = 2)", "lost"),
    ],
)
def test_a_value_that_does_not_fit_fails_its_block(kind, value):
    with pytest.raises(UNFIT):
        BlockFormat({"a": kind}).write([{"a": value}])


def test_a_type_that_the_ledger_does_not_have_is_refused():
    with pytest.raises(ValueError, match=r"type Map\(String, String\)"):
        BlockFormat({"a": "Map(String, String)"})
