"""Good and bad answers through a stack: who stops them, and what looking at them adds to cost and latency.

Each pair is sent twice, in random order: once with the free checks alone, and once with the judge on a share of the
answers. Two rules take the place of those of the settings: all start on the first tier, and what has a tag is judged.
"""

import asyncio
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import aiohttp

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from streams.config.settings import Settings
from streams.config.settings_problems import NESTED, VARIABLE_PREFIX
from streams.validation.judges import fit_to_judge
from tierstream.bench.answer_course import course_of
from tierstream.bench.answer_pairs import AnswerPair, distinct, script_of
from tierstream.bench.answer_report import (
    ALL_BAD,
    AddedCost,
    AnsweredPair,
    AnswersReport,
    Endings,
    Judge,
    latencies,
    stopped_by_kind,
)
from tierstream.bench.pipeline_run import this_machine
from tierstream.client.request_run import RunReport, run_requests
from tierstream.demo.demo_run import teach
from tierstream.training.labelled_answers import GOOD
from topics.requests import DataClass, Request
from topics.results import Result

ALONE: Final = "bench-checks-alone"
WITH_JUDGE: Final = "bench-with-judge"
_JUDGED: Final = "bench-judged"
_WARM_UP: Final = "bench-warm-up"
_WARM_UPS: Final = 12
_GIVE_UP_S: Final = 60.0
_LEDGER_WAIT_S: Final = 60.0
_LEDGER_POLL_S: Final = 0.25


@dataclass(frozen=True)
class AnswersPlan:
    """How pairs are sent.

    Attributes:
        sample_rate: Share of the answers that the judge looks at, 0 to 1.
        rate: Requests a second.
        seed: Decides their order, and which of them are judged.
    """

    sample_rate: float
    rate: float
    seed: int


@dataclass(frozen=True)
class _Asked:
    pair: AnswerPair
    arm: str
    request: Request


def measured_environment() -> dict[str, str]:
    """Return the variables by which workers start with the first tier and judge what they are told to, and no more."""
    arms = [ALONE, WITH_JUDGE, _WARM_UP]
    rules = [
        {"name": "bench-first-tier", "when": {"tags": arms}, "tier": 1},
        {"name": "bench-judged", "when": {"tags": [_JUDGED]}, "validate_answer": True},
    ]
    return {
        f"{VARIABLE_PREFIX}ROUTING{NESTED}RULES": json.dumps(rules),
        f"{VARIABLE_PREFIX}VALIDATION{NESTED}SAMPLE_RATE": "0",
    }


async def run_answers(
    settings: Settings,
    simulator: str,
    pairs: Sequence[AnswerPair],
    plan: AnswersPlan,
    tell: Callable[[str], None],
) -> AnswersReport:
    """Send every pair through a stack whose workers have `measured_environment`.

    Args:
        settings: With the addresses of Kafka and ClickHouse.
        simulator: URL of the provider simulator.
        pairs: What is asked and answered.
        plan: How.
        tell: Is told what goes on.
    """
    asked_about, repeated = distinct(pairs)
    await teach(simulator, script_of(asked_about))
    tell("warm-up")
    await _send(settings, list(_warm_ups(settings.top_tier)), plan.rate)
    asked = _asked(asked_about, plan)
    tell(f"{len(asked)} requests, {plan.rate:g}/s: {len(asked) / plan.rate:.0f} s")
    results, sent = await _send(settings, [one.request for one in asked.values()], plan.rate)
    found = {name: _answered(one, results) for name, one in asked.items()}
    ledger = await _read_ledger(settings, results)
    arms = {
        arm: [one for name, one in found.items() if one is not None and asked[name].arm == arm]
        for arm in (ALONE, WITH_JUDGE)
    }
    costs = {arm: AddedCost.of(arms[arm], *ledger[arm]) for arm in arms}
    kinds = stopped_by_kind(arms[WITH_JUDGE])
    return AnswersReport(
        machine=this_machine(),
        seed=plan.seed,
        rate=plan.rate,
        judge=await _judge(settings, simulator, plan),
        pairs=len(pairs),
        repeated=tuple(pair.id for pair in repeated),
        requests=len(asked),
        results=len(results),
        missing=len(sent.missing),
        duplicates=sent.duplicates,
        unmeasured=tuple(sorted({asked[name].pair.id for name, one in found.items() if one is None})),
        good=kinds.pop(GOOD),
        bad=kinds.pop(ALL_BAD),
        kinds=tuple(kinds.values()),
        endings=Endings.of(arms[WITH_JUDGE]),
        without_judge=costs[ALONE],
        with_judge=costs[WITH_JUDGE],
        latency=latencies([*arms[ALONE], *arms[WITH_JUDGE]]),
    )


def _warm_ups(top_tier: int) -> Iterator[Request]:
    """Yield requests by which the worker loads the SDKs of all tiers and of the judge."""
    for number in range(_WARM_UPS):
        fields: dict[str, Any] = {
            "request_id": f"{_WARM_UP}-{number}",
            "messages": [{"role": "user", "content": f"What is {number} and one?"}],
            "tags": [_WARM_UP, *([_JUDGED] if number % 2 else [])],
            "min_tier": 1 + number // 2 % top_tier,
        }
        yield Request.model_validate(fields)


def _asked(pairs: Sequence[AnswerPair], plan: AnswersPlan) -> dict[str, _Asked]:
    draw = random.Random(plan.seed)  # noqa: S311 - a run has to be reproducible, not unpredictable
    judged = set(draw.sample(range(len(pairs)), round(plan.sample_rate * len(pairs))))
    asked = []
    for number, pair in enumerate(pairs):
        for arm in (ALONE, WITH_JUDGE):
            tags = (*pair.request.tags, arm, *([_JUDGED] if arm == WITH_JUDGE and number in judged else []))
            update = {"request_id": f"{arm}-{number:06d}", "tags": tags}
            asked.append(_Asked(pair, arm, pair.request.model_copy(update=update)))
    draw.shuffle(asked)
    return {one.request.request_id: one for one in asked}


async def _send(settings: Settings, requests: Sequence[Request], rate: float) -> tuple[dict[str, Result], RunReport]:
    results: dict[str, Result] = {}
    report = await run_requests(
        settings,
        requests,
        on_result=lambda result: results.update({result.request_id: result}),
        timeout_s=_GIVE_UP_S,
        rate=rate,
    )
    return results, report


def _answered(one: _Asked, results: Mapping[str, Result]) -> AnsweredPair | None:
    """Return what became of an answer; None where the first tier did not give it as it stands in the file."""
    result = results.get(one.request.request_id)
    course = None if result is None else course_of(result, one.pair.right_from)
    if result is None or course is None:
        return None
    if not course.escalated and (result.content or "").strip() != one.pair.answer.strip():
        return None
    return AnsweredPair(one.pair, result, course)


async def _read_ledger(settings: Settings, results: Mapping[str, Result]) -> dict[str, tuple[int, dict[str, Decimal]]]:
    """Wait until the sink has written results and calls; return, for each arm, its requests and its cost by purpose."""
    total = sum((result.cost_usd for result in results.values()), start=Decimal(0))
    deadline = asyncio.get_running_loop().time() + _LEDGER_WAIT_S
    async with open_client(settings.clickhouse.url or "") as client:
        while True:
            found = {}
            for arm in (ALONE, WITH_JUDGE):
                window = LedgerWindow(client, settings.clickhouse.database, tag=arm)
                [totals] = await window.rows("summary_totals")
                calls = {row["purpose"]: row["cost"] for row in await window.rows("summary_calls")}
                found[arm] = totals["requests"], calls
            requests = sum(count for count, _ in found.values())
            spent = sum((sum(calls.values(), start=Decimal(0)) for _, calls in found.values()), start=Decimal(0))
            is_written = requests >= len(results) and spent >= total
            if is_written or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(_LEDGER_POLL_S)


async def _judge(settings: Settings, simulator: str, plan: AnswersPlan) -> Judge | None:
    """Ask the simulator how often its judge is told to be wrong."""
    first = settings.tiers[0].models[0]
    answerer = [(first.provider, first.model)]
    judge = next(iter(fit_to_judge(settings, settings.validation.chain, answerer, DataClass.INTERNAL)), None)
    if judge is None or not plan.sample_rate:
        return None
    async with aiohttp.ClientSession() as session, session.get(f"{simulator}/control") as response:
        behaviours = await response.json()
    error_rate = behaviours[judge.provider][judge.model]["judge_error_rate"]
    return Judge.simulated(judge.ref, error_rate, plan.sample_rate)
