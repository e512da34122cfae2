"""What a user reads when the stack can't start: one clear line on stderr, exit code 2, and nothing left behind."""

import asyncio
import socket
import sys

import pytest
from support.deployment import clean_environment

from tierstream.stack.ports import free_port

FREE_PORTS = {
    f"TIERSTREAM_STACK__{name}_PORT": "0" for name in ("KAFKA", "KAFKA_CONTROLLER", "CLICKHOUSE", "SIMULATOR")
}


async def assert_one_line(folder, *arguments, says, **environment):
    """Run a command that can't work; its stderr is one line that says what is wrong and what to do."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tierstream", *arguments),
        cwd=folder,
        env={**clean_environment(), **FREE_PORTS, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    lines = stderr.decode().splitlines()
    assert process.returncode == 2, stderr.decode()
    assert len(lines) == 1, stderr.decode()
    assert lines[0].startswith("error: ")
    for words in says:
        assert words in lines[0]
    assert stdout == b""


@pytest.mark.parametrize("how", [["up"], ["up", "--detach"]])
async def test_kafka_that_is_not_there(tmp_path, how):
    server = f"127.0.0.1:{free_port()}"
    says = (f"Kafka at {server} does not answer", "KAFKA_BOOTSTRAP_SERVERS")
    await assert_one_line(tmp_path, *how, says=says, KAFKA_BOOTSTRAP_SERVERS=server)


@pytest.mark.parametrize("how", [["up"], ["up", "--detach"]])
async def test_a_port_in_use(tmp_path, how):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        says = (f"port {port} (kafka) is in use", "TIERSTREAM_STACK__KAFKA_PORT")
        await assert_one_line(tmp_path, *how, says=says, TIERSTREAM_STACK__KAFKA_PORT=port)


@pytest.mark.parametrize("how", [["up"], ["up", "--detach"]])
async def test_a_data_folder_that_cannot_be_written(tmp_path, how):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "data")
    says = (f"data folder {folder} can't be written", "data_dir")
    await assert_one_line(tmp_path, *how, says=says, TIERSTREAM_STACK__DATA_DIR=folder)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[kafka\n", ("not valid TOML",)),
        ("[kafka]\nprefixx = 'x.'\n", ("kafka.prefixx",)),
        ("[kafka]\npartitions = 'many'\n", ("kafka.partitions", "whole number")),
        ("[validation]\njudge = { provider = 'nobody', model = 'x' }\n", ("validation.judge", "'nobody'")),
    ],
)
@pytest.mark.parametrize("how", [["up"], ["up", "--detach"], ["worker"]])
async def test_a_malformed_config(tmp_path, how, text, says):
    (tmp_path / "tierstream.toml").write_text(text)
    await assert_one_line(tmp_path, *how, says=("tierstream.toml: ", *says))
    assert [path.name for path in tmp_path.iterdir()] == ["tierstream.toml"]


async def test_a_config_that_is_not_there(tmp_path):
    await assert_one_line(tmp_path, "--config", "other.toml", "up", says=("other.toml: no such config file",))


@pytest.mark.parametrize("command", [["worker"], ["sink"], ["send", "Hello"], ["results"], ["trace", "x"]])
async def test_commands_without_a_stack(tmp_path, command):
    await assert_one_line(tmp_path, *command, says=("tierstream up",))
