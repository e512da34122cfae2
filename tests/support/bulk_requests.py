"""A deployment whose bulk requests wait for batches of their providers, and what is to be true of it in the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal

from support.deployment import Deployment

from tierstream.simulator.server import RunningSimulator
from topics.bulk import Submission, SubmissionEnded, Submitted
from topics.journal import CallEnded
from topics.registry import SUBMISSIONS
from topics.requests import Request
from topics.results import Result

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


def assert_submitted_once(simulator: RunningSimulator, planned: Sequence[Submission]) -> None:
    """No provider has seen any call in two batches, nor a batch that nobody has written down."""
    seen = Counter((batch["provider"], name) for batch in simulator.batches for name in batch["custom_ids"])
    assert max(seen.values(), default=0) <= 1 or _are_apart(simulator, planned), "a batch was submitted twice"


def _are_apart(simulator: RunningSimulator, planned: Sequence[Submission]) -> bool:
    """Whether batches with equal names of calls are of different submissions: offsets repeat over partitions."""
    ids = Counter(tuple(batch["custom_ids"]) for batch in simulator.batches)
    ours = Counter(tuple(str(member.offset) for member in submission.members) for submission in planned)
    return all(ids[names] <= ours[names] for names in ids)


async def batch_calls(deployment: Deployment) -> Mapping[str, CallEnded]:
    """Return the ends of calls that a batch answered, by request."""
    ended = (await deployment.journal()).ended.values()
    return {call.request_id: call for call in ended if call.provider_batch is not None and call.error is None}


def usual_cost(call: CallEnded) -> Decimal:
    """What a call of a batch would have cost by itself, at twice the price."""
    return call.cost_usd * 2


def is_answered_by(result: Result, provider: str) -> bool:
    """Whether a result has an answer of a provider."""
    return result.status == "ok" and result.provider == provider


LONG = timedelta(seconds=60)
