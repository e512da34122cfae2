"""Judges, feedback, shadows and canaries while what runs them dies, stops, or is given rubbish."""

import asyncio
import json
import os
import signal
from base64 import b64encode
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from support.deployment import Deployment
from support.in_memory import new_task

from agents import STAGES
from agents.parked import STAGE as PARKING
from agents.settle import STAGE as SETTLE
from streams.control.control_follower import read_control
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher, started_producer
from streams.learning.canary import canary_of
from tierstream.operations.canaries import canary_reports, ordered
from tierstream.operations.dead_letters import DeadLetters
from tierstream.simulator.server import RunningSimulator, running_simulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import Verification, VerifyOptions, verify
from topics.base import Record, from_millis
from topics.codec import encode
from topics.control import BreakerStatus
from topics.events import DeadLetter
from topics.feedback import Feedback, FeedbackKind
from topics.partitioning import partition_for
from topics.registry import (
    CONTROL,
    DEAD_LETTERS,
    ESCALATIONS,
    FEEDBACK,
    HOPS,
    PARKED,
    RESULTS,
    SHADOW,
    VALIDATION,
    TopicSpec,
    tier_tasks,
)
from topics.requests import Request
from topics.results import Result, ResultStatus
from topics.tasks import Answer, Completion, Escalation, Parked, TierTask

CANDIDATE, CANARY = "gpt-6-luna", "gpt-6.1-terra"
JUDGES = (("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-5-5"))
pytestmark = pytest.mark.slow
CONFIG = f"""
[[routing.rules]]
name = "contracts"
when = {{ feature = ["contracts"] }}
tier = 1
validate_answer = true

[[routing.rules]]
name = "second"
when = {{ feature = ["second"] }}
tier = 2

[[routing.rules]]
name = "first"
when = {{ feature = ["first"] }}
tier = 1

[validation]
judge = {{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }}
fallback = {{ provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 }}
without_judge = "park"

[attempts]
parked_s = 0.2

[[shadow]]
name = "luna"
tier = 1
model = {{ provider = "openai", model = "{CANDIDATE}", timeout_s = 20 }}
share = 1
budget_usd_per_day = 1000000000
judges = [{{ provider = "anthropic", model = "claude-haiku-5-5" }}]

[[canary]]
name = "terra"
tier = 2
model = {{ provider = "openai", model = "{CANARY}", timeout_s = 20 }}
share = 0.999999
"""


@pytest.fixture
async def simulator():
    """Calls that take some time, so that a crash meets some of them on the wire."""
    async with running_simulator(time_scale=1) as running:
        running.set_behaviour(ttft_ms=100, tokens_per_second=100_000, jitter=0.3, judge_error_rate=0)
        yield running


@pytest.fixture
def deployment_options():
    return {"kafka": {"session_timeout_s": 4}, "config": CONFIG}


def requests(simulator: RunningSimulator, count: int, feature: str = "first", *, label: int = 1) -> list[Request]:
    """Requests whose right answer a model of the tier `label` gives."""
    made, script = [], []
    for n in range(count):
        prompt = f"What is {feature} number {n}?"
        script.append({"prompt": prompt, "label": label, "answer": f"It is {n}.", "wrong": "No.", "failure": "wrong"})
        message = {"role": "user", "content": prompt}
        fields = {"request_id": f"{feature}{n}", "messages": [message], "feature": feature, "service_class": "bulk"}
        made.append(Request.model_validate(fields))
    simulator.script.add_lines("\n".join(map(json.dumps, script)), "test")
    return made


def ids(asked: list[Request]) -> list[str]:
    return [request.request_id for request in asked]


async def verified(deployment: Deployment, simulator: RunningSimulator) -> Verification:
    """Assert that the invariants hold, and that no call was paid for behind the end of its attempt."""
    (await deployment.journal()).assert_paid_once({call["call_id"] for call in simulator.calls})
    options = VerifyOptions(served_url=simulator.url, wait_s=30)
    verification = await verify(deployment.settings, options, lambda *_: None)
    assert verification.findings.ok, verification.findings.as_json()
    assert not verification.findings.counts[Check.PENDING]
    return verification


async def kill(deployment: Deployment, worker) -> None:
    deployment.unwatch(worker).kill()
    await deployment.start_worker()


async def revisions(deployment: Deployment, count: int) -> dict[tuple[str, int], Result]:
    """Wait for so many results and for the end of all work; each has come exactly once then."""
    while len(await deployment.read(RESULTS)) < count:
        deployment.check()
        await asyncio.sleep(0.05)
    await deployment.quiet()
    found = await deployment.read(RESULTS)
    once = {(result.request_id, result.revision): result for result in found}
    assert len(once) == len(found) == count
    return once


async def test_an_answer_that_rests_for_want_of_a_judge_is_kept_and_paid_once_whatever_dies(deployment, simulator):
    asked = requests(simulator, 40, "contracts")
    for provider, model in JUDGES:
        simulator.set_behaviour(provider, model, down=True)
    worker = await deployment.start_worker()
    await deployment.send(asked)
    while len(await deployment.read(PARKED)) < 10:
        deployment.check()
    deployment.unwatch(worker).kill()
    for provider, model in JUDGES:
        simulator.set_behaviour(provider, model, down=False)
    await deployment.start_worker()
    results = await deployment.settled(ids(asked))
    for result in results.values():
        assert (result.status, result.tier) == (ResultStatus.OK, 1)
        assert result.route[-1].outcome == "judge_pass"
        assert [line.outcome for line in result.route if line.stage == "infer:1"].count("ok") == 1
    await verified(deployment, simulator)


async def test_sampled_answers_in_work_survive_a_kill(deployment, simulator):
    asked = requests(simulator, 60, label=2)
    rate = {"TIERSTREAM_VALIDATION__SAMPLE_RATE": "0.99"}
    worker = await deployment.start_worker(**rate)
    await deployment.send(asked)
    while len(await deployment.read(VALIDATION)) < 20:
        deployment.check()
    deployment.unwatch(worker).kill()
    await deployment.start_worker(**rate)
    results = await deployment.settled(ids(asked))
    judged = [result for result in results.values() if any(line.stage == "validate" for line in result.route)]
    assert len(judged) > 40
    # What the judge refuses goes up, to where models know it.
    assert {result.tier for result in judged} == {2}
    await verified(deployment, simulator)


async def give(deployment: Deployment, said: list[Feedback], key: bytes) -> None:
    producer = await started_producer(deployment.kafka)
    try:
        for one in said:
            value = one.model_dump_json(exclude_none=True).encode()
            await producer.send_and_wait(FEEDBACK.full_name(deployment.kafka.prefix), value, key=key)
    finally:
        await producer.stop()


def wrong(asked: list[Request]) -> list[Feedback]:
    return [Feedback(request_id=one.request_id, kind=FeedbackKind.WRONG, retry=True) for one in asked]


async def test_feedback_on_what_is_being_settled_by_two_producers_at_once_is_one_revision(deployment, simulator):
    asked = requests(simulator, 40)
    others = [name for name in stages() if name != "feedback"]
    await deployment.start_worker(*others)
    worker = await deployment.start_worker("feedback")
    sending = asyncio.create_task(deployment.send(asked))
    # The feedback is there before, while and after its result is settled, and each half of it elsewhere.
    await asyncio.gather(give(deployment, wrong(asked), b"a"), give(deployment, wrong(asked), b"b"), sending)
    while len(await deployment.read(RESULTS)) < 20:
        deployment.check()
    deployment.unwatch(worker).kill()
    await deployment.start_worker("feedback")
    await deployment.results(ids(asked))
    await give(deployment, wrong(asked), b"c")
    found = await revisions(deployment, 80)
    assert {result.tier for (_, revision), result in found.items() if revision} == {2}
    verification = await verified(deployment, simulator)
    assert verification.counts["retried_revisions"] == 40


def stages() -> list[str]:
    """Name all stages of a worker."""
    return [*(stage.name for stage in STAGES), PARKING, SETTLE]


async def test_an_operators_retry_and_feedback_that_ask_for_the_same_revision_come_to_one_result(deployment, simulator):
    asked = requests(simulator, 20)
    await deployment.start_worker()
    await deployment.send(asked)
    results = await deployment.settled(ids(asked))
    letters = [
        letter_about(deployment, tier_tasks(1), task_about(request, results[request.request_id])) for request in asked
    ]
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(DEAD_LETTERS, letter) for letter in letters])
    dead = DeadLetters(deployment.settings)
    retries, problems = await dead.plan(await dead.entries())
    assert not problems
    assert {retry.revision for retry in retries} == {1}

    async def send() -> None:
        async for _ in dead.send(retries, by="ann"):
            pass

    await asyncio.gather(send(), give(deployment, wrong(asked), b"a"))
    found = await revisions(deployment, 40)
    assert {result.status for result in found.values()} == {"ok"}
    await verified(deployment, simulator)


async def test_what_an_operator_sends_again_to_the_judge_is_the_answer_of_its_revision(deployment, simulator):
    asked = requests(simulator, 3)
    await deployment.start_worker()
    await deployment.send(asked)
    results = await deployment.settled(ids(asked))
    records = [
        lambda task, given: Answer(task=task, completion=given),
        lambda task, given: Escalation(task=task.model_copy(update={"best": given, "tier": 3}), reason="judge: fail"),
        lambda task, given: Parked(task=task, reason="no judge", completion=given),
    ]
    specs = (VALIDATION, ESCALATIONS, PARKED)
    letters = []
    for request, spec, make in zip(asked, specs, records, strict=True):
        result = results[request.request_id]
        task = task_about(request, result)
        fields = {name: getattr(result, name) for name in Completion.model_fields if hasattr(result, name)}
        letters.append(letter_about(deployment, spec, make(task, Completion.model_validate(fields))))
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(DEAD_LETTERS, letter) for letter in letters])
    dead = DeadLetters(deployment.settings)
    retries, _ = await dead.plan(await dead.entries())
    async for _ in dead.send(retries, by="ann"):
        pass
    await revisions(deployment, 6)
    await verified(deployment, simulator)


def task_about(request: Request, result: Result) -> TierTask:
    """A task of a request that has its result."""
    deadline = from_millis(result.source.timestamp_ms) + timedelta(seconds=60)
    return new_task(request, tier=1, source=result.source, deadline=deadline, attempts=result.route)


def letter_about(deployment: Deployment, spec: TopicSpec[Any], record: Record) -> DeadLetter:
    """A record over which a handler raised."""
    encoded = encode(record)
    topic, now = spec.full_name(deployment.kafka.prefix), utc_now()
    return DeadLetter(
        stage="some",
        reason="handler_error",
        message="a handler raised",
        topic=topic,
        partition=partition_for(record.partition_key, deployment.kafka.partitions),
        offset=0,
        timestamp_ms=int(now.timestamp() * 1000),
        request_id=record.partition_key,
        key=b64encode(encoded.key),
        headers=tuple((name, b64encode(value)) for name, value in encoded.headers),
        value=b64encode(encoded.value),
        size=len(encoded.value),
        sha256="0" * 64,
        at=now,
    )


async def test_a_shadow_that_is_stopped_goes_on_and_a_candidate_that_is_down_harms_nobody(deployment, simulator):
    others = [name for name in stages() if name != "shadow"]
    await deployment.start_worker(*others)
    worker = await deployment.start_worker("shadow")
    simulator.set_behaviour("openai", CANDIDATE, down=True)
    first = requests(simulator, 30)
    await deployment.send(first)
    results = await deployment.settled(ids(first))
    assert {(result.tier, len(result.route)) for result in results.values()} == {(1, 1)}
    told = Counter(
        hop.outcome for record in await deployment.read(HOPS) for hop in record.hops if hop.stage == "shadow"
    )
    assert told == {"failed": 30}
    said = [record for record in await deployment.read(CONTROL) if isinstance(record, BreakerStatus)]
    assert {status.target for status in said if status.state == "open"} == {"shadow:luna"}
    simulator.set_behaviour("openai", CANDIDATE, down=False)
    # The same model serves the second tier, and its breaker there has nothing to do with it.
    [second] = requests(simulator, 1, "second")
    os.kill(worker.pid, signal.SIGSTOP)
    others = requests(simulator, 60)[30:]
    await deployment.send([second, *others])
    await deployment.results(ids([second, *others]))
    await asyncio.sleep(deployment.kafka.session_timeout_s + 1)
    taking_over = await deployment.start_worker("shadow")
    os.kill(worker.pid, signal.SIGCONT)
    deployment.unwatch(worker)
    await deployment.settled(ids([second, *others]))
    deployment.check()
    assert taking_over.exit_code is None
    hops = [
        (record.request_id, hop.outcome)
        for record in await deployment.read(HOPS)
        for hop in record.hops
        if hop.stage == "shadow"
    ]
    assert {name for name, outcome in hops if outcome != "compared"} == {*ids(first), *ids(others)}
    await verified(deployment, simulator)


async def test_rubbish_on_the_topics_of_feedback_and_shadow_is_dead_letters_and_stops_nobody(deployment, simulator):
    await deployment.start_worker()
    asked = requests(simulator, 3)
    values = [
        b"",
        b"\x00\xff\xfe",
        b"null",
        b"[]",
        b'{"request_id": 5}',
        b'{"task": {"request": {"request_id": "first0"}}}',
    ]
    large = json.dumps({"request_id": "first0", "kind": "wrong", "comment": "x" * 2_000_000}).encode()
    producer = await started_producer(deployment.kafka)
    try:
        for spec in (FEEDBACK, SHADOW):
            for value in (*values, large):
                await producer.send_and_wait(spec.full_name(deployment.kafka.prefix), value, key=b"x")
    finally:
        await producer.stop()
    await deployment.send(asked)
    results = await deployment.settled(ids(asked))
    assert {result.status for result in results.values()} == {"ok"}
    await give(deployment, wrong(asked), b"a")
    await revisions(deployment, 6)
    letters = Counter(letter.stage for letter in await deployment.read(DEAD_LETTERS))
    assert letters == {"feedback": 7, "shadow": 7}
    await verified(deployment, simulator)


async def test_a_canary_that_is_stopped_with_its_calls_on_the_wire_is_not_paid_twice(deployment, simulator):
    worker = await deployment.start_worker()
    asked = requests(simulator, 60, "second")
    await deployment.send(asked)
    await simulator.served(15)
    [report] = canary_reports(deployment.settings, await read_control(deployment.kafka))
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([Output(CONTROL, ordered(report, "stopped", by="ann", at=utc_now()))])
    deployment.unwatch(worker).kill()
    await deployment.start_worker()
    results = await deployment.settled(ids(asked))
    met = [result for result in results.values() if any(canary_of(line.why) for line in result.route)]
    assert 0 < len(met) < len(asked)
    for result in results.values():
        assert [line.outcome for line in result.route] == ["ok"]
    await verified(deployment, simulator)
