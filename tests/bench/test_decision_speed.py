"""How long a decision takes, from ordinary prompts to the largest request: printed, never asserted."""

import time
from contextlib import suppress

import pytest
from in_memory import new_request

from streams.context_windows import ContextTooLongError, ContextWindows
from streams.routing.mentions import mentions_money, mentions_personal_data
from streams.routing.signature import signature
from streams.settings import load
from tierstream.demo.corpus import load as load_corpus
from tierstream.worker import new_router
from topics.requests import Request

MEBIBYTE = 1 << 20


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("preset", ["three-tier", "max-quality"])
def test_decisions_of_ordinary_prompts(preset):
    """CPU time; the second preset also looks for money and personal data."""
    settings = load(overrides={"routing": {"preset": preset}})
    router = new_router(settings, ContextWindows(settings))
    requests = [Request.model_validate({**e.request_fields(), "request_id": e.id}) for e in load_corpus()]
    digests = [request.digest() for request in requests]
    taken = []
    for _ in range(20):
        for request, digest in zip(requests, digests, strict=True):
            started = time.process_time_ns()
            router.decide(request, digest)
            taken.append((time.process_time_ns() - started) / 1000)
    taken.sort()
    p50, p99 = (taken[int(len(taken) * share)] for share in (0.5, 0.99))
    print(f"\ndecision, {preset}: p50 {p50:.0f} us, p99 {p99:.0f} us, most {taken[-1]:.0f} us")


def test_signatures():
    text = (
        "The parcel with order 48213 arrived damaged, and she asks whether to send back only the broken lamp. " * 11
    )[:1024]
    started = time.process_time()
    for _ in range(2000):
        signature(text)
    print(f"\nsignature of 1 KB: {(time.process_time() - started) / 2000 * 1e6:.0f} us")


@pytest.mark.parametrize("piece", ["The quick brown fox has 12 dogs, ", "4111 1111 1111 1112 ", "İ手机1 "])
def test_the_largest_text(piece):
    text = (piece * MEBIBYTE)[: MEBIBYTE // len(piece[0].encode())]
    settings = load(overrides={"routing": {"preset": "max-quality"}})
    router, request = new_router(settings, ContextWindows(settings)), new_request(text)
    works = {
        "money": lambda: mentions_money(text),
        "personal data": lambda: mentions_personal_data(text),
        "decision": lambda: router.decide(request, "0" * 64),
    }
    for name, work in works.items():
        started = time.process_time()
        # No window need be so large; that is a decision too.
        with suppress(ContextTooLongError):
            work()
        print(f"\n{name} in 1 MiB of {piece!r}: {(time.process_time() - started) * 1000:.0f} ms", end="")
