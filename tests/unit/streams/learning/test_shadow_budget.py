"""What shadows may spend: never more than the budget, however often partitions change hands."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from streams.learning.shadow_budget import MOST_SAVED, ShadowBudgets

AT = datetime(2026, 3, 1, tzinfo=UTC)
COST = Decimal("0.01")


def take(budgets: ShadowBudgets, at: datetime, *, name="s", per_day="1", place=(0, 1), partitions=1, cost=COST) -> bool:
    return budgets.take(name, Decimal(per_day), place, partitions, cost, at)


def test_one_comparison_begins_at_once_and_the_next_when_it_is_paid_for():
    budgets = ShadowBudgets()
    assert take(budgets, AT)
    assert not take(budgets, AT)
    # A dollar is earned in a day and a quarter, for a quarter of a day may be saved up.
    assert not take(budgets, AT + timedelta(minutes=17))
    assert take(budgets, AT + timedelta(minutes=19))


def test_without_a_budget_nothing_begins():
    assert not take(ShadowBudgets(), AT, per_day="0")


def test_what_is_not_spent_is_given_back():
    budgets = ShadowBudgets()
    assert take(budgets, AT)
    budgets.give_back("s", 0, COST)
    assert take(budgets, AT)


def test_shadows_and_partitions_have_credit_of_their_own():
    budgets = ShadowBudgets()
    assert take(budgets, AT)
    assert take(budgets, AT, name="t")
    assert take(budgets, AT, place=(1, 1))
    assert not take(budgets, AT)


def test_savings_have_an_end():
    budgets = ShadowBudgets()
    assert take(budgets, AT)
    later, begun = AT + timedelta(days=30), 0
    while take(budgets, later):
        begun += 1
    assert begun == pytest.approx(float(Decimal(1) / COST) * MOST_SAVED / timedelta(hours=30), abs=1)


def test_a_partition_that_was_away_has_earned_nothing_meanwhile():
    budgets = ShadowBudgets()
    assert take(budgets, AT, cost=Decimal(0))
    back = AT + timedelta(hours=12)
    assert take(budgets, back, place=(0, 2))
    assert not take(budgets, back, place=(0, 2))


@pytest.mark.parametrize("seed", range(5))
def test_in_any_day_no_more_is_spent_than_the_budget_and_one_comparison_a_handover(seed):
    """Three partitions among processes that are killed at random, and more work than money."""
    draw, partitions = random.Random(seed), 3
    spent: list[tuple[datetime, Decimal]] = []
    handovers: list[datetime] = [AT] * partitions
    owners = {partition: ShadowBudgets() for partition in range(partitions)}
    at = AT
    while at < AT + timedelta(days=3):
        at += timedelta(seconds=draw.expovariate(1 / 120))
        partition = draw.randrange(partitions)
        if draw.random() < 0.01:
            owners[partition] = ShadowBudgets()
            handovers.append(at)
        if take(owners[partition], at, place=(partition, 1), partitions=partitions):
            spent.append((at, COST))
    for start in (AT + timedelta(hours=hours) for hours in range(48)):
        end = start + timedelta(days=1)
        total = sum(cost for moment, cost in spent if start <= moment < end)
        extra = sum(start <= moment < end for moment in handovers) + partitions
        assert total <= Decimal(1) + extra * COST
    assert sum(cost for _, cost in spent) > Decimal(2)
