"""Made traffic: the same every time, consistent in its money, of the shapes that are promised, with what is planted."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise
from statistics import median

import pytest

from analytics.rows import Position, rows_of
from tierstream.bench.ledger_plants import MisTiered, Plants, PowerUser, PriceChange, SlowProvider
from tierstream.bench.ledger_traffic import Traffic
from topics.base import Record
from topics.control import BreakerStatus
from topics.events import Hops
from topics.journal import CallEnded, CallStarted, Purpose
from topics.results import Result, ResultStatus

START = datetime(2026, 9, 28, tzinfo=UTC)
"""A Monday."""


@dataclass
class Found:
    placed: list[tuple[Position, Record]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    started: list[CallStarted] = field(default_factory=list)
    ended: list[CallEnded] = field(default_factory=list)
    hops: list[Hops] = field(default_factory=list)
    breakers: list[BreakerStatus] = field(default_factory=list)


REQUESTS = 6_000


@cache
def found(plants: Plants | None = None, requests: int = REQUESTS, days: int = 14) -> Found:
    all_of = Found()
    kinds = {
        Result: all_of.results,
        CallStarted: all_of.started,
        CallEnded: all_of.ended,
        Hops: all_of.hops,
        BreakerStatus: all_of.breakers,
    }
    for records in Traffic(7, requests, days, START, 1000, plants or Plants()):
        for position, record in records:
            all_of.placed.append((position, record))
            kinds[type(record)].append(record)
    return all_of


def first_results() -> list[Result]:
    return [result for result in found().results if result.revision == 0]


def test_the_same_arguments_give_the_same_records_and_another_seed_gives_others():
    traffic = Traffic(1, 200, 2, START, 50)
    assert list(traffic) == list(traffic)
    assert list(traffic) != list(Traffic(2, 200, 2, START, 50))


def test_records_are_in_the_order_of_their_partitions_without_gaps_and_make_rows():
    places = defaultdict(list)
    for position, record in found().placed:
        places[position.topic, position.partition].append((position.offset, position.timestamp_ms))
        assert rows_of(record, position, "none")
    for place in places.values():
        assert [offset for offset, _ in place] == list(range(len(place)))
        assert all(before <= after for (_, before), (_, after) in pairwise(place))
    assert {topic for topic, _ in places} == {"llm.results", "llm.calls", "llm.hops", "llm.control"}


def test_each_request_has_one_result_of_its_first_revision():
    assert len(first_results()) == REQUESTS
    assert len({result.request_id for result in first_results()}) == REQUESTS
    again = {result.request_id for result in found().results if result.revision == 1}
    assert again
    assert again <= {result.request_id for result in first_results() if result.status is ResultStatus.OK}


def test_a_route_costs_what_its_calls_do_and_a_shared_call_costs_the_whole():
    costs: dict[tuple[str, int], Decimal] = defaultdict(Decimal)
    shared: dict[object, list[CallEnded]] = defaultdict(list)
    for call in found().ended:
        if call.purpose is not Purpose.SHADOW:
            costs[call.request_id, call.revision] += call.cost_usd
        if call.rates is not None and call.usage is not None:
            assert call.cost_usd == call.rates.cost(call.usage)
        if call.shares > 1:
            shared[call.call_id].append(call)
    for result in found().results:
        assert result.cost_usd == sum((line.cost_usd for line in result.route), start=Decimal(0))
        assert result.cost_usd == costs[result.request_id, result.revision]
    assert len(shared) > 10
    for parts in shared.values():
        assert len(parts) == parts[0].shares
        assert len({part.request_id for part in parts}) == len(parts)


def test_tiers_have_the_shares_that_are_said():
    answered = Counter(result.tier for result in first_results() if result.tier is not None)
    shares = [answered[tier] / answered.total() for tier in (1, 2, 3)]
    assert shares == pytest.approx([0.76, 0.19, 0.05], abs=0.04)


def test_everything_that_can_happen_to_a_request_happens():
    whys = Counter(line.why.split(":")[0].split(" ")[0] for result in found().results for line in result.route)
    assert {"rule", "classifier", "escalated", "promoted", "fallback", "judge", "judge,", "feedback"} <= set(whys)
    statuses = {result.status for result in first_results()}
    assert {ResultStatus.OK, ResultStatus.DEGRADED, ResultStatus.REJECTED} <= statuses
    outcomes = {(hop.stage.split(":")[0], hop.outcome) for one in found().hops for hop in one.hops}
    assert {("parked", "returned"), ("shadow", "win"), ("validate", "judge_fail"), ("infer", "timeout")} <= outcomes
    calls = found().ended
    assert {call.purpose for call in calls} == set(Purpose)
    assert any(call.batch_size > 1 for call in calls)
    assert any(call.first_token_ms for call in calls)
    assert any(call.usage and call.usage.cached for call in calls)
    assert any(call.usage and call.usage.cache_written for call in calls)
    assert any(call.usage and call.usage.source == "estimated" for call in calls)
    ended = {call.call_id for call in calls}
    unknown = [call for call in found().started if call.call_id not in ended]
    assert unknown
    # The attempt has travelled again, under its own id.
    assert {call.attempt_id for call in unknown} <= {call.attempt_id for call in calls}
    assert found().breakers


def test_few_have_much_and_questions_repeat():
    for name, top in (("user_id", 0.1), ("feature", 0.2)):
        counts = Counter(getattr(result, name) for result in first_results())
        assert counts.most_common(1)[0][1] > top * REQUESTS
    signatures = Counter(result.signature for result in first_results() if result.signature is not None)
    assert signatures.most_common(1)[0][1] > 25
    assert sum(count == 1 for count in signatures.values()) > 0.4 * REQUESTS


def test_nights_and_weekends_are_quiet():
    at = Counter((result.settled_at.weekday() >= 5, result.settled_at.hour) for result in first_results())
    assert at[False, 13] > 3 * at[False, 1]
    assert at[False, 13] / 5 > 2 * at[True, 13] / 2


def test_steps_follow_each_other_in_time():
    for one in found().hops:
        for hop in one.hops:
            assert hop.started_at <= hop.ended_at
        assert all(before.ended_at <= after.ended_at for before, after in pairwise(one.hops))


def test_a_power_user_asks_the_top_tier_what_others_get_answered_well_by_the_first():
    plant = PowerUser()
    planted = found(Plants(power_user=plant)).results
    costs: dict[str | None, Decimal] = defaultdict(Decimal)
    for result in planted:
        for line in result.route:
            if line.tier == 3 and line.stage.startswith("infer"):
                costs[result.user_id] += line.cost_usd
    assert float(costs[plant.user_id] / sum(costs.values())) == pytest.approx(plant.share, abs=0.06)
    asked = int(plant.signature, 16)
    same = [r for r in planted if r.signature and (int(r.signature, 16) ^ asked).bit_count() <= 3]
    theirs = [result for result in same if result.user_id == plant.user_id]
    assert len(theirs) == sum(result.user_id == plant.user_id for result in planted) > 30
    assert {result.tier for result in theirs} == {3}
    others = [result for result in same if result.user_id != plant.user_id]
    assert len(others) > 10
    assert sum(result.tier == 1 for result in others) > 0.9 * len(others)
    verdicts = Counter(line.outcome for result in others for line in result.route if line.stage == "validate")
    assert verdicts["judge_pass"] > 1
    assert verdicts["judge_fail"] <= 0.2 * verdicts.total()


def test_a_price_changes_on_its_day():
    plant = PriceChange(day=6)
    calls = found(Plants(price_change=plant), 2000, 12).ended
    changed = START + timedelta(days=plant.day)
    rates: dict[bool, set[Decimal]] = defaultdict(set)
    for call in calls:
        if (call.provider, call.model) == (plant.provider, plant.model) and call.rates is not None:
            rates[call.started_at >= changed].add(call.rates.input)
    assert len(rates[False]) == len(rates[True]) == 1
    assert rates[True].pop() == plant.factor * rates[False].pop()


def test_a_slow_provider_takes_longer_than_the_other_of_its_tier():
    plant = SlowProvider()
    times = defaultdict(list)
    for call in found(Plants(slow_provider=plant), 2000, 12).ended:
        if call.tier == 2 and call.purpose is Purpose.INFER and call.error is None and call.usage is not None:
            times[call.model].append(call.provider_ms / call.usage.output)
    assert set(times) > {plant.model}
    [other] = set(times) - {plant.model}
    assert len(times[other]) > 50
    assert median(times[plant.model]) > 2 * median(times[other])


def test_a_mis_tiered_feature_does_as_well_on_lower_tiers():
    plant = MisTiered(share=0.2)
    results = [r for r in found(Plants(mis_tiered=plant), 2000, 7).results if r.feature == plant.feature]
    by_tier: dict[int, Counter[str]] = defaultdict(Counter)
    for result in results:
        for line in result.route:
            if line.stage == "validate":
                by_tier[line.tier][line.outcome] += 1
    top = sum(result.tier == 3 for result in results) / len(results)
    assert top == pytest.approx(plant.top_share, abs=0.1)
    for tier in (1, 3):
        assert by_tier[tier]["judge_pass"] / by_tier[tier].total() > 0.9
        assert by_tier[tier].total() > 20
