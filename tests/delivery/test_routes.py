"""Where requests go when providers fail and when answers are not good enough: a result in any case, its route in it."""

import asyncio
import json

import pytest
import pytest_asyncio
from support.deployment import Deployment

from tierstream.simulator.server import running_simulator
from topics.messages import Message
from topics.registry import HOPS
from topics.requests import Request

pytestmark = pytest.mark.asyncio(loop_scope="module")

# The hang of a fault is waited for, and a good call on a busy machine must not be taken for one.
# The tests share their worker, so what one breaks must not open breakers for the next.
CONFIG = """
[breakers]
min_calls = 100000

[attempts]
parked_s = 0.2
retry_pause_s = 0.02

[validation]
judges = [
    { provider = "openai", model = "gpt-6-luna", timeout_s = 20 },
    { provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 },
    { provider = "groq", model = "openai/gpt-oss-120b", timeout_s = 20 },
]

[[tiers]]
name = "one"
models = [
    { provider = "groq", model = "openai/gpt-oss-20b", timeout_s = 3 },
    { provider = "together", model = "openai/gpt-oss-120b", timeout_s = 20 },
]

[[tiers]]
name = "two"
models = [
    { provider = "openai", model = "gpt-6-luna", timeout_s = 20 },
    { provider = "anthropic", model = "claude-haiku-5-5", timeout_s = 20 },
]

[[tiers]]
name = "three"
models = [
    { provider = "anthropic", model = "claude-opus-5-5", timeout_s = 20 },
    { provider = "openai", model = "gpt-6.1-sol", timeout_s = 20 },
]
"""
SCHEMA = {"type": "object", "properties": {"total": {"type": "number"}}, "required": ["total"]}
CHEAP = {"context": {"self_validating": True}, "service_class": "bulk"}
"""What the rules send to the first tier, whatever the classifier thinks."""
CRITICAL = {"context": {"business_impact": "critical"}}
"""What the rules send to the second tier and before a judge."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served():
    async with running_simulator(time_scale=0) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def simulator(served):
    served.reset()
    served.set_behaviour(judge_error_rate=0)
    return served


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(kafka, served, tmp_path_factory):
    folder = tmp_path_factory.mktemp("routes")
    made = Deployment(kafka.bootstrap_servers, folder, simulator_url=served.url, config=CONFIG)
    async with made.running():
        await made.start_worker()
        # Of each tier, so that no test waits for what the first call of a provider takes.
        first = [
            Request(request_id=f"first-{tier}", messages=(Message(role="user", content="Hello"),), min_tier=tier)
            for tier in (1, 2, 3)
        ]
        await made.send(first)
        await made.results([request.request_id for request in first])
        yield made


@pytest.fixture
def ask(deployment, simulator, request):
    """Send one request with the test's name as its id; return its result and the calls that it made."""

    async def ask(**fields):
        request_id = request.node.name
        before = len(simulator.calls)
        messages = (Message(role="user", content=fields.pop("content", f"What is {request_id}?")),)
        await deployment.send([Request.model_validate({"request_id": request_id, "messages": messages, **fields})])
        result = (await deployment.results([request_id]))[request_id]
        return result, simulator.calls[before:]

    return ask


def steps(result):
    return [(attempt.tier, attempt.provider, attempt.outcome) for attempt in result.route]


def teach(simulator, prompt, label, **answers):
    simulator.script.add_lines(json.dumps({"prompt": prompt, "label": label, **answers}), "test")


async def test_another_provider_answers_when_one_is_down(simulator, ask):
    simulator.set_behaviour("groq", down=True)
    result, calls = await ask(**CHEAP)
    assert result.status == "ok"
    assert (result.tier, result.provider) == (1, "together")
    assert steps(result) == [(1, "groq", "cut"), (1, "together", "ok")]
    assert result.route[1].why == "fallback: groq cut"
    assert [call["provider"] for call in calls] == ["groq", "together"]


async def test_the_next_tier_answers_when_a_tier_is_down(simulator, ask):
    simulator.set_behaviour("groq", down=True)
    simulator.set_behaviour("together", down=True)
    result, _ = await ask(**CHEAP)
    assert result.status == "ok"
    assert steps(result) == [(1, "groq", "cut"), *[(1, "together", "cut")] * 2, (2, "openai", "ok")]
    assert result.route[3].why == "promoted from tier 1: together/openai/gpt-oss-120b: cut"


async def test_one_error_of_the_last_provider_of_a_tier_is_not_worth_a_dearer_tier(simulator, ask):
    simulator.set_behaviour("groq", down=True)
    simulator.set_behaviour("together", rate_500=1)
    asking = asyncio.create_task(ask(**CHEAP))
    # In this loop it is well again before the next call can be read.
    await simulator.served(len(simulator.calls) + 2)
    simulator.set_behaviour("together", rate_500=0)
    result, calls = await asking
    assert (result.status, result.tier) == ("ok", 1)
    assert steps(result) == [(1, "groq", "cut"), (1, "together", "server_error"), (1, "together", "ok")]
    assert result.route[2].why == "retry: together server_error"
    assert result.cost_usd == result.route[2].cost_usd
    assert [call["provider"] for call in calls] == ["groq", "together", "together"]


async def test_a_request_rests_while_everything_is_down_and_expires_at_its_deadline(simulator, ask):
    simulator.set_behaviour(down=True)
    result, calls = await ask(**CHEAP, timeout_ms=1500)
    assert (result.status, result.error.code, result.content) == ("expired", "deadline", None)
    assert [tier for tier, *_ in steps(result)][:9] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    # A call that met a closing connection did not get as far as the log of the simulator.
    assert 9 <= len(calls) <= len(result.route)
    assert result.cost_usd == 0


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("429", "rate_limited"),
        ("500", "server_error"),
        ("503", "overloaded"),
        ("malformed", "malformed"),
        ("empty", "empty"),
        ("cut", "cut"),
        ("hang", "timeout"),
    ],
)
async def test_each_fault_leads_to_another_provider(simulator, ask, fault, outcome):
    # A Retry-After would keep the provider closed for the tests that follow.
    simulator.set_behaviour("groq", **{f"rate_{fault}": 1, "retry_after_s": 0})
    result, _ = await ask(**CHEAP)
    assert result.status == "ok"
    assert steps(result) == [(1, "groq", outcome), (1, "together", "ok")]
    # The provider bills the tokens of an answer without text.
    assert (result.route[0].cost_usd > 0) == (fault == "empty")
    assert result.cost_usd == sum(attempt.cost_usd for attempt in result.route)


async def test_restricted_data_goes_to_the_allowed_provider_alone(simulator, ask):
    result, calls = await ask(context={"data_class": "restricted", "business_impact": "critical"})
    assert result.status == "ok"
    # The only judge that may see it is the model that answered.
    assert steps(result) == [(2, "anthropic", "ok")]
    assert {call["provider"] for call in calls} == {"anthropic"}


async def test_restricted_data_goes_nowhere_else_when_the_allowed_provider_is_down(simulator, ask):
    simulator.set_behaviour("anthropic", down=True)
    result, calls = await ask(context={"data_class": "restricted"}, service_class="bulk", timeout_ms=1500)
    assert (result.status, result.error.code) == ("expired", "deadline")
    assert {call["provider"] for call in calls} == {"anthropic"}


@pytest.mark.parametrize("failure", ["schema", "hedge", "truncated"])
async def test_an_answer_that_fails_a_free_check_goes_one_tier_up(deployment, simulator, ask, failure):
    prompt = f"Sum up case {failure}."
    answer = json.dumps({"total": 12.5}) if failure == "schema" else "The right answer is twelve and a half."
    teach(simulator, prompt, 2, answer=answer, failure=failure)
    schema = {"response_schema": SCHEMA} if failure == "schema" else {}
    result, calls = await ask(content=prompt, **CHEAP, **schema)
    assert (result.status, result.tier, result.content) == ("ok", 2, answer)
    assert steps(result) == [(1, "groq", failure), (2, "openai", "ok")]
    assert result.route[1].why == f"escalated from tier 1: check: {failure}"
    assert len(calls) == 2
    await deployment.quiet()
    [hops] = [record.hops for record in await deployment.read(HOPS) if record.request_id == result.request_id]
    assert [hop.stage for hop in hops] == ["classify", "infer:1", "escalate", "infer:2", "settle"]


async def test_a_wrong_answer_on_a_critical_path_goes_one_tier_up(simulator, ask):
    prompt = "Which clause applies?"
    teach(simulator, prompt, 3, answer="Clause 7.", wrong="Clause 9, of course.", failure="wrong")
    result, _ = await ask(content=prompt, **CRITICAL)
    assert (result.status, result.tier, result.content) == ("ok", 3, "Clause 7.")
    assert steps(result) == [(2, "openai", "ok"), (2, "anthropic", "judge_fail"), (3, "anthropic", "ok")]
    assert result.route[2].why == "escalated from tier 2: judge: fail"


async def test_another_judge_decides_when_the_first_is_of_no_use(simulator, ask):
    prompt = "Which clause applies now?"
    teach(simulator, prompt, 3, answer="Clause 1.", wrong="Clause 2, of course.", failure="wrong")
    # The answer comes from the second provider of the tier then, and the verdict from the third judge.
    simulator.set_behaviour("openai", "gpt-6-luna", down=True)
    result, _ = await ask(content=prompt, **CRITICAL)
    assert (result.tier, result.content) == (3, "Clause 1.")
    assert steps(result) == [
        (2, "openai", "cut"),
        (2, "anthropic", "ok"),
        (2, "openai", "cut"),
        (2, "groq", "judge_fail"),
        (3, "anthropic", "ok"),
    ]


async def test_max_tier_ends_with_the_best_answer_there_is(simulator, ask):
    prompt = "Prove the lemma."
    teach(simulator, prompt, 3, answer="The proof goes by induction.", failure="hedge")
    result, calls = await ask(content=prompt, max_tier=2, **CHEAP)
    assert (result.status, result.tier, result.reason) == ("degraded", 2, "check: hedge")
    assert result.content
    assert steps(result) == [(1, "groq", "hedge"), (2, "openai", "hedge")]
    assert len(calls) == 2


async def test_min_tier_is_where_a_request_starts(ask):
    result, _ = await ask(min_tier=3)
    assert steps(result) == [(3, "anthropic", "ok")]


async def test_a_deadline_ends_a_request(simulator, ask):
    simulator.set_behaviour("groq", rate_hang=1)
    result, _ = await ask(timeout_ms=500, **CHEAP)
    assert (result.status, result.error.code) == ("expired", "deadline")


async def test_max_cost_ends_a_request_before_the_next_call(simulator, ask):
    simulator.set_behaviour("groq", rate_empty=1)
    result, calls = await ask(max_cost_usd="0.000000000001", **CHEAP)
    assert (result.status, result.error.code) == ("failed", "max_cost")
    assert len(calls) == 1
