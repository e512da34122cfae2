"""How fast it is: printed, never asserted. `make bench` shows the figures."""

import time
from collections.abc import Callable

import psutil
import pytest

from streams.config.eligible_models import EligibleModels
from tierstream.client.request_run import run_requests
from tierstream.demo.corpus import load as load_corpus
from tierstream.demo.corpus import sample
from tierstream.worker import new_router
from topics.codec import decode, encode
from topics.messages import Message
from topics.registry import REQUESTS
from topics.requests import Request


def corpus_requests() -> list[Request]:
    return [Request.model_validate({**entry.request_fields(), "request_id": entry.id}) for entry in load_corpus()]


def per_call(work: Callable[[Request], object], requests: list[Request], rounds: int = 20) -> float:
    """CPU microseconds a call."""
    started = time.process_time()
    for _ in range(rounds):
        for request in requests:
            work(request)
    return (time.process_time() - started) / (rounds * len(requests)) * 1e6


def test_a_decision(deployment):
    router = new_router(deployment.settings, EligibleModels(deployment.settings))
    requests = corpus_requests()
    digests = {request.request_id: request.digest() for request in requests}
    cost = per_call(lambda request: router.draft(request, digests[request.request_id], 0), requests)
    print(f"\nrouting decision: {cost:.0f} us of CPU")


def test_the_codec():
    requests = corpus_requests()
    encoded = {request.request_id: encode(request) for request in requests}

    def read(request):
        value = encoded[request.request_id]
        return decode(REQUESTS, value.value, value.headers)

    print(f"\nencode: {per_call(encode, requests):.0f} us, decode: {per_call(read, requests):.0f} us of CPU")


@pytest.mark.parametrize(("rate", "count"), [(20, 200), (60, 600), (None, 1500)])
async def test_the_whole_path(deployment, rate, count):
    """One worker, the broker and the simulator (which answers at once) on this machine."""
    worker = await deployment.start_worker()
    process = psutil.Process(worker.pid)
    # A vendor's SDK is imported when a call first needs it.
    first = [
        Request(request_id=f"first-{tier}", messages=(Message(role="user", content="Hello"),), min_tier=tier)
        for tier in (1, 2, 3)
    ]
    await run_requests(deployment.settings, first, on_result=lambda _: None, timeout_s=60)
    requests = [
        Request.model_validate({**entry.request_fields(), "request_id": f"bench-{number}"})
        for number, entry in enumerate(sample(count, 1))
    ]
    own = []
    before = process.cpu_times()
    report = await run_requests(
        deployment.settings,
        requests,
        on_result=lambda result: own.append(result.latency_ms - result.provider_ms),
        timeout_s=60,
        rate=rate,
    )
    after = process.cpu_times()
    spent = (after.user + after.system - before.user - before.system) / count * 1000
    own.sort()
    p50, p95 = (sorted(own)[int(len(own) * share)] for share in (0.5, 0.95))
    print(f"\n{rate or 'unlimited'} requests/s: {count / report.elapsed_s:.0f}/s served")
    print(f"{spent:.1f} ms of worker CPU a request; own time p50 {p50:.0f} ms, p95 {p95:.0f} ms")
