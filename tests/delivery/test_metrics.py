"""What worker and sink show of themselves while they work: metrics that agree with the records, liveness, the log."""

import asyncio
import json
import re
import sys

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from topics.messages import Message
from topics.registry import RESULTS
from topics.requests import Request

LAG = "tierstream_consumer_lag_records"
IDS = [f"m{n}" for n in range(6)]
WORKER = {"TIERSTREAM_OPERATIONS__METRICS_PORT": "0", "TIERSTREAM_OPERATIONS__LOG_FORMAT": "json"}
SINK = {"TIERSTREAM_OPERATIONS__SINK_METRICS_PORT": "0", "TIERSTREAM_OPERATIONS__LOG_FORMAT": "json"}


def log_lines(deployment, name):
    return [json.loads(line) for line in (deployment.folder / f"{name}.log").read_text().splitlines()]


def url_of(deployment, name):
    said = " ".join(line["message"] for line in log_lines(deployment, name))
    [url] = re.findall(r"metrics at (\S+)/metrics", said)
    return url


async def get(url):
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status, await response.text()


class Series:
    """The samples of a scrape."""

    def __init__(self, text):
        families = text_string_to_metric_families(text)
        self._samples = [sample for family in families for sample in family.samples]

    def values(self, name, label):
        return {one.labels[label] for one in self._samples if one.name == name}

    def sum(self, name, **labels):
        wanted = labels.items()
        return sum(one.value for one in self._samples if one.name == name and wanted <= one.labels.items())


async def scraped(deployment, url, is_reached):
    """Scrape until something is so."""
    while not is_reached(series := Series((await get(f"{url}/metrics"))[1])):
        deployment.check()
        await asyncio.sleep(0.1)
    return series


def requests():
    return [Request(request_id=one, messages=(Message(role="user", content=f"What is {one}?"),)) for one in IDS]


async def test_metrics_agree_with_the_records(deployment, simulator, clickhouse_url):
    await deployment.start_worker(**WORKER)
    await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url, **SINK)
    worker, sink = url_of(deployment, "worker-1"), url_of(deployment, "sink-2")
    for url in (worker, sink):
        assert await get(f"{url}/livez") == (200, "ok\n")
        assert await get(f"{url}/readyz") == (200, "ok\n")
    await deployment.send(requests())
    results = await deployment.settled(IDS)

    def is_done(series):
        # A stage of which nothing is known has no lag either.
        is_known = {"classify", "infer:1", "infer:3", "parked", "settle"} <= series.values(LAG, "stage")
        return is_known and series.sum("tierstream_results_total") == len(IDS) and not series.sum(LAG)

    series = await scraped(deployment, worker, is_done)
    journal = await deployment.journal()
    ends = list(journal.ended.values())
    assert series.sum("tierstream_results_total", status="ok", tier="1") == len(
        [result for result in results.values() if result.tier == 1]
    )
    assert series.sum("tierstream_request_duration_seconds_count", status="ok") == len(IDS)
    assert series.sum("gen_ai_client_operation_duration_seconds_count") == len({end.call_id for end in ends})
    used = {"input": sum(end.usage.input for end in ends), "output": sum(end.usage.output for end in ends)}
    for kind, tokens in used.items():
        assert series.sum("gen_ai_client_token_usage_sum", gen_ai_token_type=kind) == tokens
    assert series.sum("tierstream_cost_usd_total") == pytest.approx(float(sum(end.cost_usd for end in ends)))
    assert series.sum("tierstream_records_total", stage="classify", outcome="ok") == len(IDS)
    assert series.sum("tierstream_breaker_state", state="closed") == series.sum("tierstream_breaker_state") > 0
    assert series.sum("tierstream_window_records") == 0
    assert series.sum("tierstream_window_capacity_records", stage="infer:1") == deployment.settings.tiers[0].in_flight

    records = len(await deployment.read(RESULTS))
    series = await scraped(
        deployment,
        sink,
        lambda series: (
            series.sum("tierstream_sink_records_total") >= records + 2 * len(ends)
            and series.values(LAG, "stage") == {"sink"}
            and not series.sum(LAG)
            and not series.sum("tierstream_sink_lateness_seconds")
        ),
    )
    assert series.sum("tierstream_sink_rows_total") >= series.sum("tierstream_sink_records_total")
    assert series.sum("tierstream_sink_failed_writes_total") == 0


@pytest.mark.slow
async def test_a_stage_that_waits_for_a_provider_is_behind_and_its_age_grows(deployment, simulator):
    await deployment.start_worker(**WORKER)
    worker = url_of(deployment, "worker-1")
    # Everything that is asked hangs until the timeout of its model.
    simulator.set_behaviour(rate_hang=1.0)
    await deployment.send(requests())
    series = await scraped(
        deployment,
        worker,
        lambda series: series.sum("tierstream_commit_age_seconds", stage="infer:1") > 1,
    )
    assert series.sum(LAG, stage="infer:1") == len(IDS)
    assert series.sum("tierstream_window_records", stage="infer:1") == len(IDS)
    assert series.sum("tierstream_provider_calls", state="under_way") == len(IDS)
    assert series.sum(LAG, stage="classify") == 0
    assert await get(f"{worker}/livez") == (200, "ok\n")
    simulator.set_behaviour(rate_hang=0.0)
    await deployment.results(IDS)
    await scraped(deployment, worker, lambda series: not series.sum("tierstream_commit_age_seconds"))


async def test_a_port_that_is_taken_ends_a_worker_with_a_line(deployment):
    await deployment.start_worker(**WORKER)
    port = url_of(deployment, "worker-1").rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tierstream", "worker"),
        env=deployment.environment(TIERSTREAM_OPERATIONS__METRICS_PORT=port),
        stderr=asyncio.subprocess.PIPE,
    )
    _, shown = await process.communicate()
    assert process.returncode == 2
    assert f"error: operations.metrics_port: can't listen on 127.0.0.1:{port}" in shown.decode()
