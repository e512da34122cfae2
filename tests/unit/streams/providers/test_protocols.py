"""The table of protocols: each leads to a class, each class stands in it, and no SDK is imported for it."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path
from pkgutil import iter_modules

import pytest
from support.provider_calls import call_of
from support.shipped_providers import SHIPPED

import streams.providers
from streams.config.model_catalogue import KnownModel
from streams.config.protocols import PROTOCOLS
from streams.providers.registry import speaker_of
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Connection
from topics.requests import Params

ROOT = Path(__file__).parents[4]
LOCKS = ("requirements-worker.lock", "requirements.lock", "requirements-dev.lock")
ASKED = Params(
    temperature=0.5,
    top_p=0.9,
    stop=("END",),
    seed=7,
    reasoning_effort="low",
    service_tier="flex",
    logprobs=True,
    top_logprobs=2,
)
# What the API refuses, or has other words for; an answer without it is better than none.
LEFT_OUT = {
    "anthropic": {"temperature", "top_p", "seed", "service_tier", "logprobs", "top_logprobs"},
    "groq": {"logprobs", "top_logprobs"},
    "openai_compatible": {"service_tier"},
}
# Of the models of one API some take the one parameter, and some the other.
REASONS = {"openai": "gpt-6-luna", "anthropic": "claude-opus-5-5"}
NOT_WRITTEN = {"max_tokens", "n"}
"""Each body has the one, and there is one answer whatever a body says."""

each = pytest.mark.parametrize("protocol", PROTOCOLS)


@each
def test_a_protocol_leads_to_a_class_that_is_complete(protocol):
    speaker = speaker_of(protocol)
    assert issubclass(speaker, SdkProvider)
    missing = [name for name in SdkProvider.__annotations__ if not hasattr(speaker, name)]
    assert not missing, f"{speaker.__name__} does not say its {missing}"
    assert isinstance(speaker(Connection("p", "key", "http://127.0.0.1:1", use_proxy=False)), SdkProvider)


def test_every_class_is_in_the_table():
    written = set()
    for module in iter_modules(streams.providers.__path__):
        for one in vars(import_module(f"streams.providers.{module.name}")).values():
            if isinstance(one, type) and issubclass(one, SdkProvider) and one is not SdkProvider:
                written.add(f"{one.__module__.rpartition('.')[2]}.{one.__name__}")
    forgotten = written - {protocol.spoken_by for protocol in PROTOCOLS.values()}
    assert not forgotten, f"streams/config/protocols.py: no protocol in PROTOCOLS is spoken by {forgotten}"


@each
def test_a_shipped_provider_speaks_it(protocol):
    spoken = {provider["protocol"] for provider in SHIPPED.values()}
    assert protocol in spoken, f"streams/config/defaults.toml: no provider speaks {protocol}, so no test calls one"


@each
def test_its_sdk_is_installed_wherever_a_worker_runs(protocol):
    sdk = speaker_of(protocol)(Connection("p", "key", None, use_proxy=False)).load_sdk()
    modules = {one.__module__.partition(".")[0] for one in (sdk.client_type, sdk.http.Response)}
    for name in {packages_distributions()[module][0] for module in modules}:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
        assert name in {re.split(r"[^\w-]", one)[0] for one in declared}, f"pyproject.toml: dependencies lack {name}"
        for lock in LOCKS:
            locked = re.findall(r"^([\w-]+)(?:\[.*\])?==", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
            assert name in locked, f"{lock} lacks {name}: make lock"


@each
@pytest.mark.parametrize("param", [name for name in Params.model_fields if name not in NOT_WRITTEN])
def test_what_the_requester_sets_is_sent(protocol, param):
    model = REASONS.get(protocol, "gpt-4o") if param == "reasoning_effort" else "gpt-4o"
    known = KnownModel(reasoning={"reasoning_effort": ("low",), "output_config.effort": ("low",)})

    def body(params: Params) -> dict[str, object]:
        connection = Connection("p", "key", "http://127.0.0.1:1", use_proxy=False)
        speaker = speaker_of(protocol)(connection, lambda _: known)
        return speaker.request_body(call_of(model, params=params))

    value = getattr(ASKED, param, None)
    assert value is not None, f"ASKED has no value of {param}"
    is_sent = body(Params(**{param: value})) != body(Params())
    left_out = param in LEFT_OUT.get(protocol, ())
    assert is_sent != left_out, f"{protocol}: {param} is {'sent' if is_sent else 'not written into the request'}"


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("from streams.config.settings import load; load()", ("openai", "groq", "anthropic", "streams.providers")),
        ("from streams.providers.registry import speaker_of; speaker_of('anthropic')", ("openai", "groq")),
    ],
)
def test_no_sdk_is_imported_that_is_not_used(code, absent, tmp_path):
    check = f"import sys; {code}; found = {set(absent)!r} & sys.modules.keys(); assert not found, found"
    done = subprocess.run([sys.executable, "-c", check], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
