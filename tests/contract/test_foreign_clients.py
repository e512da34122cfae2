"""Producers that are not ours, with every codec, plain and in transactions that are committed or aborted."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from confluent_kafka import Producer

from topics.registry import DEAD_LETTERS, REQUESTS, RESULTS

CLIENTS = Path(__file__).parent / "clients"
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


def produce_with_librdkafka(servers, topic, folder):
    del folder
    for codec in CODECS:
        for mode in ("plain", "committed", "aborted"):
            options = {"bootstrap.servers": servers, "compression.type": codec}
            if mode != "plain":
                options["transactional.id"] = f"{topic}-rd-{codec}-{mode}"
            producer = Producer(options)
            if mode != "plain":
                producer.init_transactions()
                producer.begin_transaction()
            for n in range(2):
                request = {
                    "request_id": f"{codec}-{mode}-{n}",
                    "messages": [{"role": "user", "content": "Hello?"}],
                }
                producer.produce(topic, json.dumps(request).encode())
            producer.flush()
            if mode == "committed":
                producer.commit_transaction()
            elif mode == "aborted":
                producer.abort_transaction()


def produce_with_franz_go(servers, topic, folder):
    if shutil.which("go") is None:
        pytest.skip("go is not on this machine")
    source, program = CLIENTS / "franz-go", folder / "producer"
    fetched = subprocess.run(["go", "mod", "download"], check=False, cwd=source, capture_output=True, timeout=120)
    if fetched.returncode:
        pytest.skip("the modules of franz-go can't be downloaded")
    subprocess.run(["go", "build", "-o", program, "."], cwd=source, check=True, timeout=240)
    subprocess.run([program, servers, topic], check=True, timeout=60)


@pytest.mark.parametrize("produce", [produce_with_librdkafka, produce_with_franz_go])
async def test_each_committed_request_has_one_result(deployment, simulator, tmp_path, produce):
    topic = REQUESTS.full_name(deployment.kafka.prefix)
    await asyncio.to_thread(produce, deployment.kafka.bootstrap_servers, topic, tmp_path)
    await deployment.start_worker()
    ids = [f"{codec}-{mode}-{n}" for codec in CODECS for mode in ("plain", "committed") for n in range(2)]
    await deployment.settled(ids)
    assert len(await deployment.read(RESULTS)) == len(simulator.calls) == len(ids)
    assert await deployment.read(DEAD_LETTERS) == []
