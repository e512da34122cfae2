"""Fixtures for everybody: one broker for the whole session."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tierstream.stack.kafka import EmbeddedKafka


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A real broker on free ports, shared by all tests: use topic and group names of your own."""
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"))
    # A thread of its own, so that the loop which waits for the broker is none of the tests' loops.
    with ThreadPoolExecutor(max_workers=1) as waiter:
        try:
            waiter.submit(asyncio.run, broker.start()).result()
            yield broker
        finally:
            waiter.submit(asyncio.run, broker.stop()).result()
