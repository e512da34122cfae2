"""The bound: what a plain aiokafka program does on the same broker with records of the same size."""

import asyncio
import json
import os
import sys
import uuid
from typing import Final

from aiokafka.admin import NewTopic
from pydantic import BaseModel, ConfigDict

from streams.config.settings_sections import KafkaSettings
from streams.kafka.admin import admin_client
from streams.kafka.publisher import started_producer
from tierstream.bench.processes import ProcessMeter
from tierstream.stack.errors import StackError
from tierstream.stack.process import run_to_end

_WARM_UP: Final = 0.2
"""Share of records that is moved before, so that the broker has compiled what it needs."""
_LINGER_MS: Final = 5


class Limit(BaseModel):
    """One record consumed, produced and committed by a program that does nothing else."""

    model_config = ConfigDict(frozen=True)

    records: int
    record_bytes: int
    records_per_s: float
    cpu_ms: float
    """CPU of that program for each record, in milliseconds."""
    broker_cpu_ms: float
    """CPU of the broker for each record, in milliseconds."""


async def measure_limit(kafka: KafkaSettings, meter: ProcessMeter, *, records: int, record_bytes: int) -> Limit:
    """Move records from topic to topic in a process of its own.

    Args:
        kafka: With the address of the broker.
        meter: Of the stack whose broker that is.
        records: How many.
        record_bytes: Of each value.

    Raises:
        StackError: The program failed.
    """
    figures, broker_s = await _move(kafka, meter, round(records * _WARM_UP), record_bytes)
    figures, broker_s = await _move(kafka, meter, records, record_bytes)
    return Limit(
        records=records,
        record_bytes=record_bytes,
        records_per_s=round(records / figures["wall_s"], 1),
        cpu_ms=round(figures["cpu_s"] / records * 1000, 4),
        broker_cpu_ms=round(broker_s / records * 1000, 4),
    )


async def _move(
    kafka: KafkaSettings, meter: ProcessMeter, records: int, record_bytes: int
) -> tuple[dict[str, float], float]:
    """Fill a topic and have it moved; return what the program says of itself, and the broker's CPU seconds."""
    name = f"bench-limit-{uuid.uuid4().hex[:8]}"
    source, target = f"{name}.from", f"{name}.to"
    async with admin_client(kafka) as admin:
        await admin.create_topics([NewTopic(topic, 1, kafka.replication_factor) for topic in (source, target)])
        try:
            await _fill(kafka, source, records, record_bytes)
            before = meter.cpu()
            figures = await _run_program(kafka, source, target, records)
            return figures, meter.cpu().since(before).get("broker", 0.0)
        finally:
            await admin.delete_topics([source, target])


async def _fill(kafka: KafkaSettings, topic: str, records: int, record_bytes: int) -> None:
    producer = await started_producer(kafka, linger_ms=_LINGER_MS)
    try:
        value = b"x" * record_bytes
        sent = [await producer.send(topic, value, key=b"%036d" % number, partition=0) for number in range(records)]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def _run_program(kafka: KafkaSettings, source: str, target: str, records: int) -> dict[str, float]:
    arguments = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "source": source,
        "target": target,
        "records": records,
    }
    exit_code, output = await run_to_end(
        *(sys.executable, "-m", "tierstream.bench.plain_loop", json.dumps(arguments)), env=os.environ
    )
    lines = output.strip().splitlines() or ["no reason given"]
    if exit_code:
        raise StackError(f"the plain program of the limit failed (exit code {exit_code}): {lines[-1]}")
    found: dict[str, float] = json.loads(lines[-1])
    return found
