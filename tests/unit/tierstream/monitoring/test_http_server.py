"""What a process serves of itself over HTTP."""

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.telemetry.progress import Place
from tierstream.monitoring.errors import MonitoringError
from tierstream.monitoring.http_server import serving
from tierstream.monitoring.monitor import Monitor

HOST, SETTING = "127.0.0.1", "operations.metrics_port"


class Stuck:
    is_resting = False

    def places(self):
        return {("t", 0): Place(1, 2)}


async def get(port, path):
    async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{port}/{path}") as response:
        return response.status, await response.text(), response.headers["Content-Type"]


async def test_a_process_says_whether_it_is_alive_and_ready():
    now = 0.0
    monitor = Monitor(monotonic=lambda: now)
    async with serving(monitor, HOST, 0, setting=SETTING) as port:
        assert (await get(port, "livez"))[:2] == (200, "ok\n")
        assert (await get(port, "readyz"))[:2] == (503, "not ready\n")
        monitor.note_started()
        assert (await get(port, "readyz"))[:2] == (200, "ok\n")
        monitor.watch("settle", Stuck(), limit_s=5)
        monitor.look()
        now = 6.0
        monitor.look()
        assert await get(port, "livez") == (
            503,
            "settle: t-0 stands still: 6 s without a commit, at most 5\n",
            "text/plain; charset=utf-8",
        )
        assert (await get(port, "readyz"))[0] == 503


async def test_metrics_are_in_the_text_format():
    async with serving(Monitor(), HOST, 0, setting=SETTING) as port:
        status, text, kind = await get(port, "metrics")
    assert status == 200
    assert kind.startswith("text/plain; version=")
    assert {"tierstream_alive", "process_cpu_seconds"} <= {one.name for one in text_string_to_metric_families(text)}


async def test_a_port_that_is_taken():
    async with serving(Monitor(), HOST, 0, setting=SETTING) as port:
        with pytest.raises(MonitoringError) as caught:
            async with serving(Monitor(), HOST, port, setting=SETTING):
                pass
    message = str(caught.value)
    assert message.startswith(f"operations.metrics_port: can't listen on 127.0.0.1:{port}: ")
    assert "need a port each (TIERSTREAM_OPERATIONS__METRICS_PORT), or 0 for any free one" in message
