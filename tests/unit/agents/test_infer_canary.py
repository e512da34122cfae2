"""A canary in the chain of a tier: who meets the candidate, what the route says, and that nothing is paid twice."""

from typing import Any

import pytest
from support.handler_runs import BUSY, kinds, new, only, run
from support.in_memory import BASE, SETTINGS, Bench, FakeProvider, new_request, new_task, provider_error

from agents.infer import infer
from streams.control.control_state import Learned
from streams.kafka.lease import PartitionLostError
from streams.learning.canary import canary_of
from streams.providers.base import ErrorKind
from topics.journal import CallEnded, CallStarted
from topics.learned import CanaryState
from topics.results import Outcome
from topics.tasks import Attempt, Escalation, TierTask

CANDIDATE = {"provider": "trusted", "model": "next"}
WHY = "classifier requests/1:745284b7"
SURE = 1 - 1e-9
"""A share of the requests that leaves none out in practice; 1 is refused."""


def with_canary(share: float = SURE, **scripts: FakeProvider) -> Bench:
    settings: dict[str, Any] = {
        **SETTINGS,
        "prices": SETTINGS["prices"] | {"trusted/next": {"input": 1, "output": 10}},
        "canary": [{"name": "next", "tier": 1, "model": CANDIDATE, "share": share, "min_requests": 10}],
    }
    return new(settings, **scripts)


def say(bench: Bench, state: str, *, model: str = "trusted/next") -> None:
    counts = dict.fromkeys(("candidate_requests", "candidate_failures", "incumbent_requests", "incumbent_failures"), 0)
    record = CanaryState(name="next", model=model, state=state, reason="", by="ann", at=BASE, **counts)
    bench.engine.learned.note(Learned(record, 0))


async def route_of(bench: Bench, task: TierTask | None = None, **fields: Any) -> tuple[Attempt, ...]:
    return only(await run(infer, task or new_task(), bench, "infer:1", **fields), Outcome).route


def asked(bench: Bench) -> list[str]:
    return [f"{call.provider}/{call.model}" for call in bench.published(CallStarted)]


async def test_the_candidate_comes_first_and_the_route_says_so():
    bench = with_canary()
    [line] = await route_of(bench)
    assert (line.provider, line.model, line.why, line.tier) == ("trusted", "next", f"{WHY}, canary next", 1)
    assert canary_of(line.why) == "next"


async def test_its_share_is_picked_by_the_digest_and_the_same_one_again():
    names = [f"r{n}" for n in range(300)]
    met = []
    for _ in range(2):
        bench = with_canary(0.2)
        for name in names:
            await route_of(bench, new_task(new_request(request_id=name)), request_id=name)
        met.append([call.request_id for call in bench.published(CallStarted) if call.model == "next"])
    assert met[0] == met[1]
    assert 35 < len(met[0]) < 85


async def test_where_it_fails_the_tiers_own_models_follow():
    bench = with_canary(trusted=FakeProvider(BUSY))
    candidate, fallback = await route_of(bench)
    assert (candidate.outcome, candidate.why) == ("overloaded", f"{WHY}, canary next")
    assert (fallback.provider, fallback.why) == ("fast", "fallback: trusted overloaded")


async def test_its_answer_is_checked_as_any_other():
    escalation = only(await run(infer, new_task(), with_canary(trusted=FakeProvider("")), "infer:1"), Escalation)
    assert [canary_of(line.why) for line in escalation.task.attempts] == ["next"]


@pytest.mark.parametrize("state", ["running", "passed"])
async def test_what_runs_or_has_passed_keeps_its_share(state):
    bench = with_canary()
    say(bench, state)
    assert (await route_of(bench))[0].model == "next"


async def test_what_was_stopped_gets_nothing():
    bench = with_canary()
    say(bench, "stopped")
    [line] = await route_of(bench)
    assert (line.provider, line.why) == ("fast", WHY)


async def test_that_another_candidate_of_the_name_was_stopped_says_nothing():
    bench = with_canary()
    say(bench, "stopped", model="trusted/before")
    assert (await route_of(bench))[0].model == "next"


async def test_a_request_that_the_candidate_may_not_see_does_not_meet_it():
    settings = {
        **SETTINGS,
        "prices": SETTINGS["prices"] | {"spare/next": {"input": 1, "output": 10}},
        "canary": [{"name": "next", "tier": 2, "model": {"provider": "spare", "model": "next"}, "share": SURE}],
    }
    bench = new(settings)
    restricted = new_task(new_request(context={"data_class": "restricted"}), tier=2)
    [line] = only(await run(infer, restricted, bench, "infer:2"), Outcome).route
    assert line.model == "c"


@pytest.mark.parametrize("first", ["running", "stopped"])
async def test_delivered_again_after_the_state_has_changed_it_pays_nothing_and_says_the_same(first):
    bench = with_canary()
    say(bench, first)
    once = await route_of(bench)
    say(bench, "stopped" if first == "running" else "running")
    assert await route_of(bench) == once
    assert len(asked(bench)) == 1


@pytest.mark.parametrize("first", ["running", "stopped"])
async def test_a_crash_in_the_middle_of_a_chain_is_gone_on_with_by_the_other_state(first):
    """What was paid counts, whoever was asked; a candidate that was not the first is not asked at all."""
    script = {"trusted": FakeProvider(BUSY), "fast": FakeProvider(BUSY)}
    bench = with_canary(**script)
    say(bench, first)
    with pytest.raises(PartitionLostError):
        await run(infer, new_task(), bench, "infer:1", holds=lambda: not list(bench.published(CallEnded)))
    say(bench, "stopped" if first == "running" else "running")
    route = await route_of(bench)
    expected = ["trusted/next", "fast/a", "spare/b"] if first == "running" else ["fast/a", "spare/b"]
    assert asked(bench) == [f"{line.provider}/{line.model}" for line in route] == expected


async def test_after_a_rest_the_reason_names_the_canary_once():
    bench = with_canary()
    again = new_task(why=f"{WHY}, canary next")
    assert (await route_of(bench, again))[0].why == f"{WHY}, canary next"
    stopped = with_canary()
    say(stopped, "stopped")
    assert (await route_of(stopped, again))[0].why == WHY


async def test_a_tier_whose_own_models_fail_is_promoted_as_ever():
    bench = with_canary(**dict.fromkeys(("trusted", "fast", "spare"), FakeProvider(BUSY)))
    outputs = await run(infer, new_task(), bench, "infer:1")
    task = only(outputs, TierTask)
    assert (task.tier, task.why) == (2, "promoted from tier 1: spare/b: overloaded")
    assert [line.model for line in task.attempts] == ["next", "a", "b", "b"]


async def test_what_is_too_long_for_the_candidate_is_not_asked_of_the_others():
    bench = with_canary(trusted=FakeProvider(provider_error(ErrorKind.CONTEXT_TOO_LONG)))
    assert kinds(await run(infer, new_task(), bench, "infer:1"))[0] is TierTask
