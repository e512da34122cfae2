"""What a stage's declaration says of it, and what it refuses to say."""

import pytest
from support.in_memory import SETTINGS

from agents import STAGES
from streams.config.settings import Settings
from streams.runtime.stage import stage
from topics.base import Record
from topics.registry import HOPS, REQUESTS, TopicSpec, tier_tasks
from topics.tasks import TaskRecord, TierTask


class Compared(TaskRecord):
    """A record of an open request that no list knows."""


class Later(Record):
    """The same for a stage that comes when the result is there."""

    task: TierTask


def spec_of(record):
    return TopicSpec("new", (record,), "infer", "shadow", "New.")


async def shadow(record, ctx):
    return []


def test_a_stage_on_a_new_task_record_needs_no_list():
    declared = stage(source=spec_of(Compared), emits=(), in_flight=1)(shadow)
    assert declared.ends_requests


@pytest.mark.parametrize("source", [spec_of(Later), HOPS, lambda tier: HOPS])
def test_a_record_that_belongs_to_no_request_has_to_be_declared_so(source):
    with pytest.raises(
        TypeError, match=r"stage shadow: \w+ belongs to no request .* TaskRecord, or .* ends_requests=False"
    ):
        stage(source=source, emits=(), in_flight=1)(shadow)
    declared = stage(source=source, emits=(), in_flight=1, ends_requests=False)(shadow)
    assert not declared.ends_requests


@pytest.mark.parametrize("source", [REQUESTS, tier_tasks, spec_of(Compared)])
def test_nobody_may_declare_that_an_open_request_waits_for_nothing(source):
    with pytest.raises(TypeError, match=r"stage shadow: \w+ belongs to a request that waits for its result"):
        stage(source=source, emits=(), in_flight=1, ends_requests=False)(shadow)


def test_what_comes_from_outside_and_who_asks_for_votes():
    instances = [one for declared in STAGES for one in declared.instances(Settings(**SETTINGS))]
    assert [one.name for one in instances if one.source.from_outside] == ["classify", "feedback"]
    assert [one.name for one in instances if one.votes] == ["classify"]
    assert {"classify", "infer:1", "escalate"} - {one.name for one in instances if one.pays} == {"classify", "escalate"}
