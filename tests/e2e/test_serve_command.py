"""`tierstream serve` as a process: where it listens, how it ends, and what keeps it from starting."""

import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from uuid import uuid4

import pytest
from support.deployment import clean_environment
from support.topics import created_topics

from streams.config.settings import load

COMMAND = (sys.executable, "-m", "tierstream", "serve")
KEY = "a-key-of-more-than-24-characters"


def environment(**more):
    return {**clean_environment(), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", **more}


@pytest.fixture
async def config(kafka, tmp_path, monkeypatch):
    """A settings file, whose topics there are."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    path = tmp_path / "tierstream.toml"
    prefix = f"serve-{uuid4().hex[:8]}."
    path.write_text(f'[kafka]\nbootstrap_servers = "{kafka.bootstrap_servers}"\nprefix = "{prefix}"\npartitions = 2\n')
    async with created_topics(load(path)):
        yield path


@contextmanager
def running(config, **more):
    given = {**clean_environment(), "TIERSTREAM_CONFIG": str(config), **more}
    process = subprocess.Popen([*COMMAND, "--port", "0"], env=given, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("the door is at http://127.0.0.1:"), line
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(config, number):
    with running(config) as (process, url):
        with urllib.request.urlopen(url.removesuffix("/v1") + "/readyz") as answer:
            assert answer.read() == b"ok\n"
        process.send_signal(number)
        assert process.wait(30) == 0


def test_with_keys_it_listens_for_others(config):
    with running(config, TIERSTREAM_SERVE__HOST="0.0.0.0", SERVE_KEYS=f"ann={KEY}") as (_, url):
        asked = urllib.request.Request(f"{url}/models", headers={"Authorization": f"Bearer {KEY}"})
        with urllib.request.urlopen(asked) as answer:
            assert b'"auto"' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{url}/models")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"TIERSTREAM_SERVE__HOST": "0.0.0.0"}, "can be reached from elsewhere: make keys with"),
        ({"SERVE_KEYS": "ann=secret"}, "SERVE_KEYS: must be name=key with commas between"),
        ({"TIERSTREAM_SERVE__KEYS_FILE": "nowhere.toml"}, "nowhere.toml: can't be read"),
        ({"TIERSTREAM_SERVE__MODELS": '{"a": "b"}'}, "serve.models: 'a' stands for 'b'"),
        (
            {"TIERSTREAM_SERVE__TLS_CERT": "c.pem", "TIERSTREAM_SERVE__TLS_KEY": "k.pem"},
            "serve.tls_cert, serve.tls_key",
        ),
        ({"TIERSTREAM_SERVE__TLS_CERT": "c.pem"}, "tls_cert and tls_key go together"),
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "no Kafka: set KAFKA_BOOTSTRAP_SERVERS"),
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
        command = [*COMMAND, "--port", str(taken.getsockname()[1])]
        done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "set [serve] port / TIERSTREAM_SERVE__PORT" in done.stderr


def test_a_key_is_shown_once_and_its_hash_kept(tmp_path):
    command = [*COMMAND, "keys", "new", "--name", "ann", "--rpm", "60"]
    more = {"TIERSTREAM_SERVE__KEYS_FILE": str(tmp_path / "keys.toml")}
    first = subprocess.run(command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    content = (tmp_path / "keys.toml").read_text()
    assert first.stdout.strip() not in content
    assert 'name = "ann"' in content
    again = subprocess.run(command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (2, "")
    assert "there is a key of the name ann" in again.stderr
