"""A question on a critical path that was sent too low: the judge catches each wrong answer, and the trace tells it."""

import asyncio
import json
import sys
from decimal import Decimal

import pytest

from analytics.clickhouse import open_client
from topics.messages import Message
from topics.registry import PARKED, STATUS
from topics.requests import Request
from topics.results import ResultStatus

RULES = """
[[routing.rules]]
name = "contracts"
when = { feature = ["contracts"] }
tier = 1
validate_answer = true

[validation]
judge = { provider = "openai", model = "gpt-6-luna", timeout_s = 20 }
fallback = { provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 }
without_judge = "park"

[breakers]
min_calls = 100000

[attempts]
parked_s = 0.2
"""
QUESTION = "May the supplier end the contract without notice?"
RIGHT = "No: clause 7 asks for 90 days."
SAID = "It does not answer the question correctly."
"""In the judge's own words."""


@pytest.fixture
def deployment_options():
    return {"config": RULES}


def request(request_id):
    message = Message(role="user", content=QUESTION)
    return Request(request_id=request_id, messages=(message,), feature="contracts")


async def trace(deployment, clickhouse_url, request_id):
    """Run the command until the ledger has the whole way."""
    command = (sys.executable, "-m", "tierstream", "trace", request_id, "--json")
    while True:
        deployment.check()
        environment = deployment.environment(CLICKHOUSE_URL=clickhouse_url)
        process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=-1, stderr=-1)
        shown, _ = await process.communicate()
        found = json.loads(shown) if process.returncode == 0 else {"hops": [], "results": []}
        if found["results"] and "settle" in [hop["stage"] for hop in found["hops"]]:
            return found


@pytest.mark.slow
async def test_the_judge_takes_a_misrouted_question_to_the_tier_that_answers_it(deployment, simulator, clickhouse_url):
    script = {"prompt": QUESTION, "label": 3, "answer": RIGHT, "wrong": "Yes, at any time.", "failure": "wrong"}
    simulator.script.add_lines(json.dumps(script), "test")
    await deployment.start_worker()
    await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url)
    await deployment.send([request("contract")])
    result = (await deployment.settled(["contract"]))["contract"]
    assert (result.status, result.tier, result.content, result.reason) == (ResultStatus.OK, 3, RIGHT, None)
    found = await trace(deployment, clickhouse_url, "contract")
    assert [(hop["stage"], hop["outcome"], hop["tier"]) for hop in found["hops"]] == [
        ("classify", "routed", 1),
        ("infer:1", "ok", 1),
        ("validate", "judge_fail", 1),
        ("escalate", "escalated", 2),
        ("infer:2", "ok", 2),
        ("validate", "judge_fail", 2),
        ("escalate", "escalated", 3),
        ("infer:3", "ok", 3),
        ("settle", "ok", 3),
    ]
    judged = [hop for hop in found["hops"] if hop["stage"] == "validate"]
    answered = [hop for hop in found["hops"] if hop["stage"] in {"infer:1", "infer:2"}]
    # gpt-oss and gpt are of one family.
    assert [hop["model"] for hop in answered] == ["openai/gpt-oss-20b", "gpt-6-luna"]
    assert {hop["model"] for hop in judged} == {"claude-haiku-5-5"}
    for hop in judged:
        assert hop["detail"].startswith("critical path; confidence 0.")
        assert hop["detail"].endswith("; wrong")
    why = [hop["detail"] for hop in found["hops"] if hop["stage"] == "escalate"]
    assert why == ["judge: fail: wrong"] * 2


@pytest.mark.slow
async def test_what_a_judge_said_reaches_requesters_and_neither_the_ledger_nor_a_log(
    deployment, simulator, clickhouse_url
):
    script = {"prompt": QUESTION, "label": None, "answer": RIGHT, "wrong": "Yes, at any time.", "failure": "wrong"}
    simulator.script.add_lines(json.dumps(script), "test")
    await deployment.start_worker()
    # The sink has its texts hashed: as much as it may keep without keeping them.
    await deployment.start("sink", CLICKHOUSE_URL=clickhouse_url, TIERSTREAM_CLICKHOUSE__LOG_BODIES="hash")
    # Enough for an answer of the first tier, and not for the judge besides.
    await deployment.send([request("contract").model_copy(update={"max_cost_usd": Decimal("0.0001")})])
    result = (await deployment.settled(["contract"]))["contract"]
    assert (result.status, result.said) == (ResultStatus.DEGRADED, SAID)
    assert result.reason.startswith("judge: fail: wrong; max_cost_usd")
    events = [event for status in await deployment.read(STATUS) for event in status.events]
    assert {event.detail for event in events if event.kind == "escalated"} == {f"judge: fail: wrong: {SAID}"}
    await trace(deployment, clickhouse_url, "contract")
    async with open_client(clickhouse_url) as client:
        for table in ("requests", "hops", "calls", "bodies"):
            rows = (await client.query(f"SELECT * FROM {deployment.settings.clickhouse.database}.{table}")).result_rows
            assert rows
            assert SAID not in str(rows)
    for log in deployment.folder.glob("*.log"):
        assert SAID not in log.read_text()


async def test_an_answer_rests_until_a_judge_is_back(deployment, simulator):
    simulator.script.add_lines(json.dumps({"prompt": QUESTION, "label": 1, "answer": RIGHT}), "test")
    for provider, model in (("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-5-5")):
        simulator.set_behaviour(provider, model, down=True)
    await deployment.start_worker()
    await deployment.send([request("waits")])
    while not await deployment.read(PARKED):
        deployment.check()
    for provider, model in (("openai", "gpt-6-luna"), ("anthropic", "claude-haiku-5-5")):
        simulator.set_behaviour(provider, model, down=False)
    result = (await deployment.settled(["waits"]))["waits"]
    assert (result.status, result.tier, result.content) == (ResultStatus.OK, 1, RIGHT)
    assert [attempt.outcome for attempt in result.route if attempt.stage == "infer:1"] == ["ok"]
    assert result.route[-1].outcome == "judge_pass"
