"""Records: exact money, stable identities, and what a value may be."""

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from support.examples import examples
from support.in_memory import BASE, new_request, new_task
from support.record_strategies import by_record, call_ended, money, rates, requests, tasks

from topics.base import Timestamp, from_millis
from topics.codec import decode, encode
from topics.events import Hop
from topics.journal import CallEnded, Rates, Usage, attempt_id
from topics.messages import Message, TextPart
from topics.registry import CALLS, TopicSpec, all_topics
from topics.requests import Request
from topics.results import Outcome
from topics.tasks import TierTask

tokens = st.integers(0, 10**9)
HOP = Hop(stage="classify", started_at=BASE, ended_at=BASE, queue_ms=0, outcome="routed")


class _Moment(BaseModel):
    at: Timestamp


@given(rates, tokens, tokens, tokens, tokens)
def test_a_cost_is_exact(rates, fresh, cached, written, output):
    usage = Usage(input=fresh + cached + written, cached=cached, cache_written=written, output=output)
    exact = fresh * Fraction(rates.input) + cached * Fraction(rates.cached) + output * Fraction(rates.output)
    exact += written * Fraction(rates.input if rates.cache_write is None else rates.cache_write)
    assert Fraction(rates.cost(usage)) == exact / 1_000_000


@given(st.lists(st.tuples(rates, tokens, tokens), max_size=5))
def test_costs_add_up_exactly_over_a_route(calls):
    costs = [rates.cost(Usage(input=given, output=out)) for rates, given, out in calls]
    assert Fraction(sum(costs, Decimal(0))) == sum(map(Fraction, costs))


@settings(max_examples=examples(50))
@given(tasks)
def test_a_task_costs_what_its_attempts_cost(task):
    assert Fraction(task.cost_usd) == sum(Fraction(attempt.cost_usd) for attempt in task.attempts)


@settings(max_examples=examples(50))
@given(call_ended, money)
def test_money_survives_json_to_the_last_digit(ended, amount):
    encoded = encode(ended.model_copy(update={"cost_usd": amount}))
    read = decode(CALLS, encoded.value, encoded.headers).record
    assert isinstance(read, CallEnded)
    assert (read.cost_usd, read.cost_usd.as_tuple()) == (amount, amount.as_tuple())


def test_what_is_written_as_a_json_number_is_the_decimal_that_was_written():
    value = b'{"request_id": "r", "messages": [{"role": "user", "content": "x"}], "max_cost_usd": 0.1}'
    assert Request.model_validate_json(value).max_cost_usd == Decimal("0.1")


@pytest.mark.parametrize("amount", ["-0.01", "0.0000000000001", "NaN", "Infinity", "1" + "0" * 38])
def test_what_is_no_amount_of_money(amount):
    with pytest.raises(ValidationError):
        new_request(max_cost_usd=amount)


def test_attempts_have_one_name_for_ever():
    assert str(attempt_id("r1", 0, "infer:1", 0)) == "dca8c1d7-23d1-527e-839e-1b10e9936607"
    others = {attempt_id(*key) for key in (("r1", 0, "infer:1", 1), ("r1", 0, "infer:2", 0), ("r1", 1, "infer:1", 0))}
    assert len(others | {attempt_id("r1", 0, "infer:1", 0)}) == 4


@given(st.text(), st.text(), st.integers(0, 99), st.integers(0, 99))
def test_the_parts_of_an_attempt_do_not_run_into_each_other(request_id, stage, revision, n):
    one = attempt_id(request_id + "1", 1, stage, 11) == attempt_id(request_id, 11, stage, 11)
    assert not one
    assert attempt_id(request_id, revision, stage, n) == attempt_id(request_id, revision, stage, n)


@settings(max_examples=examples(50))
@given(requests, requests)
def test_a_digest_tells_bodies_apart_and_survives_the_journey(one, other):
    assert Request.model_validate_json(one.model_dump_json()).digest() == one.digest()
    assert (one.digest() == other.digest()) == (one == other)


def test_a_digest_does_not_depend_on_what_nobody_reads():
    assert Request.model_validate(new_request().model_dump() | {"min_teir": 3}).digest() == new_request().digest()


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12, minutes=-30))])
def test_moments_are_kept_in_utc(zone):
    moment = _Moment(at=BASE.astimezone(zone))
    assert moment.at == BASE
    assert moment.at.tzinfo is UTC


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(ValidationError):
        _Moment(at=BASE.replace(tzinfo=None))


@given(st.integers(0, 10**13))
def test_kafkas_milliseconds_are_kept(milliseconds):
    assert abs(from_millis(milliseconds) - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(milliseconds=milliseconds)) < (
        timedelta(milliseconds=1)
    )


def test_the_question_is_the_last_thing_a_user_said():
    say = [Message(role="user", content="first"), Message(role="assistant", content="answer")]
    parts = (TextPart(type="text", text="a"), TextPart(type="text", text="b"))
    asked = Request(request_id="r", messages=(*say, Message(role="user", content=parts), say[1]))
    assert asked.question == "a\nb"
    assert Request(request_id="r", messages=(say[1],)).question == "answer"


@pytest.mark.parametrize("model", by_record, ids=lambda model: model.__name__)
@settings(max_examples=examples(5))
@given(data=st.data())
def test_records_are_frozen(model, data):
    record = data.draw(by_record[model])
    with pytest.raises(ValidationError):
        setattr(record, next(iter(model.model_fields)), None)


@pytest.mark.parametrize("model", [TierTask, Outcome], ids=lambda model: model.__name__)
@settings(max_examples=examples(10))
@given(data=st.data())
def test_what_was_under_way_before_steps_travelled_with_it_is_read(model, data):
    record = data.draw(by_record[model])
    older = {name: value for name, value in json.loads(encode(record).value).items() if name != "hops"}
    [spec] = [spec for spec in all_topics(1) if model in spec.records]
    read = decode(spec, json.dumps(older).encode(), encode(record).headers).record
    assert read == record.model_copy(update={"hops": ()})


@pytest.mark.parametrize(
    ("fields", "is_followed"),
    [({}, False), ({"progress": False}, False), ({"progress": True}, True), ({"stream": True}, True)],
)
def test_attempts_are_told_to_who_streams_or_asks(fields, is_followed):
    assert new_request(**fields).is_followed is is_followed


def test_steps_are_added_behind_those_that_there_are():
    first, second, third = (HOP.model_copy(update={"stage": stage}) for stage in ("classify", "infer:1", "escalate"))
    task = new_task(hops=(first,))
    assert task.after(second, third).hops == (first, second, third)
    assert task.after().hops == task.hops == (first,)


def test_tries_are_counted_for_each_stage():
    assert new_task().tries("infer:1") == 0


def test_topics_have_names_of_their_own_and_every_record_its_schema():
    specs: list[TopicSpec] = list(all_topics(4))
    assert len({spec.name for spec in specs}) == len(specs)
    schemas = {model.SCHEMA: model for spec in specs for model in spec.records}
    assert all(schema.endswith("/1") for schema in schemas)
    assert len(schemas) == len({model for spec in specs for model in spec.records})


def test_rates_are_written_as_text():
    rates = Rates(input=Decimal("0.075"), output=Decimal("0.30"), cached=Decimal(0), source="config")
    written = '{"input":"0.075","output":"0.30","cached":"0","cache_write":null,"source":"config"}'
    assert rates.model_dump_json() == written
