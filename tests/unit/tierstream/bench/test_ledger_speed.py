"""What `tierstream bench ledger` shows where a report can't be done."""

from datetime import UTC, datetime

from clickhouse_connect.driver.exceptions import DatabaseError

from analytics.ledger_window import PriceList
from tierstream.bench import ledger_speed


class Refusing:
    async def command(self, text: str) -> None:
        assert text.startswith("SYSTEM DROP ")


async def test_a_report_that_takes_too_much_memory_is_named_and_the_others_are_measured(tmp_path):
    async def greedy(window):
        raise DatabaseError("Code: 241. DB::Exception: (total) memory limit exceeded (MEMORY_LIMIT_EXCEEDED) (for url)")

    async def modest(window):
        assert window.until == datetime(2026, 10, 31, tzinfo=UTC)

    until, told = datetime(2026, 10, 31, tzinfo=UTC), []
    prices = PriceList("a/b", {})
    reports = {"greedy": greedy, "modest": modest}
    found = await ledger_speed._times_of(reports, Refusing(), tmp_path, until, prices, told.append)
    assert [(one.report, one.days, one.failed, one.cold_ms is None) for one in found] == [
        *(("greedy", days, "MEMORY_LIMIT_EXCEEDED", True) for days in (1, 8, 30)),
        *(("modest", days, None, False) for days in (1, 8, 30)),
    ]
    assert len(told) == 6
