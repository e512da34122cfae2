"""How fast the learned classifier decides: printed, in processor time of the thread; only the scores are asserted."""

import gc
import json
import os
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from streams.routing.learned.classifier import LearnedClassifier
from tierstream.demo.corpus import load
from tierstream.training.outcome_file import read_prompts

LIMIT = int(os.environ.get("TIERSTREAM_BENCH_PROMPTS", "5000"))
ROUNDS = 3


def prompts() -> list[str]:
    """The prompts of the file that TIERSTREAM_BENCH_PROMPT_FILE names, else those of the demo."""
    name = os.environ.get("TIERSTREAM_BENCH_PROMPT_FILE")
    found = [prompt.text for prompt in read_prompts(Path(name))] if name else [entry.prompt for entry in load()]
    return (found * (1 + 1000 // len(found)))[:LIMIT]


def test_single_decisions_and_batches():
    texts, model = prompts(), LearnedClassifier.shipped()
    for text in texts[:200]:
        model.read(text)
    gc.collect()
    gc.freeze()
    rounds = np.empty((ROUNDS, len(texts)))
    for number in range(ROUNDS):
        for i, text in enumerate(texts):
            started = time.thread_time_ns()
            model.read(text)
            rounds[number, i] = (time.thread_time_ns() - started) / 1000
    started = time.thread_time()
    scores = model.score_many(texts)
    batch = (time.thread_time() - started) / len(texts) * 1e6
    gc.unfreeze()
    table = Table(title=f"{len(texts)} decisions, microseconds of processor time")
    for name in ("", "mean", "p50", "p99", "a second"):
        table.add_column(name, justify="right")
    for name, values in (("every decision", rounds.ravel()), ("best of each", rounds.min(axis=0))):
        p50, p99 = np.percentile(values, [50, 99])
        table.add_row(name, *(f"{v:.0f}" for v in (values.mean(), p50, p99, 1e6 / values.mean())))
    table.add_row("in batches", f"{batch:.0f}", "", "", f"{1e6 / batch:.0f}")
    Console().print(table)
    print(json.dumps({"mean_us": rounds.mean(), "p99_us": float(np.percentile(rounds, 99)), "batch_us": batch}))
    assert np.allclose(scores, [model.read(text).score for text in texts], atol=1e-6)
