"""Which records have a request behind them that waits: no new one may be forgotten."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.in_memory import BASE, BASE_MS, new_task
from support.record_strategies import by_record

from agents import STAGES
from streams.runtime.failed_records import FailedRecord
from streams.runtime.outcomes import crashed
from streams.runtime.stage import Received
from tierstream.operations.dead_letters import _reissued
from topics.base import Record
from topics.codec import DecodeError, encode
from topics.registry import TopicSpec, all_topics
from topics.request_ids import find_request_id
from topics.tasks import TaskRecord, TierTask, awaits_result, task_of

REGISTERED = sorted({model for spec in all_topics(3) for model in spec.records}, key=lambda model: model.__name__)
RECEIVED = Received("llm.source", 0, 7, BASE_MS, b"k", b"v", (), generation=1)

each_registered = pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model.__name__)
each_awaited = pytest.mark.parametrize(
    "model", [model for model in REGISTERED if awaits_result(model)], ids=lambda model: model.__name__
)
of_each_kind = settings(max_examples=2)


@each_registered
def test_a_record_with_a_task_is_a_task_record(model):
    has_task = any(TierTask in _types(field.annotation) for field in model.model_fields.values())
    is_for_later = any(model in _source(stage).records for stage in STAGES if not stage.ends_requests)
    assert not has_task or is_for_later or issubclass(model, TaskRecord), (
        f"{model.__name__} has a task: derive it from TaskRecord, or a crash over one leaves a request without a result"
    )


def _source(stage):
    return stage.source if isinstance(stage.source, TopicSpec) else stage.source(1)


def _types(annotation: object) -> set[object]:
    return {annotation}.union(*map(_types, get_args(annotation)))


@each_awaited
@of_each_kind
@given(data=st.data())
def test_a_crash_ends_the_request_that_waits(model, data):
    record = data.draw(by_record[model])
    output = crashed("a-stage", record, RECEIVED.source, 0, "it failed")
    assert output is not None
    assert output.record.partition_key == record.partition_key


@each_registered
def test_a_crash_over_any_other_record_ends_nothing(model):
    if not awaits_result(model):
        assert crashed("a-stage", model.model_construct(), RECEIVED.source, 0, "it failed") is None


@each_awaited
@of_each_kind
@given(data=st.data())
def test_the_id_is_found_where_the_rest_can_not_be_read(model, data):
    record = data.draw(by_record[model])
    assert find_request_id(encode(record).value, model.REQUEST_ID_AT) == record.partition_key


@each_awaited
@of_each_kind
@given(data=st.data())
def test_what_is_retried_keeps_all_but_its_task(model, data):
    if not issubclass(model, TaskRecord):
        return
    record = data.draw(by_record[model]).model_copy(update={"task": new_task(revision=1)})
    again = _reissued(record, 4, BASE)
    assert again == record.model_copy(update={"task": task_of(again)})
    assert task_of(again).revision == 4


class Later(Record):
    """For a stage that comes when the result is there."""

    task: TierTask

    @property
    def partition_key(self) -> str:
        return self.task.partition_key


def test_a_record_for_later_ends_nothing():
    later = Later(task=new_task())
    assert task_of(later) is None
    failed = FailedRecord("shadow", RECEIVED, BASE, ends_requests=False)
    unread = failed.undecodable(DecodeError("invalid", "task: missing", later.partition_key))
    for outputs in (failed.raised(later, KeyError("no")), unread):
        assert [output.topic.name for output in outputs] == ["dead-letters"]
