"""The door's OpenAPI document: that it is one, is of these addresses, and that a door does what it says."""

import asyncio
import json
import re
import threading
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from starlette.routing import Route
from support.batch_world import BatchWorld
from support.door_world import DoorWorld, door_settings
from typer.testing import CliRunner

from tierstream.cli import app as cli
from tierstream.serve.openapi.document import openapi_document
from tierstream.serve.surfaces import SURFACES

PAGE = (Path(__file__).parents[2] / "docs" / "door-fields.md").read_text()
SAYS_NO = {"/v1/responses/compact", "/v1/embeddings"}
MAY_FAIL_WITH = {502, 503, 504}


def described(*, coverage):
    # Else bodies would be refused for the version that is made up with each.
    config = {"parameters": {"anthropic-version": "2023-06-01"}, "phases": {"coverage": {"enabled": coverage}}}
    made = schemathesis.openapi.from_dict(openapi_document(), config=SchemathesisConfig.from_dict(config))
    # This door has no files.
    return made.exclude(path_regex="^/v1/(files|batches)")


api = described(coverage=False)
each_boundary = described(coverage=True)


def test_it_is_an_openapi_document():
    validate(openapi_document())


def test_it_describes_each_address_and_no_other():
    served = {
        (re.sub(r":\w+}", "}", route.path), method.lower())
        for route in BatchWorld().app.routes
        if isinstance(route, Route) and route.path not in SAYS_NO
        for method in route.methods or {"GET"}
    }
    described = {(path, method) for path, methods in openapi_document()["paths"].items() for method in methods}
    assert {one for one in served if one[1] != "head"} == described


@pytest.mark.parametrize(
    ("section", "body"),
    [("Chat completions", "ChatCompletionsBody"), ("Messages", "MessagesBody"), ("Responses", "ResponsesBody")],
)
def test_bodies_have_the_fields_that_are_said_to_be_read(section, body):
    read, passed_over = (
        set(re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", re.findall(row, PAGE, re.DOTALL | re.MULTILINE)[0])))
        for row in (rf"^## {section}$.*?^\| {name} \| (.*?) \|$" for name in ("read", "passed over"))
    )
    fields = openapi_document()["components"]["schemas"][body]["properties"].keys()
    assert read - fields == set()
    assert fields - read - passed_over - {"output_format"} == set()


def test_the_command_prints_what_is_served(door):
    printed = CliRunner().invoke(cli, ["serve", "openapi"])
    assert printed.exit_code == 0
    assert json.loads(printed.output) == requests.get(f"{door}/openapi.json", timeout=20).json()


@pytest.fixture(scope="module")
def door():
    """A door whose requests are answered at once, in a loop of its own: the calls wait for it."""
    world = DoorWorld(door_settings(), surfaces=SURFACES)
    world.answer_all()
    loop, told, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    urls = []

    async def run():
        async with world.serving() as url:
            urls.append(url)
            told.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    assert told.wait(30)
    yield urls[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def test_what_it_can_not_guess_is_as_it_says_too(door):
    made = requests.post(f"{door}/v1/responses", json={"model": "auto", "input": "?"}, timeout=20).json()
    there = {"response_id": made["id"]}
    for path, method, parameters in (
        ("/v1/responses/{response_id}", "GET", there),
        ("/v1/responses/{response_id}/cancel", "POST", there),
        ("/v1/models/{name}", "GET", {"name": "tier-1"}),
    ):
        answer = api[path][method].Case(path_parameters=parameters).call_and_validate(base_url=door)
        assert answer.status_code == 200


@api.parametrize()
@settings(max_examples=20)
def test_whatever_is_sent_the_door_does_as_it_says(case, door):
    check(case, door)


@pytest.mark.slow
@each_boundary.parametrize()
@settings(max_examples=40)
def test_so_it_does_at_each_boundary(case, door):
    check(case, door)


def check(case, door):
    # Not everything that the document allows goes together; and a door without keys needs none.
    without = [not_a_server_error, positive_data_acceptance, ignored_auth]
    case.call_and_validate(base_url=door, excluded_checks=without, additional_checks=[fails_as_it_may], timeout=20)


def fails_as_it_may(context, response, case):
    assert response.status_code < 500 or response.status_code in MAY_FAIL_WITH
