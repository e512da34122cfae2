"""Whether a process is alive goes by its commits, and not by whether it still runs."""

import asyncio

import pytest
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streams.telemetry.metric_specs import LAG, MetricSpec
from streams.telemetry.progress import Place
from tierstream.monitoring.monitor import Monitor

LIMIT_S = 10.0


class Stage:
    """A stage that a test moves."""

    def __init__(self, **places):
        self.is_resting = False
        self.set(**places)

    def set(self, **places):
        self._places = {("t", int(name[1:])): Place(*place) for name, place in places.items()}

    def places(self):
        return self._places


class Watch:
    """A monitor of one stage, and the time."""

    def __init__(self, stage):
        self.now = 0.0
        self.is_away = False
        self.monitor = Monitor(is_away=lambda: self.is_away, monotonic=lambda: self.now)
        self.monitor.watch("infer:1", stage, limit_s=LIMIT_S)
        self.monitor.look()

    def after(self, seconds):
        for _ in range(int(seconds)):
            self.now += 1
            self.monitor.look()
        return self.monitor.stuck()


def series(monitor):
    families = text_string_to_metric_families(generate_latest(monitor.registry).decode())
    return {(one.name, *sorted(one.labels.values())): one.value for family in families for one in family.samples}


def test_a_partition_with_records_and_no_commit_is_stuck_after_the_limit():
    stage = Stage(p0=(5, 9), p1=(3, 3))
    watch = Watch(stage)
    assert watch.after(10) == []
    assert watch.after(1) == ["infer:1: t-0 stands still: 11 s without a commit, at most 10"]
    stage.set(p0=(6, 9), p1=(3, 3))
    assert watch.after(1) == []


def test_a_partition_that_moves_is_alive_however_far_behind_it_is():
    stage = Stage(p0=(0, 1_000_000))
    watch = Watch(stage)
    for done in range(1, 50):
        stage.set(p0=(done, 1_000_000))
        assert watch.after(5) == []


def test_who_has_nothing_to_do_is_alive_and_new_records_have_the_whole_limit():
    stage = Stage(p0=(5, 5))
    watch = Watch(stage)
    assert watch.after(1000) == []
    stage.set(p0=(5, 6))
    assert watch.after(10) == []
    assert watch.after(2) != []


def test_who_rests_or_waits_for_the_broker_is_alive():
    stage = Stage(p0=(5, 9))
    watch = Watch(stage)
    stage.is_resting = True
    assert watch.after(100) == []
    stage.is_resting, watch.is_away = False, True
    assert watch.after(100) == []
    watch.monitor.note_started()
    assert not watch.monitor.is_ready
    watch.is_away = False
    assert watch.after(10) == []
    assert watch.monitor.is_ready
    assert watch.after(1) != []
    assert not watch.monitor.is_ready


def test_a_partition_that_comes_back_begins_anew():
    stage = Stage(p0=(5, 9))
    watch = Watch(stage)
    watch.after(9)
    stage.set()
    watch.after(1)
    stage.set(p0=(5, 9))
    assert watch.after(10) == []


async def test_a_process_that_nobody_looks_at_any_more_is_not_taken_as_alive():
    class Broken(Stage):
        def places(self):
            raise RuntimeError

    watch = Watch(Stage())
    watch.monitor.watch("settle", Broken(), limit_s=LIMIT_S)
    with watch.monitor.looking():
        for _ in range(3):
            await asyncio.sleep(0)
    assert watch.monitor.stuck() == ["the monitoring has failed: RuntimeError"]


def test_lag_and_age_are_of_all_partitions_of_a_topic():
    stage = Stage(p0=(5, 9), p1=(0, 3), p2=(4, 4))
    watch = Watch(stage)
    watch.after(3)
    stage.set(p0=(5, 9), p1=(1, 3), p2=(4, 4))
    watch.after(2)
    found = series(watch.monitor)
    assert found["tierstream_consumer_lag_records", "infer:1", "t"] == 6
    assert found["tierstream_commit_age_seconds", "infer:1", "t"] == 5
    assert found["tierstream_alive",] == 1
    assert found["tierstream_ready",] == 0


def test_others_add_metrics_of_their_own():
    monitor = Monitor()
    spec = MetricSpec("tierstream_budget_left_usd", "gauge", ("budget",), "What is left of a budget")
    monitor.read({spec: lambda: [(("team",), 1.5)]})
    assert series(monitor)["tierstream_budget_left_usd", "team"] == 1.5
    with pytest.raises(ValueError, match="Duplicated"):
        monitor.read({spec: list})
    assert LAG.name not in generate_latest(monitor.registry).decode()
