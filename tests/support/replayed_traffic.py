"""Traffic that is run through a deployment for real, to be replayed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.deployment import Deployment

from analytics.clickhouse import open_client
from tierstream.client.request_run import run_requests
from tierstream.demo.corpus import sample
from tierstream.simulator.server import RunningSimulator
from topics.requests import Request

CONFIG = """
[routing]
classifier = "{classifier}"
{routing}
[routing.llm]
budget_ms = 20000

[validation]
sample_rate = 0.2
min_sample_rate = 0.2
max_sample_rate = 0.2
max_spend_share = 0.9

# A slow machine is no reason to expire, or to ask another model.
[deadlines]
interactive = 3600
standard = 3600
bulk = 3600

[breakers]
min_calls = 1000000

[attempts]
patience_s = 600

[[tiers]]
name = "fast open-weight"
models = [
    {{ provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 300 }},
    {{ provider = "together", model = "openai/gpt-oss-120b", timeout_s = 300 }},
]

[[tiers]]
name = "small closed"
models = [
    {{ provider = "openai", model = "gpt-6-luna", timeout_s = 300 }},
    {{ provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 300 }},
]

[[tiers]]
name = "frontier"
models = [
    {{ provider = "anthropic", model = "claude-opus-5-5", timeout_s = 300 }},
    {{ provider = "openai", model = "gpt-6.1-sol", timeout_s = 300 }},
]

[clickhouse]
url = "{url}"
database = "{database}"
"""

BOUNDARY = "boundary = [0.25, 0.35]"
PRICES = """
[prices."openai/gpt-6-luna"]
input = 0.5
output = 2
"""
POLICY = f"[routing]\n{BOUNDARY}\n{PRICES}"
"""What another deployment has, `BOUNDARY` among its routing and `PRICES` at its end, as a policy."""

_IN_FLIGHT = 256


def traffic(count: int) -> tuple[list[Request], str]:
    """Make requests, each with a text of its own so that no call is shared, and the script of their answers."""
    made, script = [], []
    for number, entry in enumerate(sample(count, 3)):
        fields, told = entry.request_fields(), entry.script()
        last = fields["messages"][-1]
        last["content"] = told["prompt"] = f"{told['prompt']} (case {number})"
        made.append(Request.model_validate({**fields, "request_id": f"r{number}"}))
        script.append(told)
    return made, "\n".join(map(json.dumps, script))


async def spent(url: str, database: str) -> float:
    """Return the dollars of all calls in the ledger."""
    return (await _sums(url, database))[2]


@asynccontextmanager
async def run_for_real(
    bootstrap_servers: str,
    simulator: RunningSimulator,
    folder: Path,
    url: str,
    requests: list[Request],
    *,
    classifier: str = "learned",
    routing: str = "",
    rest: str = "",
    timeout_s: float = 200.0,
) -> AsyncIterator[Deployment]:
    """Run requests through a deployment of its own; yields it when the ledger has everything.

    Args:
        bootstrap_servers: Of the broker.
        simulator: Stands for the providers.
        folder: For settings and logs; the ledger is called as it is.
        url: Of ClickHouse.
        requests: To send.
        classifier: As the settings have it.
        routing: Further settings of the section.
        rest: Further sections.
        timeout_s: How long to wait for a further result.
    """
    database = folder.name
    config = CONFIG.format(classifier=classifier, routing=routing, url=url, database=database) + rest
    deployment = Deployment(bootstrap_servers, folder, simulator_url=simulator.url, config=config)
    async with deployment.running():
        await deployment.start_worker()
        await deployment.start("sink")
        report = await run_requests(
            deployment.settings, requests, on_result=lambda _: None, timeout_s=timeout_s, in_flight=_IN_FLIGHT
        )
        assert (report.results, report.missing) == (len(requests), ())
        await deployment.quiet()
        seen = None
        while (now := await _sums(url, database)) != seen or now[0] < len(requests):
            deployment.check()
            seen = now
            # Two sinks' pauses: nothing else says that no row is to come.
            await asyncio.sleep(2 * deployment.settings.clickhouse.flush_interval_s)
        yield deployment


async def _sums(url: str, database: str) -> tuple[int, int, float]:
    async with open_client(url) as client:
        found = await client.query(
            f"SELECT (SELECT count() FROM {database}.requests), (SELECT count() FROM {database}.calls), "
            f"(SELECT sum(cost_usd) FROM {database}.call_ledger)"
        )
    results, calls, usd = found.result_rows[0]
    return results, calls, float(usd)
