"""How fast the trained classifiers score: printed, in processor time of the thread; only the scores are asserted."""

import gc
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from support.in_memory import new_request

from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.request_classifier.classifier import RequestClassifier
from tierstream.demo.corpus import load
from tierstream.training.outcome_file import read_prompts

LIMIT = int(os.environ.get("TIERSTREAM_BENCH_PROMPTS", "5000"))
ROUNDS = 3


def prompts() -> list[str]:
    """The prompts of the file that TIERSTREAM_BENCH_PROMPT_FILE names, else those of the demo."""
    name = os.environ.get("TIERSTREAM_BENCH_PROMPT_FILE")
    found = [prompt.text for prompt in read_prompts(Path(name))] if name else [entry.prompt for entry in load()]
    return (found * (1 + 1000 // len(found)))[:LIMIT]


def test_the_classifier_of_requests():
    requests, classifier = [new_request(text) for text in prompts()], RequestClassifier.shipped()
    rounds = timed(lambda request: classifier.read(request, 3), requests)
    show("the classifier of requests", rounds)
    # What it remembers of words from one request to the next saves time and changes no score.
    anew = RequestClassifier.shipped()
    for request in requests[:200]:
        assert anew.read(request, 3) == classifier.read(request, 3)


def test_a_model_of_outcomes_one_by_one_and_in_batches():
    texts, model = prompts(), LearnedClassifier.shipped()
    rounds = timed(model.read, texts)
    started = time.thread_time()
    scores = model.score_many(texts)
    show("a model of outcomes", rounds, (time.thread_time() - started) / len(texts) * 1e6)
    assert np.allclose(scores, [model.read(text).score for text in texts], atol=1e-6)


def timed(read: Callable[[Any], object], inputs: Sequence[object]) -> np.ndarray:
    """Return the microseconds of each: (rounds, inputs)."""
    for one in inputs[:200]:
        read(one)
    gc.collect()
    gc.freeze()
    rounds = np.empty((ROUNDS, len(inputs)))
    for number in range(ROUNDS):
        for i, one in enumerate(inputs):
            started = time.thread_time_ns()
            read(one)
            rounds[number, i] = (time.thread_time_ns() - started) / 1000
    gc.unfreeze()
    return rounds


def show(what: str, rounds: np.ndarray, batch_us: float | None = None) -> None:
    table = Table(title=f"{what}: {rounds.shape[1]} texts, microseconds of processor time")
    for name in ("", "mean", "p50", "p99", "a second"):
        table.add_column(name, justify="right")
    for name, values in (("every reading", rounds.ravel()), ("best of each", rounds.min(axis=0))):
        p50, p99 = np.percentile(values, [50, 99])
        table.add_row(name, *(f"{v:.0f}" for v in (values.mean(), p50, p99, 1e6 / values.mean())))
    if batch_us is not None:
        table.add_row("in batches", f"{batch_us:.0f}", "", "", f"{1e6 / batch_us:.0f}")
    Console().print(table)
    p99_us = float(np.percentile(rounds, 99))
    print(json.dumps({"what": what, "mean_us": rounds.mean(), "p99_us": p99_us, "batch_us": batch_us}))
