"""The traffic of a month, how the models change meanwhile, and what users say."""

import json

import pytest

from streams.config.settings import load
from tierstream.bench.month_traffic import MonthPlan, day_tag, script_of, traffic_of
from tierstream.simulator.answers import Script, ScriptEntry
from tierstream.training.own_traffic import is_held_back

PLAN = MonthPlan(requests=3000, days=30, rate=40, seed=1)
BUSY = MonthPlan(requests=30_000, days=30, rate=40, seed=1)
SETTINGS = load()
FIRST, SECOND = ([model.model for model in tier.models] for tier in SETTINGS.tiers[:2])


def days(*numbers):
    return {day: traffic_of(PLAN, day) for day in numbers}


def forgotten(day, kind):
    """Which share of the questions of a kind the tiers have a wrong answer to that they could answer, by tier."""
    asked = [one for one in traffic_of(BUSY, day) if one.kind == kind and one.entry.label is not None]
    found = {}
    for tier, models in ((1, FIRST), (2, SECOND)):
        able = [one for one in asked if one.entry.label <= tier]
        scripts = list(script_of(BUSY, SETTINGS, day, able))
        wrong = [script for script in scripts if set(models) <= set(script.get("answers", ()))]
        assert all(
            not one.entry.right(text)
            for one, script in zip(able, scripts, strict=True)
            for text in script.get("answers", {}).values()
        )
        found[tier] = len(wrong) / len(able)
    return found


def test_each_request_has_a_text_and_an_id_of_its_own_and_the_tag_of_its_day():
    asked = [(day, one) for day, of_day in days(1, 2, 15).items() for one in of_day]
    assert len({one.request.question for _, one in asked}) == len({one.request.request_id for _, one in asked}) == 300
    assert all(day_tag(day) in one.request.tags for day, one in asked)
    assert all(one.entry.prompt == one.request.question for _, one in asked)
    assert 0 < sum(is_held_back(one.request, 0.2) for _, one in asked) < 150


def test_the_seed_decides():
    assert [one.request for one in traffic_of(PLAN, 3)] == [one.request for one in traffic_of(PLAN, 3)]
    other = MonthPlan(requests=3000, days=30, rate=40, seed=2)
    assert [one.entry for one in traffic_of(other, 3)] != [one.entry for one in traffic_of(PLAN, 3)]


def test_the_days_of_a_month_have_all_of_its_requests():
    plan = MonthPlan(requests=203, days=4, rate=40, seed=1)
    assert sum(plan.requests_of(day) for day in range(1, 5)) == 203
    assert sum(len(traffic_of(plan, day)) for day in range(1, 5)) == 203


def test_a_shorter_month_has_its_changes_at_the_same_shares_of_its_days():
    assert [day for day, _ in PLAN.changes] == [8, 15, 20, 24]
    assert PLAN.trained_after == {7, 14, 28}
    shorter = MonthPlan(requests=200, days=4, rate=40, seed=1)
    assert [day for day, _ in shorter.changes] == [2, 2, 3, 4]
    assert shorter.trained_after == {1, 2, 4}


def test_from_the_middle_on_more_of_what_needs_a_higher_tier_is_asked():
    def hard(day):
        asked = [one for one in traffic_of(PLAN, day) if not one.kind.startswith("looks")]
        return sum(one.entry.label != 1 for one in asked) / len(asked)

    assert sum(map(hard, range(15, 20))) > 1.4 * sum(map(hard, range(10, 15)))


@pytest.mark.parametrize(
    ("day", "kind", "first", "second"),
    [
        (7, "code", False, False),
        (8, "code", True, False),
        (8, "analysis", True, False),
        (8, "faq", False, False),
        (8, "looks_hard", False, False),
        (19, "support", False, False),
        (20, "support", False, True),
        (23, "code", True, False),
        (24, "code", False, False),
        (24, "support", False, True),
    ],
)
def test_models_get_wrong_what_they_got_right_on_the_days_of_the_script(day, kind, first, second):
    found = forgotten(day, kind)
    assert [share > 0.3 for share in found.values()] == [first, second]


def test_the_simulator_takes_the_script_of_every_day_and_the_last_one_holds():
    script = Script()
    for day, asked in days(7, 8).items():
        lines = list(script_of(PLAN, SETTINGS, day, asked))
        assert script.add_lines("\n".join(map(json.dumps, lines)), "month") == len(asked)
    one = traffic_of(PLAN, 8)[0]
    assert isinstance(script.find(one.request.question), ScriptEntry)


def test_what_sounds_hard_may_come_from_a_service_that_the_first_tier_has_to_answer():
    asked = [one for of_day in days(1, 2, 3).values() for one in of_day if one.kind == "looks_hard"]
    capped = [one for one in asked if one.request.max_tier == 1]
    assert 0 < len(capped) < len(asked)
    assert {one.entry.label for one in asked} == {1}
