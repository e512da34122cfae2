"""The setting that bounds which rows of tables are read; that the engine takes it is seen in the ledger's report."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from analytics.table_filters import only_between

SINCE = datetime(2026, 10, 1, 2, tzinfo=timezone(timedelta(hours=2)))


def test_each_table_has_the_bounds_that_there_are():
    since = r"at >= toDateTime64(\'2026-10-01 00:00:00.000000\', 6, \'UTC\')"
    until = r"at < toDateTime64(\'2026-10-02 00:00:00.000000\', 6, \'UTC\')"
    only = {"additional_table_filters": f"{{'d.a': '{since}', 'd.b': '{since}'}}"}
    assert only_between("d", ["a", "b"], SINCE, None) == only
    both = {"additional_table_filters": f"{{'d.a': '{since} AND {until}'}}"}
    assert only_between("d", ["a"], SINCE, SINCE + timedelta(days=1)) == both
    assert only_between("d", ["a"], None, None) == {}


def test_nothing_gets_out_of_the_quotes():
    with pytest.raises(ValueError, match="not a database name"):
        only_between("d', 'x", ["a"], SINCE, None)
    with pytest.raises(ValueError, match="zone"):
        only_between("d", ["a"], datetime(2026, 10, 1, tzinfo=UTC).replace(tzinfo=None), None)
