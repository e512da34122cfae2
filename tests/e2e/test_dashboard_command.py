"""`tierstream dashboard` as a process: where it listens, how it ends, and what keeps it from starting."""

import asyncio
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager

import pytest
from support.dashboard_traffic import DATABASE, empty_ledger
from support.deployment import clean_environment

COMMAND = (sys.executable, "-m", "tierstream", "dashboard")
TOKEN = "a token of more than sixteen characters"


def environment(**more):
    return {**clean_environment(), "CLICKHOUSE_URL": "http://127.0.0.1:1", **more}


@contextmanager
def running(folder, *arguments, **more):
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=environment(**more), stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        assert line.startswith("the dashboard is at http://127.0.0.1:"), line
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(tmp_path, clickhouse_url, number):
    with running(tmp_path, "--port", "0", CLICKHOUSE_URL=clickhouse_url) as (process, address):
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert answer.read() == b"ok\n"
        process.send_signal(number)
        assert process.wait(30) == 0


def test_it_shows_a_ledger_that_comes_to_be_later(tmp_path, clickhouse_url):
    with running(tmp_path, "--port", "0", CLICKHOUSE_URL=clickhouse_url) as (_, address):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address)
        assert (refused.value.code, b"does not have the ledger" in refused.value.read()) == (503, True)
        asyncio.run(empty_ledger(clickhouse_url, DATABASE))
        with urllib.request.urlopen(address) as answer:
            assert b"No requests yet" in answer.read()


def test_with_a_token_it_listens_for_others(tmp_path):
    more = {"TIERSTREAM_DASHBOARD__HOST": "0.0.0.0", "DASHBOARD_TOKEN": TOKEN}
    with running(tmp_path, "--port", "0", **more) as (_, address), urllib.request.urlopen(address) as answer:
        assert answer.url == f"{address}/login"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"TIERSTREAM_DASHBOARD__HOST": "0.0.0.0"}, "can be reached from elsewhere: set a token in DASHBOARD_TOKEN"),
        ({"DASHBOARD_TOKEN": "secret"}, "the token in DASHBOARD_TOKEN is too short: 16 characters at least"),
        ({"CLICKHOUSE_URL": ""}, "no ClickHouse: set CLICKHOUSE_URL or start the embedded stack"),
    ],
)
def test_what_keeps_it_from_starting_is_one_line(tmp_path, more, says):
    done = subprocess.run(COMMAND, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_a_port_that_is_taken_is_named_with_its_setting(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, "--port", str(port)],
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert f"port {port} (dashboard) is in use" in done.stderr
    assert "set [dashboard] port / TIERSTREAM_DASHBOARD__PORT" in done.stderr
