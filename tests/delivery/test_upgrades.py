"""A deployment of the version before: its topics, and what it left in flight."""

import asyncio
import json
import sys
from typing import Any
from uuid import uuid4

from support.deployment import Deployment
from support.in_memory import new_task

from streams.kafka.admin import admin_client, create_topics
from streams.kafka.clock import utc_now
from streams.kafka.publisher import started_producer
from topics.base import Record
from topics.journal import Usage
from topics.partitioning import partition_for
from topics.registry import FEEDBACK, PARKED, SHADOW, VALIDATION, TopicSpec, tier_tasks
from topics.requests import Request
from topics.results import ResultStatus
from topics.tasks import Answer, Completion, Parked, Source, TierTask

NEWER = {"why", "withheld", "said", "classified_tier", "signature", "prefix", "prefix_tokens"}
"""Fields that the version before did not write, wherever they stand."""


def completion(content: str) -> Completion:
    """An answer of the first tier."""
    usage = Usage(input=10, output=1)
    who = {"tier": 1, "provider": "groq", "model": "openai/gpt-oss-20b"}
    return Completion(attempt_id=uuid4(), content=content, finish_reason="stop", usage=usage, **who)


async def command(deployment: Deployment, *arguments: str) -> tuple[int | None, str]:
    """Run a command to its end; return its exit code, and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tierstream", *arguments, env=deployment.environment(), stdout=-1, stderr=-2
    )
    shown, _ = await process.communicate()
    return process.returncode, shown.decode()


async def test_without_the_newer_topics_every_command_says_what_to_do(deployment):
    names = [spec.full_name(deployment.kafka.prefix) for spec in (FEEDBACK, SHADOW)]
    async with admin_client(deployment.kafka) as admin:
        await admin.delete_topics(names)
    for arguments in (("worker",), ("feedback", "r0", "wrong"), ("verify",)):
        code, shown = await command(deployment, *arguments)
        assert code not in {0, None}, arguments
        assert "Traceback" not in shown
        assert names[0] in shown
        assert "tierstream topics create" in " ".join(shown.split())
    code, shown = await command(deployment, "topics", "create")
    assert code == 0, shown
    await deployment.start_worker()


async def test_what_the_version_before_left_in_flight_is_served(deployment, simulator):
    prompt = "What is 2 + 2?"
    script = {"prompt": prompt, "label": 1, "answer": "4", "wrong": "5", "failure": "wrong"}
    simulator.script.add_lines(json.dumps(script), "test")
    simulator.set_behaviour(judge_error_rate=0)
    await create_topics(deployment.settings)
    now = utc_now()

    def task(request_id: str) -> TierTask:
        request = Request.model_validate(
            {"request_id": request_id, "messages": [{"role": "user", "content": prompt}], "service_class": "bulk"}
        )
        source = Source(topic="llm.requests", partition=0, offset=0, timestamp_ms=int(now.timestamp() * 1000))
        deadline = now + (deployment.settings.deadlines.longest)
        # Its sample, too, was told by `validate_answer`.
        return new_task(request, source=source, deadline=deadline, validate_answer=True)

    await produce(deployment, tier_tasks(1), task("task"))
    await produce(deployment, PARKED, Parked(task=task("parked"), reason="groq/openai/gpt-oss-20b: overloaded"))
    await produce(deployment, VALIDATION, Answer(task=task("right"), completion=completion("4")))
    await produce(deployment, VALIDATION, Answer(task=task("wrong"), completion=completion("5")))
    await deployment.start_worker()
    results = await deployment.settled(["task", "parked", "right", "wrong"])
    assert {result.status for result in results.values()} == {ResultStatus.OK}
    assert {name: result.tier for name, result in results.items()} == {"task": 1, "parked": 1, "right": 1, "wrong": 2}
    assert {result.content for result in results.values()} == {"4"}
    judged = {name for name, result in results.items() if any(line.stage == "validate" for line in result.route)}
    assert judged == {"task", "parked", "right", "wrong"}


async def produce(deployment: Deployment, spec: TopicSpec[Any], record: Record) -> None:
    """Write a record as the version before did, which had fewer fields."""
    value = json.dumps(_older(record.model_dump(mode="json"))).encode()
    partition = partition_for(record.partition_key, deployment.kafka.partitions)
    producer = await started_producer(deployment.kafka)
    try:
        headers = [("schema", record.SCHEMA.encode())]
        topic, key = spec.full_name(deployment.kafka.prefix), record.partition_key.encode()
        await producer.send_and_wait(topic, value, key=key, partition=partition, headers=headers)
    finally:
        await producer.stop()


def _older(value: Any) -> Any:
    """Take out what is newer. The `why` of a task and of its attempts is old: only that of an answer is not."""
    if not isinstance(value, dict):
        return value
    newer = NEWER - ({"why"} if "attempts" in value else set())
    return {name: _older(inner) for name, inner in value.items() if name not in newer}
