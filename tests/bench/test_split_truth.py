"""What the proposal for a tier in between says, against what the hidden model really did; printed.

TIERSTREAM_TIERS names a file of outcomes of three price classes on the same prompts: JSON lines in gzip, with
`prompt`, and `reward` (0 to 1) and `cost_usd` of each class. The middle one is hidden: what two tiers would have
known is made of the other two, with the shipped classifier of requests as router and a judge that looks at a fifth of
the answers.
"""

import gzip
import json
import os
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from analytics.leverage.quality import Evidence
from analytics.leverage.split import Flow, Kind, Part, Split, propose
from streams.routing.request_classifier.classifier import RequestClassifier
from topics.messages import Message
from topics.requests import Request

FILE = os.environ.get("TIERSTREAM_TIERS", "")
GOOD = 0.8
"""Reward from which on an answer counts as good."""
JUDGED = 0.2
BINS = 5
MARGIN = 0.05
LOW, MIDDLE, HIGH = 0, 1, 2

pytestmark = pytest.mark.skipif(not FILE, reason="TIERSTREAM_TIERS names no file of outcomes")


@dataclass(frozen=True)
class Known:
    """A prompt, and what became of it in a deployment of two tiers."""

    good: tuple[bool, ...]
    cost_usd: tuple[Decimal, ...]
    sure: float
    bin: int
    is_judged: bool

    @property
    def is_direct(self) -> bool:
        return self.sure < 0.5

    @property
    def is_escalated(self) -> bool:
        return not self.is_direct and self.is_judged and not self.good[LOW]


@pytest.fixture(scope="module")
def known() -> list[Known]:
    path, draw, router = Path(FILE), Random(14), RequestClassifier.shipped()
    # Not splitlines, which breaks lines within strings too.
    lines = gzip.decompress(path.read_bytes()).decode().strip().split("\n")
    found = []
    for line in map(json.loads, lines):
        message = Message(role="user", content=line["prompt"])
        sure = router.needs(Request(request_id=line["id"], messages=(message,)))[0]
        found.append(
            Known(
                tuple(reward >= GOOD for reward in line["reward"]),
                tuple(Decimal(str(cost)) for cost in line["cost_usd"]),
                sure,
                min(BINS - 1, int(sure * BINS)),
                draw.random() < JUDGED,
            )
        )
    return found


def kinds(known: list[Known], price: Decimal = Decimal(1)) -> list[Kind]:
    found = []
    for number in range(BINS):
        mine = [one for one in known if one.bin == number]
        asked = {LOW: [one for one in mine if not one.is_direct], HIGH: [one for one in mine if one.is_direct]}
        told = {
            tier: Evidence(
                len(ones), 0, sum(o.is_judged for o in ones), sum(o.is_judged and o.good[tier] for o in ones)
            )
            for tier, ones in asked.items()
        }
        flows = [flow([o for o in mine if o.is_direct], price), flow([o for o in mine if o.is_escalated], price)]
        sure = sum(one.sure for one in mine) / len(mine) if mine else None
        found.append(Kind(str(number), sure, told[LOW], told[HIGH], *flows))
    return found


def flow(ones: list[Known], price: Decimal) -> Flow:
    return Flow(
        len(ones),
        sum((one.cost_usd[HIGH] for one in ones), start=Decimal(0)),
        sum((one.cost_usd[MIDDLE] * price for one in ones), start=Decimal(0)),
    )


def truth(known: list[Known], part: Part) -> tuple[float, float, float]:
    """Return what the middle would really have saved, and the shares of good answers, of the middle and above."""
    mine = [
        one
        for one in known
        if str(one.bin) == part.kind.query_type and (one.is_escalated if part.is_escalated else one.is_direct)
    ]
    saved = sum(one.cost_usd[HIGH] * one.good[MIDDLE] - one.cost_usd[MIDDLE] for one in mine)
    return float(saved), sum(o.good[MIDDLE] for o in mine) / len(mine), sum(o.good[HIGH] for o in mine) / len(mine)


def show(split: Split, known: list[Known]) -> None:
    print(f"\npays: {split.pays}, {split.reason}; {split.moved} requests, as good {split.as_good}, {split.saving}")
    for part in split.parts:
        saved, good, above = truth(known, part)
        way = "escalated" if part.is_escalated else "direct"
        print(
            f"bin {part.kind.query_type} {way:9} {part.flow.requests:5} {'moves' if part.moves else 'stays'}"
            f"  good {part.good.value:.3f} ({part.good.low:.3f} to {part.good.high:.3f}) true {good:.3f},"
            f" above {part.upper_good:.3f} true {above:.3f};"
            f"  saves {part.saving.value:.3f} ({part.saving.low:.3f} to {part.saving.high:.3f}) true {saved:.3f}"
        )


def test_what_is_proposed_saves_what_it_says(known):
    split = propose(kinds(known), margin=MARGIN)
    show(split, known)
    real = [truth(known, part) for part in split.parts if part.moves]
    assert split.pays
    saved = sum(saved for saved, _, _ in real)
    print(f"saved in truth {saved:.3f}")
    assert split.saving.low <= saved <= split.saving.high


def test_a_middle_that_costs_as_much_as_the_upper_tier_does_not_pay(known):
    upper, middle = (sum(one.cost_usd[tier] for one in known) for tier in (HIGH, MIDDLE))
    split = propose(kinds(known, upper / middle), margin=MARGIN)
    show(split, known)
    assert not split.pays
