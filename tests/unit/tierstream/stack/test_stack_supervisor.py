"""Child processes: identity, restart, giving up, and the stop that leaves nothing behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Self

import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.config.settings import load
from tierstream.stack.dependencies import Need
from tierstream.stack.errors import StackError
from tierstream.stack.health import HealthCheck, wait_healthy
from tierstream.stack.process import Child, ProcessIdentity, rotate, stop_stale
from tierstream.stack.services import Services
from tierstream.stack.stack import Stack
from tierstream.stack.state import (
    Addresses,
    ServiceState,
    StackState,
    addresses,
    down,
    read_state,
    status,
    write_state,
)
from tierstream.stack.supervisor import Service, StackEvent, Supervisor

READY = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid()))"
RUN = READY + "; time.sleep(600)"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + RUN
# Unlike `-c "..."` alone, -S -E starts without site packages: in a few milliseconds.
PYTHON = (sys.executable, "-S", "-E", "-c")


def service(folder: Path, name: str, program: str, needs: tuple[Need, ...] = (), **limits: float) -> Service:
    ready_file = folder / f"{name}.ready"
    return Service(
        name=name,
        command=(*PYTHON, program, str(ready_file)),
        env=dict(os.environ),
        health=HealthCheck(kind="ready_file", target=str(ready_file)),
        needs=needs,
        **limits,
    )


class Watched:
    """A supervisor whose events can be awaited."""

    def __init__(self, folder: Path) -> None:
        self.seen: list[tuple[str, str]] = []
        self._events: asyncio.Queue[StackEvent] = asyncio.Queue()
        self.supervisor = Supervisor(
            folder, on_event=self._events.put_nowait, on_change=lambda: None, backoff_s=0.001, ask_every_s=0.01
        )

    async def until(self, kind: str, name: str) -> StackEvent:
        while True:
            event = await self._events.get()
            self.seen.append((event.kind, event.service))
            if (event.kind, event.service) == (kind, name):
                return event

    def pid(self, name: str) -> int:
        return next(state.process.pid for state in self.supervisor.states() if state.name == name)


class Server:
    """What a service needs: it answers or not, as told."""

    def __init__(self) -> None:
        self.answers = True

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.need = Need("a server", HealthCheck(kind="http", target=str(self._server.make_url("/"))))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _answer(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.answers else 503)


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    await watched.supervisor.stop()


async def test_services_stop_in_reverse_order(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(service(tmp_path, "first", RUN))
    await watched.supervisor.start(service(tmp_path, "second", RUN))
    pids = [state.process.pid for state in watched.supervisor.states()]
    await watched.supervisor.stop()
    await watched.until("stopped", "first")
    assert watched.seen.index(("stopped", "second")) < watched.seen.index(("stopping", "first"))
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_a_crashed_service_gets_another_process(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(service(tmp_path, "worker", RUN))
    await watched.until("healthy", "worker")
    former = watched.pid("worker")
    os.kill(former, signal.SIGKILL)
    assert (await watched.until("crashed", "worker")).detail == "exit code -9"
    await watched.until("healthy", "worker")
    assert watched.pid("worker") != former


async def test_five_crashes_in_a_minute_are_fatal_and_name_the_log(watched: Watched, tmp_path: Path) -> None:
    # Only its first process lives long enough to be seen ready.
    program = f"{READY}; first = not os.path.exists(sys.argv[1] + '.again')"
    program += "; open(sys.argv[1] + '.again', 'w').close(); time.sleep(0.3 if first else 0); sys.exit(3)"
    await watched.supervisor.start(service(tmp_path, "worker", program))
    with pytest.raises(StackError) as raised:
        await watched.supervisor.failure()
    assert str(raised.value) == (f"worker stopped 5 times within a minute (exit code 3): see {tmp_path / 'worker.log'}")


async def test_what_ends_while_its_need_is_away_has_not_crashed(watched: Watched, tmp_path: Path) -> None:
    async with Server() as server:
        program = f"{READY}; time.sleep(600)"
        await watched.supervisor.start(service(tmp_path, "worker", program, (server.need,)))
        for number in range(6):
            await watched.until("healthy", "worker")
            server.answers = False
            os.kill(watched.pid("worker"), signal.SIGKILL)
            waiting = await watched.until("waiting", "a server")
            assert waiting.detail.startswith("a server does not answer: waiting for it since ")
            server.answers = True
            assert (await watched.until("waiting", "a server")).detail.startswith("a server answers, after "), number
        await watched.until("healthy", "worker")


async def test_a_start_takes_no_time_while_its_need_is_away(watched: Watched, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tierstream.stack.health._PAUSE_EVERY_S", 0.05)
    go = tmp_path / "go"
    program = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.01)\n{RUN}"
    async with Server() as server:
        starting = service(tmp_path, "worker", program, (server.need,), start_timeout_s=1.0)
        start = asyncio.create_task(watched.supervisor.start(starting))
        await watched.until("starting", "worker")
        server.answers = False
        await watched.until("waiting", "a server")
        await asyncio.sleep(1.2)
        assert not start.done()
        go.touch()
        server.answers = True
        await start


async def test_a_start_that_waits_ends_when_another_service_is_given_up(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tierstream.stack.stack.Supervisor", partial(Supervisor, backoff_s=0.001))
    started = tmp_path / "started"
    crashes = f"import os, sys, time; first = not os.path.exists({str(started)!r}); open({str(started)!r}, 'w').close()"
    crashes += f"; {READY}; time.sleep(0.3 if first else 0); sys.exit(3)"

    class Waiting(Stack):
        async def _start_services(self, supervisor: Supervisor, services: Services) -> None:
            await supervisor.start(service(tmp_path, "kafka", crashes))
            await asyncio.Event().wait()

    ports = dict.fromkeys(("kafka_port", "kafka_controller_port", "clickhouse_port", "simulator_port"), 0)
    with pytest.raises(StackError, match="kafka stopped 5 times within a minute"):
        await Waiting(load(overrides={"stack": {"data_dir": tmp_path, **ports}})).start()


async def test_a_service_that_ends_while_starting_is_an_error(watched: Watched, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"broken stopped while starting \(exit code 4\): see .*broken.log"):
        await watched.supervisor.start(service(tmp_path, "broken", "print('why'); raise SystemExit(4)"))
    assert (tmp_path / "broken.log").read_text() == "why\n"


async def test_a_service_that_never_gets_ready_is_killed(watched: Watched, tmp_path: Path) -> None:
    hangs = service(tmp_path, "hangs", "import time; time.sleep(600)", start_timeout_s=0.2)
    with pytest.raises(StackError, match=r"hangs was not ready after 0.2 s"):
        await watched.supervisor.start(hangs)
    assert not psutil.pid_exists(watched.pid("hangs"))


async def test_a_command_that_does_not_exist_is_an_error(watched: Watched, tmp_path: Path) -> None:
    missing = Service("gone", (str(tmp_path / "gone"),), {}, HealthCheck(kind="ready_file", target="-"))
    with pytest.raises(StackError, match="gone can't be started"):
        await watched.supervisor.start(missing)


async def test_a_ready_file_of_a_former_process_does_not_count(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "worker.ready").write_text(str(os.getpid()))
    with pytest.raises(StackError, match="not ready"):
        await watched.supervisor.start(service(tmp_path, "worker", "import time; time.sleep(600)", start_timeout_s=0.2))


async def test_sigkill_follows_an_ignored_sigterm(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(service(tmp_path, "stubborn", IGNORE_TERM, stop_timeout_s=0.1))
    pid = watched.pid("stubborn")
    await watched.supervisor.stop()
    assert not psutil.pid_exists(pid)


async def test_the_terminals_interrupt_does_not_reach_children(watched: Watched, tmp_path: Path) -> None:
    await watched.supervisor.start(service(tmp_path, "worker", RUN))
    pid = watched.pid("worker")
    assert os.getsid(pid) == os.getpgid(pid) == pid != os.getpgid(0)


def test_a_reused_pid_is_another_process() -> None:
    mine = ProcessIdentity.of(os.getpid())
    assert mine.find() is not None
    assert ProcessIdentity(pid=mine.pid, create_time=mine.create_time - 60).find() is None


async def test_a_process_with_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    child = Child.start((*PYTHON, "import time; time.sleep(600)"), env={}, log_file=tmp_path / "c.log")
    try:
        stranger = ProcessIdentity(pid=child.pid, create_time=child.identity.create_time - 60)
        assert not await stop_stale(stranger, 1)
        assert child.exit_code is None
    finally:
        child.kill()


def test_large_logs_are_moved_aside(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    log.write_bytes(b"x")
    rotate(log)
    assert log.exists()
    log.write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    rotate(log)
    assert not log.exists()
    assert (tmp_path / "kafka.log.1").exists()


async def test_what_a_killed_supervisor_left_is_shown_and_stopped(tmp_path: Path) -> None:
    ready_file = tmp_path / "worker.ready"
    child = Child.start((*PYTHON, RUN, str(ready_file)), env={}, log_file=tmp_path / "worker.log")
    try:
        dead = Child.start((*PYTHON, "pass"), env={}, log_file=tmp_path / "supervisor.log")
        supervisor = dead.identity
        await dead.wait()
        check = HealthCheck(kind="ready_file", target=str(ready_file))
        worker = ServiceState(name="worker", process=child.identity, health=check, url=None)
        gone = ServiceState(name="gone", process=supervisor, health=check, url=None)
        state = StackState(
            supervisor=supervisor, addresses=Addresses(kafka="k", clickhouse="c"), services=(worker, gone)
        )
        write_state(tmp_path, state)
        assert read_state(tmp_path) == state
        assert addresses(tmp_path) is None
        await wait_healthy(child, check, name="worker", log_file=tmp_path / "worker.log", timeout_s=60)
        shown = await status(tmp_path)
        assert [(one.name, one.state) for one in shown] == [("worker", "running"), ("gone", "stopped")]
        assert shown[0].rss_bytes
        # The test is its parent: without this the ended child would stay as a zombie.
        reaper = asyncio.create_task(child.wait())
        assert await down(tmp_path) == ["worker"]
        await reaper
        assert await down(tmp_path) == []
        assert await status(tmp_path) == []
    finally:
        child.kill()
