"""Which version of a classifier decides: always the one that the broker's time of the request says."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config.settings import load
from streams.config.settings_sections import KafkaSettings
from streams.control.active_models import ActiveModels
from streams.control.control_state import ControlState, ModelPlace, Withdrawn
from streams.control.model_store import ModelStore
from streams.control.rollout import CONFIGURED, Activation, Step, in_force, needed, next_order, steps_of
from streams.routing.versions import KEPT, ClassifierVersions
from tierstream.operations.model_versions import PublishedModel, model_reports, worker_models
from topics.base import from_millis
from topics.control import STEPS_BEFORE, ActiveModel, ModelStatus, model_key, model_status_key

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_MS = round(AT.timestamp() * 1000)
HOUR = timedelta(hours=1)
A, B, C = ("a" * 12, "b" * 12, "c" * 12)

versions = st.sampled_from((A, B, C, "shipped", CONFIGURED))
orders = st.lists(st.tuples(versions, st.integers(1, 5_000), st.integers(0, 10_000)), max_size=7)
"""Version, milliseconds since the order before, milliseconds until it takes force."""


@dataclass(frozen=True)
class Named:
    version: str

    def read(self, request, tiers):
        raise NotImplementedError


def take(versions, steps):
    """Do as a worker does."""
    for number, step in enumerate(steps):
        versions.activate(Named(step.version), step.since_ms if number else 0)
    return versions


def started(steps):
    return take(ClassifierVersions(Named(CONFIGURED)), steps)


def ordered(sequence, window_ms=10**12):
    """Give orders one after the other, as the CLI does; yields each activation."""
    now, activation = NOW_MS, None
    for version, wait, delay in sequence:
        now += wait
        earlier = needed(steps_of(activation), now - window_ms)
        order = next_order(earlier, version, timedelta(milliseconds=delay), by="ann", at=AT)
        activation = Activation(order, now)
        yield activation


def expected(activations, arrived):
    """By definition: the last that has taken force by then, of those that no later order came before."""
    following = [*(after.appended_ms for after in activations[1:]), 10**15]
    valid = [one.latest for one, after in zip(activations, following, strict=True) if one.latest.since_ms <= after]
    return next((step.version for step in reversed(valid) if step.since_ms <= arrived), CONFIGURED)


@given(orders, st.lists(st.integers(-5_000, 40_000), max_size=8))
def test_every_request_gets_the_version_of_its_time(sequence, times):
    running = ClassifierVersions(Named(CONFIGURED))
    given_ = []
    for activation in ordered(sequence):
        given_.append(activation)
        steps = steps_of(activation)
        take(running, steps)
        # What lies further back than the kept steps was decided long ago.
        oldest = steps[0].since_ms
        for arrived in (NOW_MS + time for time in times):
            assert running.at(arrived).version == started(steps).at(arrived).version
            if arrived >= oldest:
                assert running.at(arrived).version == expected(given_, arrived)
        assert len(running._steps) <= KEPT


@given(orders, st.integers(1, 5_000))
def test_a_request_that_is_delivered_again_gets_the_same_version(sequence, ago):
    """Whether the worker went on running or was started again, through as many activations as are kept."""
    decided, found, earliest = [], started(steps_of(None)), 0
    for number, activation in enumerate(ordered(sequence)):
        # What has arrived since the order before is decided, and an order changes nothing of that.
        arrived = max(activation.appended_ms - ago, earliest)
        decided.append((arrived, found.at(arrived).version, number))
        found, earliest = started(steps_of(activation)), activation.appended_ms
        for arrived, version, at in decided:
            if number - at < STEPS_BEFORE - 1:
                assert found.at(arrived).version == version


@given(orders, st.integers(0, 20_000))
def test_what_is_left_out_decides_nothing_within_the_window(sequence, window_ms):
    for activation in ordered(sequence, window_ms):
        steps = steps_of(activation)
        oldest = activation.appended_ms - window_ms
        left = needed(steps, oldest)
        assert steps[-2:] == left[-2:]
        for arrived in {max(step.since_ms + by, oldest) for step in steps for by in (-1, 0)}:
            assert started(left).at(arrived).version == started(steps).at(arrived).version


def test_without_an_activation_the_configured_one_decides():
    assert steps_of(None) == (Step(CONFIGURED, 0),)
    versions = ClassifierVersions(Named("x"))
    assert versions.at(0) is versions.at(NOW_MS) is versions.at(-1)


def test_an_order_takes_back_what_has_not_taken_force():
    *_, activation = ordered([(A, 1, 10), (B, 100, 500), (A, 100, 60_000)])
    assert [step.version for step in steps_of(activation)] == [CONFIGURED, A]
    assert steps_of(activation)[-1].since_ms == NOW_MS + 11


def test_the_oldest_answers_for_what_came_before_all_that_is_kept():
    found = ClassifierVersions(Named("0"))
    for number in range(1, KEPT + 1):
        found.activate(Named(str(number)), number * 10)
    assert [found.at(time).version for time in (0, 10, 25, 10**15)] == ["1", "1", "2", str(KEPT)]


def state_with(*entries):
    state = ControlState()
    for entry in entries:
        state.add(entry)
    return state


def place(version):
    return ModelPlace(model_key(version), 0, 1)


def published(version, ago=timedelta(0)):
    return PublishedModel(version, 1000, 300, "1a2b3c4d", None, "ann", AT - ago)


def roles(activation, *, later_ms):
    state = state_with(activation, place(A), place(B), place(C))
    now = from_millis(activation.appended_ms + later_ms)
    return {
        report.version: report.role
        for report in model_reports(state, [published(A), published(B, HOUR)], now, HOUR)
        if report.role
    }


def test_roles_of_versions():
    *_, activation = ordered([(A, 1, 0), (B, 100, 0), (C, 100, 500)])
    assert roles(activation, later_ms=100) == {CONFIGURED: "recent", A: "previous", B: "active", C: "pending"}
    assert roles(activation, later_ms=500) == {CONFIGURED: "recent", A: "recent", B: "previous", C: "active"}
    assert roles(activation, later_ms=7_200_000) == {B: "previous", C: "active"}
    assert in_force(steps_of(activation), 0).version == CONFIGURED


def test_the_list_has_every_version():
    found = model_reports(state_with(place(A), place(B)), [published(A), published(B, HOUR)], AT, HOUR)
    assert [(report.version, report.role) for report in found] == [
        (CONFIGURED, "active"),
        ("shipped", None),
        (B, None),
        (A, None),
    ]
    damaged = model_reports(state_with(place(A)), [], AT, HOUR)[-1]
    assert (damaged.version, damaged.published, damaged.as_json()["bytes"]) == (A, None, None)


def said(worker, ordered_at):
    return ModelStatus(worker=worker, version=A, ordered_at=ordered_at, state="loaded", detail="requests/1", at=AT)


def test_who_has_not_spoken_of_the_latest_order_comes_last():
    order = ActiveModel(version=A, delay_ms=0, by="ann", at=AT)
    state = state_with(Activation(order, NOW_MS), said("w1", AT - HOUR), said("w2", AT), said("w3", AT))
    state.add(Withdrawn(model_status_key("w3")))
    assert [(one.status.worker, one.is_current) for one in worker_models(state)] == [("w2", True), ("w1", False)]
    state.add(Withdrawn(model_key(A)))
    assert not state.models


def active_models(versions, configured, told):
    return ActiveModels(
        versions,
        configured,
        settings=load(overrides={"routing": {"classifier": "learned"}}),
        store=ModelStore(KafkaSettings()),
        clock=lambda: AT,
        worker="w",
        report=told.append,
    )


async def test_a_worker_loads_what_it_can_and_goes_on_with_the_rest():
    configured, told = Named("mine"), []
    versions = ClassifierVersions(configured)
    active = active_models(versions, configured, told)
    await active.follow(state_with())
    first, second, third = ordered([("shipped", 1, 10), (A, 20, 10), (CONFIGURED, 20, 10)])
    for activation in (first, first, second, second):
        await active.follow(state_with(activation))
    # What is loaded is said once; what is not is tried again.
    assert [(one.version, one.state) for one in told] == [("shipped", "loaded"), (A, "failed"), (A, "failed")]
    assert "never published" in told[-1].detail
    shipped = versions.at(first.latest.since_ms)
    assert shipped.version == told[0].detail
    assert versions.at(first.latest.since_ms - 1) is configured
    assert versions.at(second.latest.since_ms) is shipped
    await active.follow(state_with(third))
    assert (told[-1].state, versions.at(third.latest.since_ms)) == ("loaded", configured)
    assert versions.at(third.latest.since_ms - 1) is shipped


@pytest.mark.parametrize("version", ["", "A" * 12, "a" * 11, "latest", "../../x"])
def test_only_versions_can_be_activated(version):
    with pytest.raises(ValueError, match="version"):
        ActiveModel(version=version, delay_ms=0, by="ann", at=AT)
