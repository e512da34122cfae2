"""Findings are looked for beside the pages, which wait for none of it."""

import asyncio
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from tierstream.dashboard.findings import LatestFindings

NOW = datetime(2026, 3, 31, tzinfo=UTC)


async def test_they_are_looked_for_once_and_again_when_they_are_old():
    asked = 0

    async def report():
        nonlocal asked
        asked += 1
        return SimpleNamespace(findings=("one",))

    latest = LatestFindings(report)
    assert latest.latest(NOW) is None
    assert latest.latest(NOW) is None
    await latest._looking
    found = latest.latest(NOW + timedelta(minutes=9))
    assert (asked, found.at, found.findings) == (1, NOW, ("one",))
    assert latest.latest(NOW + timedelta(minutes=11)) is found
    await latest._looking
    assert (asked, latest.latest(NOW + timedelta(minutes=12)).at) == (2, NOW + timedelta(minutes=11))
    await latest.close()


async def test_a_report_that_fails_is_tried_again(caplog):
    async def away():
        raise OSError("ClickHouse is away")

    latest = LatestFindings(away)
    assert latest.latest(NOW) is None
    await latest._looking
    assert "could not be made" in caplog.text
    assert latest.latest(NOW) is None
    await latest.close()
    assert latest._looking.done()


async def test_looking_ends_with_the_server():
    latest = LatestFindings(asyncio.Event().wait)
    latest.latest(NOW)
    await latest.close()
    assert latest._looking.cancelled()
