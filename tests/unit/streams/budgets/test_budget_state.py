"""What the log of budgets comes to: who is granted, who waits, what is spent, and that all processes agree."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.budget_world import (
    REMEMBERED_MS,
    apply,
    apply_all,
    call,
    plan,
    release,
    reservation,
    spending,
    state_of,
)
from support.examples import examples
from support.in_memory import BASE_MS

from streams.budgets.money import pico_of, usd_of
from streams.budgets.snapshots import SnapshotParts, restored, snapshots_of
from streams.budgets.state import Crossing, Verdict
from topics.budgets import Payer, Release, Reservation, Spending
from topics.codec import decode, encode
from topics.registry import BUDGETS

ANN = Payer(user_id="ann")


def granted(events):
    return [event.call_id for event in events if isinstance(event, Verdict) and event.refusal is None]


def refused(events):
    return {event.call_id: event.refusal for event in events if isinstance(event, Verdict) and event.refusal}


def spent(state, at_s=0):
    return {(a.plan.name, a.key): usd_of(amount) for a, amount in state.sums(BASE_MS + int(at_s * 1000)) if amount}


def test_what_fits_is_granted_and_what_does_not_waits_for_calls_under_way():
    state = state_of()
    assert granted(apply(state, reservation(1), reservation(2), reservation(3))) == [call(1), call(2)]
    assert granted(apply(state, spending(1, "0.1"))) == [call(3)]
    assert spent(state) == {("b", ""): Decimal("0.1")}


def test_who_waits_is_refused_when_its_time_is_up():
    state = state_of()
    apply(state, reservation(1, "0.9"), reservation(2, "0.9", waits_s=2))
    events = apply(state, spending(9, "0"), at_s=3)
    assert refused(events)[call(2)].room_at_ms is None
    assert "held for calls under way, up to $0.90" in str(refused(events)[call(2)])


def test_an_exhausted_budget_refuses_at_once_and_says_when_there_is_room():
    state = state_of()
    apply(state, spending(1, "1", ended_s=0))
    refusal = refused(apply(state, reservation(2), at_s=10))[call(2)]
    assert (refusal.room_at_ms - BASE_MS) == 3_600_000
    assert str(refusal) == (
        "budget b (all): $1.00 of $1.00 in 1h spent, there is room again at 2026-03-01T13:00:00+00:00"
    )
    assert granted(apply(state, reservation(3, at_s=3600), at_s=3600)) == [call(3)]


def test_what_is_larger_than_the_rest_is_granted_alone():
    state = state_of()
    apply(state, spending(1, "0.9"))
    assert granted(apply(state, reservation(2, "0.4"), reservation(3, "0.4"))) == [call(2)]
    assert granted(apply(state, spending(2, "0.05"))) == [call(3)]


def test_a_later_one_does_not_overtake_and_others_are_not_held_up():
    state = state_of(plan(by="user"))
    apply(state, reservation(1, "0.5"), reservation(2, "0.9"))
    events = apply(state, reservation(3, "0.1"), reservation(4, "0.1", user="bob"))
    assert granted(events) == [call(4)]
    assert granted(apply(state, spending(1, "0.5"))) == [call(2)]
    assert granted(apply(state, spending(2, "0.1"))) == [call(3)]


def test_an_attempt_that_is_made_again_takes_the_place_of_the_call_before():
    state = state_of()
    apply(state, reservation(1, "0.9", attempt=7), reservation(2, "0.9", attempt=8))
    events = apply(state, reservation(3, "0.2", attempt=8))
    assert (granted(events), list(refused(events))) == ([], [call(2)])
    assert granted(apply(state, reservation(4, "0.8", attempt=7))) == [call(3), call(4)]


def test_every_budget_that_is_named_needs_room():
    state = state_of(plan(by="user", usd="10"), plan("all", usd="1"))
    both = ("b", "all")
    assert granted(apply(state, reservation(1, "0.7", budgets=both))) == [call(1)]
    assert granted(apply(state, reservation(2, "0.7", user="bob", budgets=both))) == []
    assert granted(apply(state, reservation(3, "0.7", user="eve", budgets=("b",)))) == [call(3)]
    assert granted(apply(state, release(1))) == [call(2)]


def test_a_call_without_an_end_is_given_up_when_it_expires():
    state = state_of()
    apply(state, reservation(1, "0.9", lasts_s=5), reservation(2, "0.9", waits_s=60))
    assert granted(apply(state, spending(9, "0"), at_s=6)) == [call(2)]
    assert spent(state) == {}
    # It may have ended all the same.
    apply(state, spending(1, "0.9"), at_s=7)
    assert spent(state) == {("b", ""): Decimal("0.9")}


def test_a_spending_counts_once_and_each_share_of_a_call_by_itself():
    state = state_of()
    apply(state, spending(1), spending(1), spending(1, request_id="other"), spending(1, revision=1))
    assert spent(state) == {("b", ""): Decimal("0.3")}


def test_a_spending_is_charged_to_each_tag_once():
    state = state_of(plan(by="tag"), plan("x", by="tag", value="x"), plan("f", by="feature"))
    apply(state, spending(1, tags=("x", "y", "x"), feature="help"))
    one = Decimal("0.1")
    assert spent(state) == {("b", "x"): one, ("b", "y"): one, ("x", "x"): one, ("f", "help"): one}


def test_the_window_moves_in_steps():
    state = state_of(plan(window="1h"))
    apply(state, spending(1, ended_s=0), spending(2, ended_s=2.4), spending(3, ended_s=2.5))
    assert spent(state, 3599)["b", ""] == Decimal("0.3")
    assert spent(state, 3600)["b", ""] == Decimal("0.1")
    assert spent(state, 3602.5) == {}
    apply(state, spending(4, ended_s=10), at_s=4000)
    assert spent(state, 4000) == {}


def levels(events):
    return [event.level for event in events if isinstance(event, Crossing)]


def test_each_level_is_told_of_once_until_the_sum_has_fallen():
    state = state_of(plan(window="1h"))
    assert levels(apply(state, spending(1, "0.7"), spending(2, "0.1"), spending(3, "0.1"))) == [1]
    assert levels(apply(state, spending(4, "0.1"), spending(5, "0.1"))) == [2]
    assert levels(apply(state, spending(6, "0.9", ended_s=4000), at_s=4000)) == [1]


def test_a_jump_over_both_levels_tells_of_the_higher_one():
    assert levels(apply(state_of(), spending(1, "2"))) == [2]


@pytest.mark.parametrize("budgets", [("gone",), ()])
def test_a_budget_that_is_not_known_asks_for_nothing(budgets):
    assert granted(apply(state_of(), reservation(1, "9", budgets=budgets))) == [call(1)]


def test_a_look_without_a_call_changes_nothing():
    state = state_of(plan(by="user"))
    assert state.refusal(ANN, ("b",), BASE_MS) is None
    apply(state, spending(1, "1"))
    assert state.refusal(ANN, ("b",), BASE_MS).spent_usd == 1
    assert state.refusal(Payer(user_id="bob"), ("b",), BASE_MS) is None
    assert state.refusal(ANN, ("b",), BASE_MS + 4_000_000) is None
    assert spent(state)["b", "ann"] == 1


def test_idle_accounts_are_forgotten():
    state = state_of(plan(by="user"))
    apply(state, *(spending(n, user=f"u{n}") for n in range(100)))
    apply(state, spending(200, user="last", ended_s=4000), at_s=4000)
    assert list(state.accounts["b"]) == ["last"]


PLANS = (
    plan("each", by="user", usd="1", window="10s"),
    plan("all", usd="2", window="1h"),
    plan("tags", by="tag", usd="1.5", window="1m", hard="none"),
)
NAMES = st.sampled_from([("each",), ("all",), ("each", "all"), ("all", "each")])
AMOUNTS = st.integers(0, 120).map(lambda cents: str(Decimal(cents) / 100))
USERS = st.sampled_from(["ann", "bob", None])


@st.composite
def logs(draw):
    """A log of budgets: calls that are asked for, end, are given back or never heard of again."""
    records, at_ms = [], 0
    for _ in range(draw(st.integers(1, 40))):
        at_ms += draw(st.integers(0, 4000))
        n, user = draw(st.integers(0, 12)), draw(USERS)
        kind = draw(st.sampled_from(["ask", "ask", "spend", "spend", "release"]))
        if kind == "ask":
            waits, lasts = draw(st.integers(0, 5)), draw(st.integers(1, 20))
            times = {"at_s": at_ms / 1000, "waits_s": waits, "lasts_s": lasts}
            attempt = draw(st.integers(0, 12))
            record = reservation(n, draw(AMOUNTS), user=user, budgets=draw(NAMES), attempt=attempt, **times)
        elif kind == "spend":
            ended_s = max(at_ms - draw(st.integers(0, 3000)), 0) / 1000
            record = spending(n, draw(AMOUNTS), user=user, ended_s=ended_s, tags=draw(st.sampled_from([(), ("x",)])))
        else:
            record = release(n)
        records.append((record, at_ms))
    return records


def shape(state):
    """All that decides about what comes."""
    accounts = {}
    for account, spent in state.sums(state.at_ms):
        waiting = [c.reservation.call_id for c in account.waiting if not c.over]
        if spent or account.held or waiting:
            # What was told of a sum that has left the window is taken back by the next spending, before it counts.
            told = account.told if spent else 0
            accounts[account.plan.name, account.key] = (spent, account.held, told, waiting)
    return accounts, {one: claim.granted for one, claim in state.claims.items()}, state.at_ms


@given(logs(), st.data())
def test_a_snapshot_is_as_good_as_all_that_it_stands_for(records, data):
    cut = data.draw(st.integers(0, len(records)))
    whole = state_of(*PLANS)
    apply_all(whole, records[:cut])
    parts = SnapshotParts()
    for one in snapshots_of(whole, cut, "w"):
        encoded = encode(one)
        parts.add(decode(BUDGETS, encoded.value, encoded.headers).record)
    again = restored(parts.latest(PLANS), PLANS, REMEMBERED_MS)
    for record, at_ms in records[:cut]:
        if isinstance(record, Spending):
            again.remember(record, BASE_MS + at_ms)
    assert shape(again) == shape(whole)
    rest = records[cut:]
    assert apply_all(again, rest) == apply_all(whole, rest)
    assert shape(again) == shape(whole)


@given(logs())
@settings(max_examples=examples(200))
def test_grants_stay_within_the_limit_and_no_money_is_lost(records):
    state, counted = state_of(*PLANS), {}
    for record, at_ms in records:
        events = state.apply(record, BASE_MS + at_ms)
        if isinstance(record, Spending) and record.call_id not in counted:
            counted[record.call_id] = record
        for claim in (state.claims[one] for one in granted(events) if one in state.claims):
            for account in claim.accounts:
                assert account.held == claim.most or account.sums.total + account.held <= account.plan.limit
        for one, amount in state.sums(BASE_MS + at_ms):
            wanted = [
                s
                for s in counted.values()
                if one.key in one.plan.keys_of(s.payer)
                and int(s.ended_at.timestamp() * 1000) // one.plan.settings.step_ms
                >= one.plan.first_step(BASE_MS + at_ms)
            ]
            assert amount == sum(pico_of(s.cost_usd) for s in wanted)
        for account in (a for accounts in state.accounts.values() for a in accounts.values()):
            held = [c for c in state.claims.values() if c.granted and account in c.accounts]
            assert account.held == sum(c.most for c in held)
    # Whoever waits is decided on in the end.
    state.apply(Release(call_id=call(99), request_id="r"), BASE_MS + 10_000_000)
    assert not state.claims


@given(logs())
def test_every_process_comes_to_the_same_verdicts(records):
    """Whatever else happens in it: one has looked at sums in between, the other has not."""
    one, other = state_of(*PLANS), state_of(*PLANS)
    for record, at_ms in records:
        list(other.sums(BASE_MS + at_ms + 500))
        other.refusal(ANN, ("each", "all"), BASE_MS + at_ms + 700)
        assert one.apply(record, BASE_MS + at_ms) == other.apply(record, BASE_MS + at_ms)


def test_a_reservation_that_comes_twice_is_one():
    state = state_of()
    assert granted(apply(state, reservation(1), reservation(1))) == [call(1)]
    assert state.accounts["b"][""].held == pico_of(Decimal("0.4"))


def test_a_large_state_comes_in_several_records():
    plans = (plan(by="user"), plan("all"))
    state = state_of(*plans)
    apply(state, *(spending(n, user=f"u{n}") for n in range(12_000)), reservation(99_999, "0.5", budgets=("b",)))
    records = snapshots_of(state, 7, "w")
    assert len(records) > 2
    assert max(len(encode(record).value) for record in records) < 2_000_000
    parts = SnapshotParts()
    for record in records[1:]:
        parts.add(record)
    assert parts.latest(plans) is None
    parts.add(records[0])
    assert shape(restored(parts.latest(plans), plans, REMEMBERED_MS)) == shape(state)
    assert parts.latest((*plans, plan("new"))) is None
    assert parts.latest((plan(by="user", window="2h"),)) is None


def test_records_name_themselves():
    assert {Reservation.SCHEMA, Spending.SCHEMA, Release.SCHEMA} < {record.SCHEMA for record in BUDGETS.records}
