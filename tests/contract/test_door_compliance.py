"""The surfaces under the tests of llm-comply: what it would ask a door, and hold against its answers."""

import warnings
from importlib.resources import files

import pytest
from support.door_answers import call, events_of, read, result_of, written

from tierstream.serve.chat_completions import ChatCompletions
from tierstream.serve.messages import Messages
from tierstream.serve.responses import Responses
from tierstream.serve.surface import DoorError
from topics.events import Delta

SUITES = {
    "openai-chat": (ChatCompletions(), "openai_chat"),
    "anthropic": (Messages(), "anthropic"),
    "open-responses": (Responses(), "openresponses"),
}
ENDPOINTS = {"/chat/completions", "/messages", "/responses"}
THINKING = [Delta(kind="reasoning", text="Hm."), Delta(kind="signature", text="s")]


def cases():
    from llm_comply.tests import get_tests

    return [
        pytest.param(suite, case, id=f"{suite}-{case.id}")
        for suite in SUITES
        for case in get_tests(suite)
        if case.endpoint in ENDPOINTS
    ]


def answered(surface):
    """Return what stands for the client's requests: it asks the surface instead of a server."""

    def make_request(_config, _endpoint, body, streaming=False):
        try:
            question = read(surface, body | ({"stream": True} if streaming else {}))
        except DoorError as error:
            return error.status, surface.error(error, "req_1"), None
        pieces = ["Hello there."]
        if body.get("tools"):
            pieces = [call(0, '{"location":"Bern"}', id="call_1", name="get_weather")]
        elif {"reasoning", "thinking"} & body.keys():
            pieces = [*THINKING, *pieces]
        result = result_of(pieces)
        if not streaming:
            return 200, surface.answer(question, result), None
        datas = events_of(written(surface.events(question), pieces, result))
        events = [{"type": data if isinstance(data, str) else data.get("type", ""), "data": data} for data in datas]
        final = next((data["response"] for data in reversed(datas) if "response" in data), None)
        return 200, final, events

    return make_request


@pytest.mark.parametrize(("suite", "case"), cases())
def test_complies(suite, case, monkeypatch):
    from llm_comply import runner
    from llm_comply.config import ComplianceConfig
    from llm_comply.schema import SpecLoader

    surface, spec = SUITES[suite]
    monkeypatch.setattr(runner, "make_request", answered(surface))
    # By their names it tells which models think; these here don't have such names.
    monkeypatch.setattr(case, "skip_reason", None)
    config = ComplianceConfig(base_url="http://door/v1", api_key="k", model="auto")
    loader = SpecLoader(str(files("llm_comply") / "specs" / f"{spec}.json"))
    with warnings.catch_warnings():
        # It resolves references by a class that jsonschema deprecates.
        warnings.simplefilter("ignore", DeprecationWarning)
        done = runner.TestRunner(config, [case], loader).run_one(case)
    assert (done.status.value, done.errors, done.warnings) == ("passed", [], [])
