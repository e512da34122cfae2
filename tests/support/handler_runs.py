"""Calling the stages' handlers directly, and picking out what they send."""

from collections.abc import Sequence
from typing import Any, TypeVar

from support.in_memory import SETTINGS, USAGE, Bench, FakeProvider, new_bench, provider_error

from agents import STAGES
from streams.config.settings import Settings
from streams.kafka.publisher import Output
from streams.providers.base import ErrorKind
from topics.base import Record
from topics.journal import CallStarted
from topics.tasks import Completion

R = TypeVar("R", bound=Record)
PASS, FAIL = '{"verdict": "pass", "confidence": 0.9}', '{"verdict": "fail", "confidence": 0.8}'
BUSY = provider_error(ErrorKind.OVERLOADED, status=503)


def new(settings: dict[str, Any] = SETTINGS, **scripts: FakeProvider) -> Bench:
    return new_bench(Settings(**settings), **scripts)


def only(outputs: Sequence[Output], kind: type[R]) -> R:
    [found] = [output.record for output in outputs if isinstance(output.record, kind)]
    return found


def all_of(outputs: Sequence[Output], kind: type[R]) -> list[R]:
    return [output.record for output in outputs if isinstance(output.record, kind)]


def kinds(outputs: Sequence[Output]) -> list[type[Record]]:
    return [type(output.record) for output in outputs]


def topics_of(outputs: Sequence[Output], kind: type[Record]) -> list[str]:
    return [output.topic.name for output in outputs if isinstance(output.record, kind)]


async def run(stage: Any, record: Record, bench: Bench, name: str, **fields: Any) -> Sequence[Output]:
    """Call the handler and check that it sends and pays only as its stage declares."""
    paid = len(list(bench.published(CallStarted)))
    outputs = await stage.handler(record, bench.context(name, **fields))
    instance = next(i for declared in STAGES for i in declared.instances(bench.settings) if i.name == name)
    assert {output.topic.name for output in outputs} <= instance.emits
    if len(list(bench.published(CallStarted))) > paid:
        assert instance.pays or instance.votes, f"stage {name} pays; with pays=False a restart would pay again"
    return outputs


def completion(content: str = "an answer") -> Completion:
    return Completion(
        attempt_id="dca8c1d7-23d1-527e-839e-1b10e9936607",
        tier=1,
        provider="fast",
        model="a",
        content=content,
        finish_reason="stop",
        usage=USAGE,
    )
