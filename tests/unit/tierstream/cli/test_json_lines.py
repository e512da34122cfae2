"""Log lines as JSON: what a line is about, and nothing of what was asked or answered."""

import asyncio
import json
import logging

import pytest

from streams.telemetry.log_context import note_work
from tierstream.cli.json_lines import JsonLines

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def lines():
    """What a logger of this test's own writes, as it comes."""
    found = []

    class Collect(logging.Handler):
        def emit(self, record):
            found.append(self.format(record))

    handler, logger = Collect(), logging.getLogger("streams.test_json_lines")
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger, found
    logger.removeHandler(handler)
    logger.propagate = True


def test_a_line_is_an_object(lines):
    log, found = lines
    log.warning("%s is away\nfor %d s", "häuser", 3, extra={"prompt": "a secret"})
    [line] = found
    assert "\n" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "WARNING", "logger": "streams.test_json_lines", "message": "häuser is away\nfor 3 s"}


def test_a_traceback_is_in_its_line(lines):
    log, found = lines
    try:
        raise RuntimeError("broken")  # noqa: TRY301
    except RuntimeError:
        log.exception("it failed")
    assert "RuntimeError: broken" in json.loads(found[0])["exc_info"]


async def test_a_line_says_whose_record_it_is_about_in_all_tasks_of_the_work(lines):
    log, found = lines

    async def work(request_id, trace):
        note_work("infer:1", request_id, trace)
        await asyncio.sleep(0)
        await asyncio.create_task(say())

    async def say():
        log.info("here")

    await asyncio.gather(work("r1", TRACE), work("r2", None), work("r3", b"no context"))
    log.info("outside")
    told = [json.loads(line) for line in found]
    about = {line.get("request_id"): (line.get("stage"), line.get("trace_id")) for line in told}
    assert about == {
        "r1": ("infer:1", "4bf92f3577b34da6a3ce929d0e0e4736"),
        "r2": ("infer:1", None),
        "r3": ("infer:1", None),
        None: (None, None),
    }
