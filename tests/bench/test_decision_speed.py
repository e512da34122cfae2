"""How long a decision takes, from ordinary prompts to the largest request: printed, never asserted."""

import gc
import os
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from support.in_memory import new_request

from streams.config.eligible_models import EligibleModels, NoModelError
from streams.config.settings import load
from streams.routing.conversation_signals import signals
from streams.routing.sensitive_text import mentions_money, mentions_personal_data
from streams.routing.simhash import signature
from tierstream.demo.corpus import load as load_corpus
from tierstream.training.outcome_file import read_prompts
from tierstream.worker import new_router
from topics.requests import Request

MEBIBYTE = 1 << 20
LIMIT = int(os.environ.get("TIERSTREAM_BENCH_PROMPTS", "2000"))
ROUNDS = 5


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("preset", ["three-tier", "two-tier", "max-savings", "max-quality"])
def test_the_local_decision(preset):
    """Policy, features, the shipped model and signature, in processor time: every decision, and the best of each."""
    settings = load(overrides={"routing": {"preset": preset, "classifier": "learned"}})
    router = new_router(settings, EligibleModels(settings))
    requests = ordinary_requests()
    digests = [request.digest() for request in requests]
    gc.collect()
    gc.freeze()
    rounds = np.empty((ROUNDS, len(requests)))
    for number in range(ROUNDS):
        for i, (request, digest) in enumerate(zip(requests, digests, strict=True)):
            started = time.thread_time_ns()
            router.draft(request, digest, 0)
            rounds[number, i] = (time.thread_time_ns() - started) / 1000
    gc.unfreeze()
    for name, values in (("every decision", rounds.ravel()), ("best of each", rounds.min(axis=0))):
        p50, p99 = np.percentile(values, [50, 99])
        print(
            f"\n{preset}, {len(requests)} requests, {name}: mean {values.mean():.0f} us"
            f" ({1e6 / values.mean():.0f} a second), p50 {p50:.0f} us, p99 {p99:.0f} us",
            end="",
        )


def test_the_signals_of_a_conversation():
    """Of six messages of some 120 characters, in processor time."""
    asked = (
        "The query that counts the open orders still takes forty seconds. Which index would make it faster, and why?"
    )
    answered = "You can add a partial index on the status, and let the planner know of it by analysing the table anew."
    turns = [f"{asked} {number}" if number % 2 == 0 else answered for number in range(5)]
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate([*turns, turns[0]])]
    messages[-1]["role"] = "user"
    request = Request.model_validate({"request_id": "r", "messages": messages})
    values = []
    for _ in range(2_000):
        started = time.thread_time_ns()
        signals(request)
        values.append((time.thread_time_ns() - started) / 1000)
    p50, p99 = np.percentile(values, [50, 99])
    print(f"\nsignals: p50 {p50:.0f} us, p99 {p99:.0f} us", end="")


def ordinary_requests() -> list[Request]:
    """The prompts of the file that TIERSTREAM_BENCH_PROMPT_FILE names, else the demo's requests."""
    name = os.environ.get("TIERSTREAM_BENCH_PROMPT_FILE")
    if name:
        prompts = [prompt.text for prompt in read_prompts(Path(name))]
        return [new_request(prompt) for prompt in prompts[:: max(1, len(prompts) // LIMIT)]]
    return [Request.model_validate({**e.request_fields(), "request_id": e.id}) for e in load_corpus()]


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
    router, request = new_router(settings, EligibleModels(settings)), new_request(text)
    works = {
        "money": lambda: mentions_money(text),
        "personal data": lambda: mentions_personal_data(text),
        "decision": lambda: router.draft(request, "0" * 64, 0),
    }
    for name, work in works.items():
        started = time.process_time()
        # No window need be so large; that is a decision too.
        with suppress(NoModelError):
            work()
        print(f"\n{name} in 1 MiB of {piece!r}: {(time.process_time() - started) * 1000:.0f} ms", end="")
