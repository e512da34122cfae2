"""A stage that can't be started says so."""

import asyncio

import pytest
from aiokafka.errors import KafkaConnectionError
from support.in_memory import new_bench

from agents import classify
from streams.calls.journal import Journal
from streams.config.settings import Settings
from streams.runtime.stage_runner import StageRunner


async def test_a_broker_that_is_gone_when_the_stage_starts_ends_it_with_an_error():
    settings = Settings(kafka={"bootstrap_servers": "127.0.0.1:1"})
    engine = new_bench(settings).engine
    [instance] = classify.instances(settings)
    runner = StageRunner(instance, engine, Journal(engine.publisher, engine.attempts, settings.kafka.partitions))
    with pytest.raises(KafkaConnectionError):
        await runner.run(asyncio.Event(), lambda: None)
