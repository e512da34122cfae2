"""`python -m tierstream.bench.plain_loop`: consume, produce, commit with aiokafka alone, and nothing in between.

What a program that does nothing costs here bounds what any program on aiokafka can do. It reads one partition, sends
each record on to another topic, waits for the acknowledgements of what it polled, and commits.
"""

import asyncio
import json
import sys
import time
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

_POLL_MS: Final = 200
_AT_ONCE: Final = 500
_GROUP: Final = "bench-plain"


async def run(bootstrap_servers: str, source: str, target: str, records: int) -> dict[str, float]:
    """Move records from one topic to another.

    Args:
        bootstrap_servers: Of the broker.
        source: Its first partition is read, from the beginning.
        target: Its first partition is written.
        records: How many there are.

    Returns:
        Seconds from the first record to the last commit, and of CPU, after clients are connected.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=f"{_GROUP}-{source}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True)
    tp = TopicPartition(source, 0)
    async with producer, consumer:
        consumer.assign([tp])
        await consumer.position(tp)
        wall, cpu, moved = time.monotonic(), time.process_time(), 0
        while moved < records:
            found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_AT_ONCE)
            for batch in found.values():
                sent = [await producer.send(target, one.value, key=one.key, partition=0) for one in batch]
                await asyncio.gather(*sent)
                await consumer.commit({tp: batch[-1].offset + 1})
                moved += len(batch)
        return {"wall_s": time.monotonic() - wall, "cpu_s": time.process_time() - cpu}


def main() -> None:
    """Take the arguments as JSON, and print what `run` returns."""
    sys.stdout.write(json.dumps(asyncio.run(run(**json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
