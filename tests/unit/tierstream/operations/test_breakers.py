"""Circuit breakers as an operator sees them: worst states, stale and forgotten processes, orders, the printed list."""

from datetime import timedelta

import pytest
from support.in_memory import BASE, SETTINGS
from typer.testing import CliRunner

from streams.config.settings import Settings
from streams.config.settings_sections import KafkaSettings
from streams.control.control_state import ControlState
from streams.control.status_publisher import REPEAT_AFTER, STALE_AFTER, worker_name
from tierstream.cli import app
from tierstream.cli.render.breakers import _span, show_breakers, show_noteworthy
from tierstream.operations.breakers import FORGOTTEN_AFTER, known_targets, target_reports
from topics.control import BreakerOrder, BreakerState, BreakerStatus, PartitionCount

OPEN, HALF_OPEN, CLOSED = BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED
A, B = "fast/a", "spare/b"


def said(worker, target, state, *, ago_s=0.0, reason="because"):
    at = BASE - timedelta(seconds=ago_s)
    until = BASE + timedelta(seconds=3) if state is OPEN else None
    figures = {"calls": 8, "failures": 5, "slow": 1}
    return BreakerStatus(
        worker=worker, target=target, state=state, reason=reason, since=at, until=until, at=at, **figures
    )


def ordered(target, order):
    return BreakerOrder(target=target, order=order, by="ann", at=BASE - timedelta(minutes=5))


def reports(*records, targets=(A, B)):
    state = ControlState()
    for record in records:
        state.add(record)
    return {report.target: report for report in target_reports(state, targets, BASE)}


def test_the_targets_are_those_of_the_settings():
    assert known_targets(Settings(**SETTINGS)) == [
        *("tier:1", "tier:2", "tier:3"),
        *("fast/a", "spare/b", "trusted/c", "trusted/d"),
    ]


def test_a_language_model_that_is_asked_where_requests_go_has_a_breaker_for_that():
    routing = SETTINGS["routing"] | {"classifier": "cascade"}
    assert known_targets(Settings(**SETTINGS | {"routing": routing}))[-1] == "classify"


def test_what_nobody_speaks_of_is_closed():
    found = reports(PartitionCount(partitions=3))
    assert [(report.state, report.workers, report.is_noteworthy) for report in found.values()] == [
        (CLOSED, (), False)
    ] * 2


def test_the_worst_living_worker_decides():
    found = reports(
        said("w1", A, CLOSED),
        said("w2", A, HALF_OPEN),
        said("w3", A, OPEN, reason="it fails"),
        said("w4", A, OPEN, ago_s=91),
        said("w1", B, OPEN, ago_s=91),
    )
    assert (found[A].state, found[A].worst.reason) == (OPEN, "it fails")
    assert [(w.status.worker, w.is_stale) for w in found[A].workers] == [
        ("w3", False),
        ("w2", False),
        ("w1", False),
        ("w4", True),
    ]
    assert (found[B].state, found[B].is_noteworthy) == (CLOSED, False)


def test_the_last_word_counts():
    found = reports(said("w1", A, OPEN), said("w1", A, CLOSED), ordered(B, "open"), ordered(B, "closed"))
    assert found[A].state is CLOSED
    assert found[B].order.order == "closed"


@pytest.mark.parametrize(
    ("ago", "shown", "stale"),
    [
        (REPEAT_AFTER, True, False),
        (STALE_AFTER, True, False),
        (STALE_AFTER * 1.1, True, True),
        (FORGOTTEN_AFTER, False, False),
    ],
)
def test_silence_makes_stale_and_forgotten(ago, shown, stale):
    workers = reports(said("w1", A, OPEN, ago_s=ago.total_seconds()))[A].workers
    assert [worker.is_stale for worker in workers] == [stale] * shown


def test_a_closed_state_is_said_once_and_never_stale():
    assert not reports(said("w1", A, CLOSED, ago_s=600))[A].workers[0].is_stale


def test_orders_in_force_are_shown_though_nobody_obeys_them():
    found = reports(ordered(A, "open"), ordered(A, "auto"), ordered("gone/x", "closed"))
    assert found[A].order is None
    assert found["gone/x"].is_noteworthy
    assert found["gone/x"].as_json()["order"] == {"order": "closed", "by": "ann", "at": "2026-03-01T11:55:00Z"}


def test_the_list_names_workers_and_orders(capsys):
    found = reports(
        said("host:1", A, OPEN, ago_s=10, reason="5 of 8 calls failed"),
        said("host:2", A, OPEN, ago_s=120),
        ordered(B, "open"),
    )
    show_breakers(found.values(), BASE)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "breaker state for why",
        "fast/a open 10 s",
        "host:1 open 10 s 5 of 8 calls failed; probes in 3 s",
        "host:2 open? 2 min stale: nothing said for 2 min",
        "spare/b closed",
        "order open 5 min by ann",
    ]
    show_noteworthy(found.values(), BASE)
    assert capsys.readouterr().out.splitlines() == [
        "breaker fast/a: open for 10 s: 5 of 8 calls failed",
        "breaker spare/b: closed (ordered open by ann)",
    ]


def test_json_has_all_of_it():
    found = reports(said("host:1", A, OPEN, ago_s=120))[A].as_json()
    assert (found["target"], found["state"], found["order"]) == (A, "closed", None)
    assert found["workers"][0]["stale"]
    assert found["workers"][0]["worker"] == "host:1"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_spans(seconds, text):
    assert _span(timedelta(seconds=seconds)) == text


def test_a_process_is_named_by_its_instance_or_host_and_pid():
    assert worker_name(KafkaSettings(instance="blue-1")) == "blue-1"
    host, _, pid = worker_name(KafkaSettings()).rpartition(":")
    assert host
    assert pid.isdecimal()


@pytest.mark.parametrize("order", ["open", "close"])
def test_an_unknown_target_is_refused_with_the_known_ones(order, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERSTREAM_CONFIG", raising=False)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = CliRunner().invoke(app, ["breakers", order, "groq/nothing"])
    assert result.exit_code == 2
    assert "there is no breaker 'groq/nothing'" in result.stderr
    assert "tier:1" in result.stderr
    assert "groq/openai/gpt-oss-20b" in result.stderr
    assert "Traceback" not in result.stderr
