"""Figures of a month that was not run."""

from datetime import UTC, datetime
from decimal import Decimal

from tierstream.bench.month_report import (
    Change,
    Day,
    Learned,
    LearnedRate,
    MonthReport,
    MonthRun,
    Step,
    TrainingRound,
    Verified,
    phases_of,
)
from tierstream.bench.pipeline_report import Machine

CHANGES = (Change(day=2, what="the first tier gets worse"), Change(day=3, what="harder requests"))
RATE = LearnedRate(tier=1, model="groq/one", query_type="code", rate=0.4, reason="9 of 20 failed")


def a_day(day, right, cost, in_the_end=None):
    return Day(
        day=day,
        requests=10,
        right=right,
        right_in_the_end=right if in_the_end is None else in_the_end,
        first_tiers={"1": 10},
        tiers={"1": 10},
        judged=2,
        escalated=1,
        right_by_kind={"faq": (right, 10)},
        cost_usd=Decimal(cost),
    )


def a_run(name, *days, **more):
    learned = Learned(
        judge_rates=() if name == "off" else (RATE,),
        judge_others=None if name == "off" else 0.05,
        online_policies=7 if name == "budget" else 0,
        canaries={},
        escalations=3,
        validations=5,
        feedback={"thumbs_up": 4},
        revisions=0 if name == "off" else 2,
        revisions_right=0 if name == "off" else 1,
        cost_by_purpose={"infer": Decimal("0.01")},
    )
    fields = {
        "seconds": 12.0,
        "requests": 10 * len(days),
        "results": 10 * len(days),
        "missing": 0,
        "duplicates": 0,
        "steps": (),
        "rounds": (),
        "planted": None,
        "learned": learned,
        "verified": Verified(ok=True, violated={}),
    }
    return MonthRun(name=name, days=days, **{**fields, **more})


def month_report(**more):
    round_ = TrainingRound(
        after_day=1, version="0123456789ab", state="promoted", reason="it costs less", labels={"judge": 12}, moved=3
    )
    steps = (
        Step(day=1, version="0123456789ab", state="promoted", by="learn", reason="it costs less"),
        Step(day=2, version="ba9876543210", state="promoted", by="operator", reason="planted"),
        Step(day=2, version="ba9876543210", state="rolled_back", by="learn", reason="complaints: 30 %"),
    )
    on = {"steps": steps, "rounds": (round_,), "planted": "ba9876543210", **more}
    runs = (
        a_run("off", a_day(1, 8, "0.01"), a_day(2, 5, "0.02"), a_day(3, 4, "0.03")),
        a_run("on", a_day(1, 8, "0.02"), a_day(2, 7, "0.03", 8), a_day(3, 8, "0.04"), **on),
        a_run("budget", a_day(1, 8, "0.01"), a_day(2, 6, "0.02"), a_day(3, 7, "0.03")),
    )
    return MonthReport(
        machine=Machine(cpus=2, system="Linux", python="3.11", tierstream="0"),
        at=datetime(2026, 11, 26, tzinfo=UTC),
        seed=1,
        rate=40,
        changes=CHANGES,
        loop={},
        budget_usd_per_request=runs[0].usd_per_request,
        runs=runs,
        phases=tuple(phases_of(runs, CHANGES)),
    )
