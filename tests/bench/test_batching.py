"""What batches and shared calls bring and cost: printed; only the results and the bill are asserted."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain

import pytest
from rich.console import Console
from rich.table import Table
from support.deployment import Deployment, JournalRecords

from streams.calls.pricing import PriceBook
from tierstream.client.request_run import run_requests
from tierstream.simulator.behaviour import load_config
from tierstream.simulator.server import RunningSimulator, running_simulator
from topics.journal import CallEnded, Usage
from topics.requests import Request
from topics.results import Result

ROUNDS = int(os.environ.get("TIERSTREAM_BENCH_ROUNDS", "8"))
BURST = int(os.environ.get("TIERSTREAM_BENCH_BURST", "100"))
WAITS_MS = {"off": 0, "on": 100}
"""Longest wait of a batch in each of the two deployments."""
LIMIT_PER_MINUTE = 3000
"""Requests that each deployment sends to the first tier at most; its provider takes as many from both together."""
IDLE_REQUESTS = 20
REPEATED, OTHERS, SAME = 400, 600, 20
"""Requests that repeat another, requests of their own, and how many identical ones come in a burst."""


@pytest.fixture
async def simulator() -> AsyncIterator[RunningSimulator]:
    config = load_config().model_copy(update={"calls_in_memory": 1_000_000})
    async with running_simulator(config=config) as running:
        running.set_behaviour(judge_error_rate=0)
        yield running


def tiers(batching: str) -> str:
    """Two tiers, so that a limit that is met shows as a promotion and not as a failure."""
    return f"""
[[tiers]]
name = "one"
models = [
    {{ provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 20, requests_per_minute = {LIMIT_PER_MINUTE} }},
]
batching = {{ {batching} }}

[[tiers]]
name = "two"
models = [{{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }}]
"""


def asked(request_id: str, subject: str, **fields: object) -> Request:
    made = {
        "request_id": request_id,
        "messages": [{"role": "user", "content": f"What is {subject}?"}],
        "context": {"self_validating": True},
        "service_class": "bulk",
    }
    return Request.model_validate({**made, **fields})


@dataclass
class Phase:
    """The results of a deployment under one kind of load."""

    results: list[Result] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def latency_ms(self, share: float) -> float:
        ranked = sorted(result.latency_ms for result in self.results)
        return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


async def ask(deployment: Deployment, requests: list[Request], phase: Phase) -> None:
    report = await run_requests(deployment.settings, requests, on_result=phase.results.append, timeout_s=60)
    assert report.missing == ()
    assert report.duplicates == 0
    phase.statuses.update(report.statuses)


@pytest.mark.timeout(600)
async def test_batches_on_and_off(kafka, simulator, tmp_path):
    """The same bursts and the same single requests by turns to two deployments, of which one batches."""
    simulator.set_behaviour("groq", requests_per_minute=2 * LIMIT_PER_MINUTE)
    made: dict[str, Deployment] = {}
    busy: dict[str, Phase] = defaultdict(Phase)
    idle: dict[str, Phase] = defaultdict(Phase)
    async with AsyncExitStack() as stack:
        for name, wait_ms in WAITS_MS.items():
            folder = tmp_path / name
            folder.mkdir()
            config = tiers(f"max_wait_ms = {wait_ms}")
            one = Deployment(kafka.bootstrap_servers, folder, simulator_url=simulator.url, config=config)
            made[name] = await stack.enter_async_context(one.running())
            await one.start_worker()
        for round_ in range(ROUNDS):
            # Whoever comes second finds warmer caches and fuller limits, so they take turns at that too.
            for name in sorted(made, reverse=bool(round_ % 2)):
                burst = [asked(f"{name}-{round_}-{n}", f"number {round_} {n}") for n in range(BURST)]
                await ask(made[name], burst, busy[name])
                for n in range(IDLE_REQUESTS // 4):
                    await ask(made[name], [asked(f"{name}-{round_}-idle-{n}", f"idle {round_} {n}")], idle[name])
        journals = {name: await one.journal() for name, one in made.items()}
    show(journals, busy, idle)
    for name in made:
        assert set(busy[name].statuses | idle[name].statuses) == {"ok"}


def show(journals: dict[str, JournalRecords], busy: dict[str, Phase], idle: dict[str, Phase]) -> None:
    table = Table(title=f"{ROUNDS} bursts of {BURST} by turns, batches off and on; provider limits on")
    for name in ("batches", "p50 ms", "p95 ms", "idle p50", "idle p95", "calls", "429s", "size", "wait ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("tokens", "cost $", "promoted"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, journal in journals.items():
        ended = list(journal.ended.values())
        mean_size = sum(call.batch_size for call in ended) / len(ended)
        table.add_row(
            name,
            *(f"{phase[name].latency_ms(share):.0f}" for phase in (busy, idle) for share in (0.5, 0.95)),
            str(len(ended)),
            str(sum(call.error is not None and call.error.kind == "rate_limited" for call in ended)),
            f"{mean_size:.1f}",
            f"{sum(call.batch_wait_ms for call in ended) / len(ended):.1f}",
            str(sum(call.usage.input + call.usage.output for call in ended if call.usage)),
            str(sum((call.cost_usd for call in ended), Decimal(0))),
            str(sum(result.tier != 1 for result in busy[name].results)),
        )
    Console(width=130).print(table)


def bursts(kind: str, **fields: object) -> Iterator[list[Request]]:
    """Yield bursts; in each, requests that are identical and others of their own."""
    count = REPEATED // SAME
    for burst in range(count):
        same = [asked(f"{kind}-same-{burst}-{n}", f"same {burst}", **fields) for n in range(SAME)]
        others = [asked(f"{kind}-{burst}-{n}", f"single {burst} {n}", **fields) for n in range(OTHERS // count)]
        # Mixed, as they would come.
        yield [one for pair in zip(same, others, strict=False) for one in pair] + others[len(same) :]


KINDS = {
    "one user at temperature 0": ("shared_features = []", {"user_id": "ada", "params": {"temperature": 0}}),
    "a shared feature": ('shared_features = ["faq"]', {"feature": "faq"}),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_thousand_requests_of_which_many_are_identical(kafka, simulator, tmp_path, kind):
    batching, fields = KINDS[kind]
    made = Deployment(kafka.bootstrap_servers, tmp_path, simulator_url=simulator.url, config=tiers(batching))
    all_bursts = list(bursts("r", **fields))
    requests = list(chain.from_iterable(all_bursts))
    answers = {request.question: f"{request.question[8:-1]} is a number." for request in requests}
    entries = [{"prompt": prompt, "label": 1, "answer": answer} for prompt, answer in answers.items()]
    simulator.script.add_lines("\n".join(json.dumps(entry) for entry in entries), "bench")
    phase = Phase()
    async with made.running():
        await made.start_worker()
        for burst in all_bursts:
            await ask(made, burst, phase)
        await made.quiet()
        ended = [record for record in (await made.journal()).records if isinstance(record, CallEnded)]
    assert {result.request_id: result.content for result in phase.results} == {
        request.request_id: answers[request.question] for request in requests
    }

    shares = defaultdict(list)
    for record in ended:
        shares[str(record.call_id)].append(record)
    prices = PriceBook(made.settings.prices, made.settings.providers)
    bill = saved = Decimal(0)
    for call in simulator.calls:
        parts = shares[str(call["call_id"])]
        usage = billed(call["usage"])
        cost = prices.rates(str(call["provider"]), str(call["model"]), parts[0].started_at, usage).cost(usage)
        assert sum((part.cost_usd for part in parts), Decimal(0)) == cost
        bill += cost
        saved += cost * (len(parts) - 1)
    paid = sum((result.cost_usd for result in phase.results), Decimal(0))
    print(
        f"\n{kind}: {len(requests)} requests ({REPEATED} in bursts of {SAME} identical ones), "
        f"{len(simulator.calls)} calls, {len(requests) - len(simulator.calls)} saved\n"
        f"paid ${paid}, the provider's bill ${bill}, saved ${saved}\n"
        f"requests by how many shared their call: {dict(sorted(Counter(part.shares for part in ended).items()))}; "
        f"p50 {phase.latency_ms(0.5):.0f} ms, p95 {phase.latency_ms(0.95):.0f} ms"
    )
    assert paid == bill


def billed(usage: object) -> Usage:
    assert isinstance(usage, dict)
    return Usage(
        input=usage["input_tokens"],
        output=usage["output_tokens"],
        cached=usage["cached_tokens"],
        reasoning=usage["reasoning_tokens"],
    )
