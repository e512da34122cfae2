"""Loads over HTTP, on the mock provider in the test's loop."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from streams.kafka.publisher import DeliveryError
from tierstream.bench.http_load import HttpLoad
from tierstream.bench.load import Load
from tierstream.bench.mock_provider import MockConnection, MockProvider
from tierstream.bench.workload import Kind, Workload


@asynccontextmanager
async def loaded_mock():
    server = await asyncio.get_running_loop().create_server(lambda: MockConnection(MockProvider()), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        async with HttpLoad.opened(url, Workload(Kind.TIER1, 1), headers={}, give_up_s=5) as load:
            yield load, server
    finally:
        server.close()


class Echo(Load):
    """Answers what the test says, when it says so."""

    def __init__(self):
        super().__init__(give_up_s=0.01)
        self.submitted = []
        self.second = asyncio.Event()

    async def submit(self, number):
        self.submitted.append(number)
        if len(self.submitted) == 2:
            self.second.set()


async def test_an_open_loop_sends_what_was_planned_and_keeps_each_answer():
    async with loaded_mock() as (load, _):
        trial = await load.open_loop(200, 0.1)
    assert (trial.sent, len(trial.answered), trial.missing, trial.duplicates) == (20, 20, 0, 0)
    assert [one.number for one in sorted(trial.answered, key=lambda one: one.planned)] == list(range(20))
    assert all(one.at > one.planned for one in trial.answered)


async def test_a_closed_loop_goes_on_until_it_was_watched_and_never_has_more_in_flight():
    async with loaded_mock() as (load, _):
        trial = await load.closed_loop(4, lambda trial: load.reached(trial, 30))
    assert trial.sent == len(trial.answered)
    assert 30 <= trial.sent <= 38


async def test_a_server_that_is_away_leaves_requests_missing_and_says_why():
    async with loaded_mock() as (load, server):
        server.close()
        await server.wait_closed()
        trial = await load.open_loop(100, 0.05)
    assert (trial.sent, trial.answered, trial.missing) == (5, [], 5)
    assert trial.refused == {"ClientConnectorError": 5}


async def test_what_is_planned_does_not_wait_for_answers_and_what_has_none_is_missing():
    load = Echo()
    trial = await load.open_loop(1000, 0.01)
    assert load.submitted == list(range(10))
    assert trial.missing == 10


async def test_a_second_answer_is_a_duplicate():
    load = Echo()
    running = asyncio.create_task(load.open_loop(1000, 0.002))
    await load.second.wait()
    for number in (0, 1, 1):
        load.take(number, b"", asyncio.get_running_loop().time())
    trial = await running
    assert (len(trial.answered), trial.duplicates, trial.missing) == (2, 1, 0)


async def test_a_failure_ends_the_load():
    load = Echo()
    load.fail(OSError("gone"))
    with pytest.raises(DeliveryError, match="gone"):
        await load.open_loop(10, 1)
