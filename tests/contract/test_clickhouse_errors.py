"""What a user reads where ClickHouse can't be used: what is wrong and what to do, and no secret."""

import signal
import socket
from collections.abc import Iterator

import pytest
from support.embedded_server import EmbeddedServer
from typer.testing import CliRunner

from analytics.clickhouse import (
    ClickHouseRefused,
    ClickHouseUnavailable,
    ClickHouseUrlError,
    is_away,
    open_client,
    retry_for_ever,
)
from tierstream.cli import app

COMMANDS = (["report", "summary"], ["report", "ledger"], ["trace", "r1"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(tmp_path_factory.mktemp("clickhouse"))
    yield server
    assert server.end(signal.SIGTERM) == 0


def place_of(server: EmbeddedServer, credentials: str) -> str:
    return server.url.replace("http://", f"http://{credentials}@")


async def failure(url: str) -> ClickHouseUnavailable:
    with pytest.raises(ClickHouseUnavailable) as caught:
        async with open_client(url, timeout_s=10):
            pass
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        *("default:secret@localhost:8123", "secret", "ftp://secret@localhost", "http://", "http://:secret@"),
        *("http://localhost:secret", "http://default:sec/ret@localhost:8123", "http://[secret", "http://secret:99999"),
    ],
)
async def test_what_is_no_url_is_said_without_repeating_it(url: str) -> None:
    error = await failure(url)
    assert isinstance(error, ClickHouseUrlError)
    assert "CLICKHOUSE_URL" in str(error)
    assert "http://user:password@host:8123" in str(error)
    assert "sec" not in str(error)
    with pytest.raises(ClickHouseUrlError):
        await retry_for_ever("reach ClickHouse", lambda: failure_of_opening(url))


async def failure_of_opening(url: str) -> None:
    async with open_client(url):
        pass


async def test_a_host_that_is_not_there_and_a_port_where_nobody_listens() -> None:
    assert "there is no such host" in str(await failure("http://no-such-host.invalid:8123"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    error = await failure(f"http://default:secret@127.0.0.1:{port}")
    assert "nothing listens there" in str(error)
    assert "tierstream up" in str(error)
    assert is_away(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize("credentials", ["default:secret", "nobody:secret", "nobody"])
async def test_a_wrong_user_or_password_is_a_refusal(server: EmbeddedServer, credentials: str) -> None:
    error = await failure(place_of(server, credentials))
    assert isinstance(error, ClickHouseRefused)
    assert "refuses the user or the password" in str(error)
    assert "secret" not in str(error)
    assert "code 516" in str(error)
    assert not is_away(error)


async def test_a_missing_database_and_a_statement_that_is_wrong(server: EmbeddedServer) -> None:
    assert "clickhouse.database" in str(await failure(f"{server.url}/no_such_database"))
    with pytest.raises(ClickHouseRefused, match="does not have the ledger"):
        async with open_client(server.url) as client:
            await client.query("SELECT * FROM no_such_table")
    with pytest.raises(Exception, match="Syntax error") as caught:
        async with open_client(server.url) as client:
            await client.query("SELEC 1")
    assert not isinstance(caught.value, ClickHouseUnavailable)


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_say_it_in_one_line(
    server: EmbeddedServer, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for url, said in (
        ("secret", "CLICKHOUSE_URL: clickhouse.url: must be a URL"),
        (place_of(server, "default:secret"), "refuses the user or the password"),
        (server.url, "does not have the ledger"),
    ):
        monkeypatch.setenv("CLICKHOUSE_URL", url)
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "secret" not in done.stderr
