"""Workers whose clocks are wrong by more than a deadline: the brokers' time counts, from the first record on."""

import sys
from datetime import timedelta

import pytest

from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.process import Child
from topics.registry import HOPS
from topics.requests import Request

WORKER = """
import asyncio, logging, sys
from datetime import timedelta
from streams.kafka.clock import utc_now
from streams.config.settings import load
from tierstream.worker import choose_stages, run_worker

logging.basicConfig(level=logging.INFO)
wrong_by = timedelta(hours=float(sys.argv[1]))
settings = load()
asyncio.run(run_worker(settings, choose_stages((), settings), lambda: utc_now() + wrong_by))
"""
CHEAP = {"context": {"self_validating": True}, "service_class": "bulk"}


def ask(request_id, **fields):
    messages = [{"role": "user", "content": f"What is {request_id}?"}]
    return Request.model_validate({"request_id": request_id, "messages": messages, **CHEAP, **fields})


@pytest.mark.parametrize("hours", [2, -2], ids=["ahead", "behind"])
async def test_a_wrong_clock_neither_expires_nor_serves_what_the_brokers_time_does_not(deployment, hours, tmp_path):
    # All of it is there before the worker is, so none of it is read by a better clock than the rest.
    served = [f"r{n}" for n in range(30)]
    await deployment.send([ask(name, timeout_ms=120_000) for name in served])
    await deployment.send([ask("late", timeout_ms=1)])
    log_file, ready_file = tmp_path / "wrong.log", tmp_path / "wrong.ready"
    worker = Child.start(
        (sys.executable, "-c", WORKER, str(hours)),
        env=deployment.environment(TIERSTREAM_READY_FILE=str(ready_file)),
        log_file=log_file,
    )
    try:
        check = HealthCheck(kind="ready_file", target=str(ready_file))
        await wait_healthy(worker, check, name="worker", log_file=log_file, timeout_s=90)
        found = await deployment.settled([*served, "late"])
    finally:
        worker.kill()
    assert {found[name].status for name in served} == {"ok"}
    assert {found[name].tier for name in served} == {1}
    assert found["late"].status == "expired"
    hops = [hop for record in await deployment.read(HOPS) for hop in record.hops if hop.stage == "infer:1"]
    assert max(hop.queue_ms for hop in hops) < timedelta(hours=1) / timedelta(milliseconds=1)
    way = "ahead of" if hours > 0 else "behind"
    assert f"the clock of this machine is {abs(hours) * 3600} s {way} the brokers'" in log_file.read_text()
