"""No work that calls may take by their timeouts is longer than what liveness allows for it."""

import pytest
from support.in_memory import SETTINGS

from streams.config.settings import Settings, load
from tierstream.monitoring.longest_work import longest_work_s
from tierstream.stage_runs import stage_names


def settings(**more):
    return Settings(**SETTINGS | {"attempts": {"patience_s": 1, "retry_pause_s": 0.5}} | more)


def test_a_tier_may_ask_each_of_its_models_twice():
    tiers = [
        {
            "name": "one",
            "batching": {"max_wait_ms": 500},
            "models": [
                {"provider": "fast", "model": "a", "timeout_s": 5},
                {"provider": "spare", "model": "b", "timeout_s": 10},
            ],
        },
        {"name": "two", "models": [{"provider": "trusted", "model": "d", "timeout_s": 60}]},
    ]
    found = settings(tiers=tiers)
    assert longest_work_s(found, "infer:1") == 2 * (5 + 10 + 2 * (0.5 + 1 + 2 * 0.5))
    canary = [{"name": "c", "tier": 1, "model": {"provider": "trusted", "model": "d", "timeout_s": 7}, "share": 0.1}]
    more = longest_work_s(settings(tiers=tiers, canary=canary), "infer:1") - longest_work_s(found, "infer:1")
    assert more == 2 * (7 + 2.5)


@pytest.mark.parametrize("stage", ["escalate", "feedback", "settle", "parked", "learn", "batch"])
def test_who_calls_nobody_has_nothing_to_wait_for(stage):
    assert longest_work_s(settings(), stage) == 0


def test_who_waits_for_others_to_leave_with_stands_still_for_as_long():
    assert longest_work_s(settings(bulk={"wait_s": 45}), "bulk") == 45


def test_every_stage_has_a_bound_and_none_is_beyond_reason():
    shipped = load()
    longest = {stage: longest_work_s(shipped, stage) for stage in stage_names(shipped)}
    assert all(bound >= 0 for bound in longest.values())
    slowest = max(model.timeout_s for model in shipped.tiers[-1].models)
    assert longest["infer:3"] >= 3 * slowest
    assert longest["validate"] > 0
    assert max(longest.values()) < shipped.deadlines.longest.total_seconds()
