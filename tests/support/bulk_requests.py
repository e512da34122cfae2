"""A deployment whose bulk requests wait for batches of their providers, and what is to be true of it in the end."""

import asyncio
from collections.abc import Mapping

from support.deployment import Deployment

from tierstream.simulator.server import RunningSimulator
from topics.bulk import Submission, SubmissionEnded, Submitted
from topics.journal import CallEnded
from topics.registry import SUBMISSIONS
from topics.requests import Request

TIERS = """
[[tiers]]
name = "fast open-weight"
batching = { provider = true }
models = [
    { provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 5, extra = { reasoning_effort = "low" } },
    { provider = "together", model = "openai/gpt-oss-120b", timeout_s = 8 },
]

[[tiers]]
name = "small closed"
batching = { provider = true }
models = [{ provider = "openai", model = "gpt-6-luna", timeout_s = 20 }]

[[tiers]]
name = "frontier"
batching = { provider = true }
models = [{ provider = "anthropic", model = "claude-opus-5-5", timeout_s = 60 }]
"""


def config(**bulk: object) -> str:
    """Write settings in which every tier waits; `bulk` are settings of that section."""
    lines = {"wait_s": 0.3, "poll_s": 0.2, "doubt_s": 0.5, "least_s": 20, "reserve_s": 5, **bulk}
    section = "\n".join(f"{name} = {value}" for name, value in lines.items())
    return f"{TIERS}\n[bulk]\n{section}\n"


def bulk_requests(count: int, *, tier: int = 1, **fields: object) -> list[Request]:
    """Make requests that are to be answered on a tier."""
    return [
        Request.model_validate(
            {
                "request_id": f"bulk-{tier}-{number}",
                "messages": [{"role": "user", "content": f"What is number {number}?"}],
                "service_class": "bulk",
                "min_tier": tier,
                "max_tier": tier,
                **fields,
            }
        )
        for number in range(count)
    ]


async def submissions(deployment: Deployment) -> tuple[list[Submission], list[Submitted], list[SubmissionEnded]]:
    """Read the log of submissions, by kind of record."""
    records = await deployment.read(SUBMISSIONS)
    return (
        [record for record in records if isinstance(record, Submission)],
        [record for record in records if isinstance(record, Submitted)],
        [record for record in records if isinstance(record, SubmissionEnded)],
    )


async def assert_submitted_once(deployment: Deployment, simulator: RunningSimulator) -> None:
    """Each submission has reached its provider once at most, and what a provider has was written down."""
    planned, submitted, ended = await submissions(deployment)
    told: dict[str, str] = {}
    for one in submitted:
        assert told.setdefault(one.submission_id, one.batch_id) == one.batch_id
    assert sorted(told.values()) == sorted(str(batch["id"]) for batch in simulator.batches)
    assert {one.submission_id for one in ended} == {one.submission_id for one in planned}


async def made_at_provider(simulator: RunningSimulator, total: int) -> None:
    """Wait until the providers have that many batches, and not a moment longer."""
    while len(simulator.batches) < total:  # noqa: ASYNC110 - the moment counts, and nothing tells of it
        await asyncio.sleep(0.001)


async def batch_calls(deployment: Deployment) -> Mapping[str, CallEnded]:
    """Return the ends of calls that a batch answered, by request."""
    ended = (await deployment.journal()).ended.values()
    return {call.request_id: call for call in ended if call.provider_batch is not None and call.error is None}
