"""200 texts that were written after the training to move their routing by something other than their task.

The figures are printed; what is asserted is that no bound gives way, and that the tricks do little in all.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from support.in_memory import new_request

import tierstream.training
from streams.config.eligible_models import EligibleModels
from streams.config.settings import load
from tierstream.worker import new_router

ENTRIES = [
    json.loads(line)
    for line in (Path(tierstream.training.__file__).parent / "corpus" / "adversarial.jsonl").open(encoding="utf-8")
]
LEAST_UNMOVED = 0.65
MOST_BY_TWO = 0.1
"""Measured: 72 % stay on the tier of the same task without the trick, 7 % go two tiers away."""


@pytest.fixture(scope="module")
def router():
    settings = load(overrides={"routing": {"classifier": "learned"}})
    return new_router(settings, EligibleModels(settings))


def tier_of(router, text, **fields) -> int:
    request = new_request(text, **fields)
    return router.draft(request, request.digest(), 0).decision.tier


@pytest.mark.parametrize("bounds", [{"min_tier": 2}, {"min_tier": 3}, {"max_tier": 1}, {"max_tier": 2}], ids=str)
def test_no_text_passes_a_bound(router, bounds):
    for entry in ENTRIES:
        found = tier_of(router, entry["prompt"], **bounds)
        assert bounds.get("min_tier", 1) <= found <= bounds.get("max_tier", 3), entry["request_id"]


def test_a_trick_moves_little(router):
    tricked = np.array([tier_of(router, entry["prompt"]) for entry in ENTRIES])
    plain = np.array([tier_of(router, entry["plain"]) for entry in ENTRIES])
    report = []
    for push in ("up", "down", "none"):
        rows = np.array([entry["push"] == push for entry in ENTRIES])
        right = [
            np.mean(
                [
                    tier in entry["acceptable"]
                    for tier, entry in zip(tiers, ENTRIES, strict=True)
                    if entry["push"] == push
                ]
            )
            for tiers in (tricked, plain)
        ]
        higher, lower = np.mean(tricked[rows] > plain[rows]), np.mean(tricked[rows] < plain[rows])
        report.append(
            f"push {push}: {rows.sum()} texts, right {right[0]:.0%} (without the trick {right[1]:.0%}), "
            f"higher {higher:.0%}, lower {lower:.0%}"
        )
    print("\n".join(["", *report]))  # noqa: T201 - the shares are what this test is there to show
    assert np.mean(tricked == plain) >= LEAST_UNMOVED
    assert np.mean(np.abs(tricked - plain) > 1) <= MOST_BY_TWO
