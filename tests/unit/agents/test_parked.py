"""When a parked record leaves, and what becomes of it."""

import math
from datetime import timedelta
from decimal import Decimal
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from support.handler_runs import new
from support.in_memory import BASE, BASE_MS, USAGE, Stored, new_request, new_task

from agents.parked import Parking, home_tier, outputs_of
from streams.runtime.failed_records import FailedRecord
from streams.runtime.hold import Held, Hold
from streams.runtime.stage import Received
from topics.codec import encode
from topics.events import DeadLetter
from topics.results import Outcome, ResultStatus
from topics.tasks import Attempt, Completion, Parked, TierTask

TP = TopicPartition("llm.parked", 2)
PARKED_S = 2.0
SEEN = 1000.0
"""When the records of these tests are seen, by the monotonic clock."""
GRID_S = 0.05
"""How much earlier than its due moment a record may leave, to leave together with others."""
ATTEMPT = Attempt(
    attempt_id=uuid4(),
    stage="infer:3",
    tier=3,
    provider="trusted",
    model="d",
    why="classifier requests/1:745284b7",
    outcome="overloaded",
    cost_usd=Decimal("0.01"),
    provider_ms=12.5,
)
BEST = Completion(
    attempt_id=ATTEMPT.attempt_id,
    tier=1,
    provider="fast",
    model="a",
    content="I am not sure.",
    finish_reason="stop",
    usage=USAGE,
)


def stored(offset=5, *, value=None, reason="no provider of tier 3", **task):
    parked = Parked(task=new_task(**task), reason=reason)
    encoded = encode(parked)
    return Stored(offset, BASE_MS, encoded.key, encoded.value if value is None else value, tuple(encoded.headers))


def held(record=None, *, age_s=0.0, parked_s=PARKED_S, **task):
    received = Received.of(record or stored(**task), TP)
    return Held.of(received, parked_s=parked_s, monotonic=SEEN, now=BASE + timedelta(seconds=age_s))


def leaving(one, *, expired=False, after_s=PARKED_S):
    at = BASE + timedelta(seconds=after_s)
    return outputs_of(one, FailedRecord("parked", one.received, at), has_expired=expired, tiers=3, at=at)


def by_topic(outputs):
    return {output.topic.name: output.record for output in outputs}


class TestWhen:
    @pytest.mark.parametrize(
        ("age_s", "rest_s"),
        [(0.0, PARKED_S), (0.5, PARKED_S - 0.5), (PARKED_S, 0), (900, 0), (-900, PARKED_S)],
        ids=["fresh", "younger", "due", "after an outage", "from the future"],
    )
    def test_a_record_rests_from_its_append_whatever_a_clock_says(self, age_s, rest_s):
        one = held(age_s=age_s, deadline=BASE + timedelta(days=1))
        assert rest_s - GRID_S <= one.wake - SEEN <= rest_s

    @given(st.floats(-1e6, 1e6), st.floats(0.01, 1e4))
    def test_never_longer_than_the_rest_from_when_it_was_seen(self, age_s, parked_s):
        one = held(age_s=age_s, parked_s=parked_s, deadline=BASE + timedelta(days=365))
        assert one.wake - SEEN <= parked_s + 1e-9

    def test_a_task_that_moved_rests_from_when_it_was_parked(self):
        parked = Parked(task=new_task(deadline=BASE + timedelta(days=1)), reason="x", since_ms=BASE_MS - 1500)
        one = held(stored(value=encode(parked).value))
        assert (one.since_ms, one.received.timestamp) == (BASE_MS - 1500, BASE_MS)
        assert 0.5 - GRID_S <= one.wake - SEEN <= 0.5
        assert leaving(one)[0].record.hops[-1].queue_ms == 3500.0

    def test_the_deadline_ends_the_rest(self):
        one = held(age_s=0.5, deadline=BASE + timedelta(seconds=1.25))
        assert one.wake == one.expires == SEEN + 0.75

    def test_a_deadline_that_has_passed_is_due_at_once(self):
        one = held(age_s=3, deadline=BASE)
        assert one.wake <= SEEN

    def test_what_can_not_be_read_leaves_at_once(self):
        one = held(stored(value=b"{"))
        assert (one.wake, one.expires) == (SEEN, math.inf)


class TestHold:
    def fill(self, *deadlines_s):
        hold = Hold()
        for offset, deadline_s in enumerate(deadlines_s, start=10):
            hold.add(held(stored(offset, deadline=BASE + timedelta(seconds=deadline_s))))
        return hold

    def test_nothing_is_held(self):
        hold = Hold()
        assert hold.next_wake == math.inf
        assert hold.take(1e9, 10) == []
        assert hold.position == 0

    def test_nothing_leaves_before_its_time(self):
        hold = self.fill(60, 60)
        assert hold.take(SEEN + PARKED_S - 2 * GRID_S, 10) == []
        assert [one.received.offset for one in hold.take(SEEN + PARKED_S, 10)] == [10, 11]
        assert hold.take(SEEN + PARKED_S, 10) == []

    def test_the_position_waits_for_the_oldest(self):
        hold = self.fill(60, 1, 60)
        expired = hold.take(SEEN + 1, 10)
        assert [one.received.offset for one in expired] == [11]
        hold.let_go(expired)
        assert hold.position == 10
        [first] = hold.take(SEEN + PARKED_S, 1)
        hold.let_go([first])
        assert hold.position == 12
        hold.let_go(hold.take(SEEN + PARKED_S, 1))
        assert hold.position == 13

    def test_the_position_waits_for_the_acknowledgement(self):
        hold = self.fill(60)
        hold.take(SEEN + PARKED_S, 1)
        assert hold.position == 0

    def test_who_rests_before_one_that_left_is_in_the_way(self):
        hold = self.fill(60, 1, 60)
        resting = hold.take(SEEN + PARKED_S, 3)
        assert not any(hold.is_in_the_way(one) for one in resting)
        first, second, third = sorted(resting, key=lambda one: one.received.offset)
        hold.let_go([second])
        assert hold.is_in_the_way(first)
        assert not hold.is_in_the_way(third)

    def test_so_is_everyone_once_there_is_no_room(self):
        hold = Hold()
        for offset in range(500):
            hold.add(held(stored(offset)))
        assert all(hold.is_in_the_way(one) for one in hold.take(SEEN + PARKED_S, 500))

    def test_room_is_limited_by_records_and_by_bytes(self):
        hold = Hold()
        for offset in range(500):
            assert hold.has_room
            hold.add(held(stored(offset)))
        assert not hold.has_room
        hold.let_go(hold.take(SEEN + PARKED_S, 1))
        assert hold.has_room

        large = Hold()
        for offset in range(4):
            assert large.has_room
            large.add(held(stored(offset, request=new_request("x" * 1024 * 1024))))
        assert not large.has_room


class TestWhat:
    @pytest.mark.parametrize(("tier", "promoted_from", "home"), [(2, None, 2), (3, 1, 1)])
    def test_a_task_goes_back_to_the_tier_that_it_belongs_to(self, tier, promoted_from, home):
        task = new_task(tier=tier, promoted_from=promoted_from, attempts=(ATTEMPT,), best=BEST)
        one = held(tier=tier, promoted_from=promoted_from, attempts=(ATTEMPT,), best=BEST)
        assert home_tier(task) == home
        found = by_topic(leaving(one))
        assert found.keys() == {f"tier{home}"}
        back = found[f"tier{home}"]
        assert isinstance(back, TierTask)
        why = "back from parking: no provider of tier 3"
        assert back == task.model_copy(update={"tier": home, "promoted_from": None, "why": why, "hops": back.hops})

    def test_its_hop_goes_with_it(self):
        [hop] = by_topic(leaving(held()))["tier1"].hops
        assert (hop.stage, hop.outcome, hop.tier, hop.queue_ms) == ("parked", "returned", 1, 2000.0)
        assert hop.detail == "no provider of tier 3"

    def test_it_expires_at_the_deadline(self):
        found = by_topic(leaving(held(attempts=(ATTEMPT,)), expired=True))
        outcome = found["outcomes"]
        assert isinstance(outcome, Outcome)
        assert (outcome.status, outcome.error.code, outcome.stage) == (ResultStatus.EXPIRED, "deadline", "parked")
        assert (outcome.route, outcome.cost_usd) == ((ATTEMPT,), Decimal("0.01"))
        assert [hop.outcome for hop in outcome.hops] == ["expired"]
        assert found.keys() == {"outcomes"}

    def test_the_best_answer_so_far_is_returned_at_the_deadline(self):
        outcome = by_topic(leaving(held(attempts=(ATTEMPT,), best=BEST), expired=True))["outcomes"]
        assert (outcome.status, outcome.content) == (ResultStatus.DEGRADED, "I am not sure.")

    def test_a_clock_that_runs_behind_waits_for_nothing_negative(self):
        assert leaving(held(), after_s=-5)[0].record.hops[0].queue_ms == 0

    def test_what_can_not_be_read_is_a_dead_letter(self):
        [output] = leaving(held(stored(value=b"{")))
        letter = output.record
        assert isinstance(letter, DeadLetter)
        assert (letter.stage, letter.reason, letter.topic) == ("parked", "not_json", "llm.parked")
        assert (letter.partition, letter.offset, letter.value) == (2, 5, b"{")

    def test_and_ends_its_request_where_the_id_can_be_read(self):
        value = b'{"task": {"request": {"request_id": "r9"}}, "reason": "x"}'
        found = by_topic(leaving(held(stored(value=value))))
        assert found["dead-letters"].request_id == "r9"
        outcome = found["outcomes"]
        assert (outcome.request_id, outcome.status, outcome.error.code) == ("r9", ResultStatus.FAILED, "invalid")

    @pytest.mark.parametrize("expired", [False, True])
    def test_a_record_that_fails_because_of_what_it_carries_ends_its_request(self, expired):
        huge = Decimal(99999999999999999999999999)
        attempts = (ATTEMPT.model_copy(update={"cost_usd": huge}),) * 2
        one = held(attempts=attempts) if expired else held(tier=9, revision=1)
        found = by_topic(leaving(one, expired=expired))
        assert found.keys() == {"dead-letters", "outcomes"}
        assert found["dead-letters"].reason == "handler_error"
        assert "Traceback" in found["dead-letters"].traceback
        outcome = found["outcomes"]
        assert (outcome.status, outcome.error.code) == (ResultStatus.FAILED, "internal")
        assert (outcome.revision, outcome.digest) == (one.content.task.revision, one.content.task.digest)


class TestAnswers:
    """What rests for want of a judge."""

    def held(self):
        parked = Parked(task=new_task(tier=2), reason="no judge", completion=BEST)
        encoded = encode(parked)
        return held(Stored(5, BASE_MS, encoded.key, encoded.value, tuple(encoded.headers)))

    @pytest.mark.parametrize("expired", [False, True])
    def test_an_answer_goes_back_to_its_judges_also_at_its_deadline(self, expired):
        [(topic, answer)] = by_topic(leaving(self.held(), expired=expired)).items()
        assert (topic, answer.completion, answer.why, answer.withheld) == ("validation", BEST, "critical path", True)
        [hop] = answer.task.hops
        assert (hop.stage, hop.outcome, hop.detail) == ("parked", "returned", "no judge")

    @pytest.mark.parametrize(
        ("broken", "rests"), [((), False), (("trusted/c",), False), (("trusted/c", "spare/b"), True)]
    )
    async def test_it_rests_while_no_judge_lets_calls_through(self, broken, rests):
        bench = new()
        for target in broken:
            bench.engine.gate.order(target, "open")
        parking = Parking(bench.settings, bench.log, bench.engine.gate, bench.settled, bench.clock)
        assert parking._rests_on(self.held(), SEEN) is rests

    async def test_the_tiers_being_closed_does_not_keep_it(self):
        bench = new()
        for tier in (1, 2, 3):
            bench.engine.gate.order(f"tier:{tier}", "open")
        parking = Parking(bench.settings, bench.log, bench.engine.gate, bench.settled, bench.clock)
        assert not parking._rests_on(self.held(), SEEN)
