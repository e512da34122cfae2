"""The steps of a request on a real broker: published once, with its result, whatever was delivered again."""

import asyncio
import json

import pytest
from support.deployment import Deployment

from streams.kafka.publisher import Output, Publisher
from streams.runtime.outcomes import given_up
from tierstream.simulator.server import RunningSimulator
from tierstream.verify.findings import Check
from tierstream.verify.verification import VerifyOptions, verify
from topics.codec import encode
from topics.events import DROPPED, Hop, Status, StatusKind
from topics.registry import ESCALATIONS, HOPS, OUTCOMES, PARKED, RESULTS, STATUS, TopicSpec, tier_tasks
from topics.requests import Request
from topics.results import ResultStatus

CHEAP = {"context": {"self_validating": True}, "service_class": "bulk"}
"""What the rules send to the first tier, whatever the classifier thinks."""
QUESTION = "What is Kafka?"
CONFIG = """
[attempts]
max_attempts = 100000
parked_s = 0.2
retry_pause_s = 0.02
[breakers]
min_calls = 100000
"""


@pytest.fixture
def deployment_options():
    """Tasks come back soon, and what is down is asked again each time."""
    return {"config": CONFIG}


def teach(simulator: RunningSimulator, prompt: str) -> None:
    """Have the first tier be unsure of the answer, and the others know it."""
    line = {"prompt": prompt, "label": 2, "answer": "A log.", "failure": "hedge"}
    simulator.script.add_lines(json.dumps(line), "test")


def ask(request_id: str, *, text: str = QUESTION, **fields) -> Request:
    messages = [{"role": "user", "content": text}]
    return Request.model_validate({"request_id": request_id, "messages": messages, **CHEAP, **fields})


async def at_least(deployment: Deployment, spec: TopicSpec, count: int) -> list:
    """Wait until a topic has so many records; return all there are."""
    while len(found := await deployment.read(spec)) < count:
        deployment.check()
        await asyncio.sleep(0.05)
    return found


async def published(deployment: Deployment, request_id: str) -> list[list[Hop]]:
    """The steps of a request, a list for each record."""
    return [list(record.hops) for record in await deployment.read(HOPS) if record.request_id == request_id]


def names(hops: list[Hop]) -> list[tuple[str, str]]:
    return [(hop.stage, hop.outcome) for hop in hops]


async def deliver_again(deployment: Deployment, output: Output) -> None:
    async with Publisher(deployment.kafka) as publisher:
        await publisher.publish([output])


@pytest.mark.slow
async def test_the_steps_of_a_request_are_published_once_and_in_order_with_its_result(deployment, simulator):
    """However often its task was delivered, and though a process that had worked on it was killed."""
    teach(simulator, QUESTION)
    stages = ("classify", "infer:1", "escalate", "infer:2")
    worker = await deployment.start_worker(*stages)
    await deployment.send([ask("r1")])
    await at_least(deployment, OUTCOMES, 1)
    deployment.unwatch(worker).kill()
    [task] = await deployment.read(tier_tasks(1))
    await deliver_again(deployment, Output(tier_tasks(1), task))
    await deployment.start_worker(*stages)
    await at_least(deployment, OUTCOMES, 2)
    assert await deployment.read(HOPS) == []

    await deployment.start_worker("settle", "validate", "infer:3", "parked")
    result = (await deployment.settled(["r1"]))["r1"]
    steps, *copies = await published(deployment, "r1")
    assert names(steps) == [
        ("classify", "routed"),
        ("infer:1", "hedge"),
        ("escalate", "escalated"),
        ("infer:2", "ok"),
        ("settle", "ok"),
    ]
    assert [hop.started_at for hop in steps] == sorted(hop.started_at for hop in steps)
    assert sum(hop.cost_usd or 0 for hop in steps) == result.cost_usd > 0
    # Of the copies there is only what they had come to, at no cost.
    route = [(DROPPED, attempt.attempt_id, None) for attempt in result.route]
    told = [[(hop.outcome, hop.attempt_id, hop.cost_usd) for hop in copy] for copy in copies]
    assert route in told
    assert all(copy == route[: len(copy)] for copy in told)
    assert len(simulator.calls) == 2


@pytest.mark.slow
async def test_what_a_copy_paid_for_in_vain_is_told_where_it_is_dropped(deployment, simulator):
    """It had taken another way while its request had no result: one ends in settle, another before that."""
    hedged = "What is a log?"
    teach(simulator, hedged)
    await deployment.start_worker("classify", "infer:1", "infer:3")
    await deployment.send([ask("r1"), ask("r2", text=hedged)])
    await at_least(deployment, OUTCOMES, 1)
    [escalation] = await at_least(deployment, ESCALATIONS, 1)
    for task in await deployment.read(tier_tasks(1)):
        await deliver_again(deployment, Output(tier_tasks(3), task.model_copy(update={"tier": 3})))
    outcomes = await at_least(deployment, OUTCOMES, 3)
    await deployment.start_worker("settle")
    results = await deployment.results(["r1", "r2"])
    assert {name: result.tier for name, result in results.items()} == {"r1": 1, "r2": 3}
    await deployment.start_worker("escalate", "infer:2", "validate", "parked")
    await deployment.quiet()

    [lost] = [outcome.route[0] for outcome in outcomes if (outcome.request_id, outcome.tier) == ("r1", 3)]
    [wasted] = escalation.task.attempts
    told = {
        (record.request_id, hop.stage, hop.attempt_id)
        for record in await deployment.read(HOPS)
        for hop in record.hops
        if hop.outcome == DROPPED
    }
    assert told == {("r1", "settle", lost.attempt_id), ("r2", "escalate", wasted.attempt_id)}
    verdict = await verify(deployment.settings, VerifyOptions(served_url=simulator.url), lambda *_: None)
    assert verdict.findings.ok, verdict.as_json()
    by_attempt = {call.attempt_id: str(call_id) for call_id, call in (await deployment.journal()).ended.items()}
    explained = {finding.subject for finding in verdict.findings.named(Check.REDELIVERED)}
    assert explained == {by_attempt[lost.attempt_id], by_attempt[wasted.attempt_id]}


async def test_each_attempt_is_told_to_those_who_ask(deployment):
    await deployment.start_worker()
    await deployment.send([ask("asks", progress=True), ask("streams", stream=True), ask("waits")])
    await deployment.settled(["asks", "streams", "waits"])
    told: dict[str, list[StatusKind]] = {}
    for status in await deployment.read(STATUS):
        assert isinstance(status, Status)
        told.setdefault(status.request_id, []).extend(event.kind for event in status.events)
    assert told["waits"] == ["accepted", "routed", "settled"]
    # The stage that publishes these is not the one that publishes those: their order is no promise.
    each = sorted([*told["waits"], "attempt_started"])
    assert sorted(told["asks"]) == sorted(told["streams"]) == each


async def test_the_steps_of_a_task_that_rests_are_there_before_its_end(deployment, simulator):
    for provider in ("groq", "together"):
        simulator.set_behaviour(provider, down=True)
    await deployment.start_worker()
    await deployment.send([ask("r1", max_tier=1)])
    rests = await at_least(deployment, PARKED, 3)
    await at_least(deployment, HOPS, 3)
    before = await published(deployment, "r1")
    assert await deployment.read(RESULTS) == []
    # Each rest has what came since the last one, and the task does not carry it on.
    assert [(names(steps)[0], names(steps)[-1]) for steps in before[:3]] == [
        (("classify", "routed"), ("infer:1", "parked")),
        (("parked", "returned"), ("infer:1", "parked")),
        (("parked", "returned"), ("infer:1", "parked")),
    ]
    assert all(parked.task.hops == () for parked in rests)

    for provider in ("groq", "together"):
        simulator.set_behaviour(provider, down=False)
    result = (await deployment.settled(["r1"]))["r1"]
    after = await published(deployment, "r1")
    assert after[: len(before)] == before
    assert names(after[-1])[-2:] == [("infer:1", "ok"), ("settle", "ok")]
    told = [hop.attempt_id for steps in after for hop in steps if hop.attempt_id and hop.stage != "settle"]
    assert told == [attempt.attempt_id for attempt in result.route]


async def test_an_outcome_of_a_version_without_steps_is_settled(deployment):
    await deployment.start_worker("classify")
    await deployment.send([ask("r1")])
    [task] = await at_least(deployment, tier_tasks(1), 1)
    outcome = given_up("infer:1", task, (), ResultStatus.FAILED, "no_provider", "nobody").record
    encoded = encode(outcome)
    older = {name: value for name, value in json.loads(encoded.value).items() if name != "hops"}
    async with Publisher(deployment.kafka) as publisher:
        topic = OUTCOMES.full_name(deployment.kafka.prefix)
        await publisher.producer.send_and_wait(
            topic, json.dumps(older).encode(), key=encoded.key, headers=encoded.headers
        )
    await deployment.start_worker("settle")
    result = (await deployment.results(["r1"]))["r1"]
    assert (result.status, result.error.code) == ("failed", "no_provider")
    [steps] = await published(deployment, "r1")
    assert names(steps) == [("settle", "failed")]
