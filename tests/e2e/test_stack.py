"""The embedded stack on free ports with stand-ins for the workers: start, crash, kill of the supervisor, stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from support.shipped_providers import KEYS

from streams.config.settings import Settings, load
from tierstream.stack.errors import StackError
from tierstream.stack.health import http_answers, kafka_answers
from tierstream.stack.ports import free_port
from tierstream.stack.stack import Stack
from tierstream.stack.state import Addresses, addresses, down, read_state, status
from tierstream.stack.supervisor import StackEvent

WORKER = (
    sys.executable,
    "-c",
    "import os, time; open(os.environ['TIERSTREAM_READY_FILE'], 'w').write(str(os.getpid())); time.sleep(600)",
)
# A supervisor of its own process, to be killed: it takes the data folder and prints when all is up.
SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from streams.config.settings import load
from tierstream.stack.stack import Stack

async def main(folder, *worker):
    ports = dict.fromkeys(("kafka_port", "kafka_controller_port", "clickhouse_port", "simulator_port"), 0)
    settings = load(overrides={"stack": {"data_dir": folder, **ports}})
    stack = Stack(settings, worker_command=worker, sink_command=worker)
    await stack.start()
    print("up", flush=True)
    await stack.wait()
    await stack.stop()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, "KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "TIERSTREAM_CONFIG"):
        monkeypatch.delenv(name, raising=False)


def settings_in(folder: Path, **stack: object) -> Settings:
    ports = dict.fromkeys(("kafka_port", "kafka_controller_port", "clickhouse_port", "simulator_port"), 0)
    return load(overrides={"stack": {"data_dir": folder, **ports, **stack}})


def make_stack(
    settings: Settings,
    prepare: Callable[[Addresses], Awaitable[None]] | None = None,
    on_event: Callable[[StackEvent], None] = lambda _: None,
) -> Stack:
    hook = {"prepare": prepare} if prepare else {}
    return Stack(settings, worker_command=WORKER, sink_command=WORKER, on_event=on_event, **hook)


async def test_the_stack_starts_recovers_and_stops(tmp_path: Path) -> None:
    prepared: list[Addresses] = []
    healthy: asyncio.Queue[str] = asyncio.Queue()

    async def prepare(found: Addresses) -> None:
        assert found.simulator is not None
        assert await kafka_answers(found.kafka)
        assert await http_answers(f"{found.clickhouse}/ping")
        assert await http_answers(f"{found.simulator}/health")
        assert not list((tmp_path / "run").iterdir())
        prepared.append(found)

    stack = make_stack(
        settings_in(tmp_path, workers=2),
        prepare,
        lambda event: healthy.put_nowait(event.service) if event.kind == "healthy" else None,
    )
    try:
        assert await stack.start()
        assert prepared == [addresses(tmp_path)] == [stack.addresses]
        shown = {one.name: one for one in await status(tmp_path)}
        assert set(shown) == {"kafka", "clickhouse", "simulator", "worker-1", "worker-2", "sink"}
        assert {one.state for one in shown.values()} == {"running"}

        with pytest.raises(StackError, match=rf"already running \(pid {os.getpid()}\): tierstream status"):
            await make_stack(settings_in(tmp_path)).start()

        while not healthy.empty():
            healthy.get_nowait()
        os.kill(shown["clickhouse"].pid, signal.SIGKILL)
        assert await healthy.get() == "clickhouse"
        assert {one.state for one in await status(tmp_path)} == {"running"}

        os.kill(os.getpid(), signal.SIGTERM)
        await stack.wait()
    finally:
        await stack.stop()
    assert addresses(tmp_path) is None
    assert await status(tmp_path) == []
    assert not any(psutil.pid_exists(one.pid) for one in shown.values())


@pytest.mark.slow
async def test_a_killed_supervisor_is_cleaned_up_by_the_next_start_and_by_down(tmp_path: Path) -> None:
    async def supervisor() -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SUPERVISOR, str(tmp_path), *WORKER, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        return process

    first = await supervisor()
    left = read_state(tmp_path)
    first.kill()
    await first.wait()
    assert left is not None
    assert all(service.process.find() for service in left.services)

    second = await supervisor()
    assert not any(service.process.find() for service in left.services)
    assert set(await down(tmp_path)) == {"kafka", "clickhouse", "simulator", "worker-1", "sink"}
    assert await second.wait() == 0
    assert await down(tmp_path) == []


async def test_a_stop_signal_ends_a_start(tmp_path: Path) -> None:
    def interrupt(event: StackEvent) -> None:
        if (event.kind, event.service) == ("starting", "clickhouse"):
            os.kill(os.getpid(), signal.SIGINT)

    stack = make_stack(settings_in(tmp_path), on_event=interrupt)
    assert not await stack.start()
    await stack.wait()
    assert read_state(tmp_path) is None


async def test_external_kafka_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch, caplog) -> None:
    server = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", server)
    with pytest.raises(StackError, match=f"Kafka at {server} does not answer: check KAFKA_BOOTSTRAP_SERVERS"):
        await make_stack(settings_in(tmp_path)).start()
    assert not caplog.records


async def test_external_clickhouse_that_does_not_answer_hides_its_password(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_URL", f"http://me:secret@127.0.0.1:{free_port()}")
    with pytest.raises(StackError, match=r"ClickHouse at 127.0.0.1:\d+ does not answer: check CLICKHOUSE_URL"):
        await make_stack(settings_in(tmp_path)).start()


async def test_a_data_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"data folder .*file/data can't be written"):
        await make_stack(settings_in(tmp_path / "file" / "data")).start()
