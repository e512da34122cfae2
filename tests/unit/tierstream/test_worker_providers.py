"""Providers that no call has needed yet are prepared a while after the start."""

import asyncio

import pytest
from support.in_memory import FakeProvider

import tierstream.worker


class Prepared(FakeProvider):
    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken = broken
        self.times = 0

    async def prepare(self) -> None:
        self.times += 1
        if self.broken:
            raise ImportError("no module named vendor")


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(tierstream.worker, "_PREPARE_AFTER_S", 0)


async def test_one_that_can_not_be_imported_is_named_and_keeps_nobody_from_the_others(at_once, caplog):
    providers = {"broken": Prepared(broken=True), "fine": Prepared()}
    await tierstream.worker._prepare(providers)
    assert [provider.times for provider in providers.values()] == [1, 1]
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "broken" in record.getMessage()


async def test_what_waits_for_a_worker_comes_first():
    provider = Prepared()
    preparing = asyncio.create_task(tierstream.worker._prepare({"fine": provider}))
    await asyncio.sleep(0)
    assert provider.times == 0
    preparing.cancel()
