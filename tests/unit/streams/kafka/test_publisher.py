"""What leaves in a record: its size is known before, it carries no trace that is none, and nothing is left open."""

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError
from support.in_memory import new_request, new_task

from streams.config.settings_sections import KafkaSettings
from streams.kafka.publisher import Output, Publisher, RecordTooLargeError, trace_of
from topics.registry import tier_tasks


def sized(limit):
    return Publisher(KafkaSettings(request_max_bytes=1024, record_max_bytes=limit))


def test_a_record_that_does_not_fit_is_named_by_topic_and_size():
    small, large = (Output(tier_tasks(1), new_task(new_request("x" * length))) for length in (10, 5000))
    sized(4096).check_sizes([small])
    with pytest.raises(RecordTooLargeError, match=r"the record for tier1 has \d{4} bytes, at most 4096") as caught:
        sized(4096).check_sizes([small, large])
    assert caught.value.record is large.record
    sized(8192).check_sizes([large])


def test_headers_count_too():
    output = Output(tier_tasks(1), new_task())
    limit = len(output.encoded.value) + 256
    sized(limit).check_sizes([output])
    with pytest.raises(RecordTooLargeError):
        sized(limit).check_sizes([output], trace=b"0" * 256)


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ([("traceparent", b"00-a-b-01"), ("other", b"x")], b"00-a-b-01"),
        ([("traceparent", b"0" * 256)], b"0" * 256),
        ([("traceparent", b"0" * 257)], None),
        ([("traceparent", None)], None),
        ([], None),
    ],
)
def test_a_trace_is_passed_on_unless_it_is_too_long(headers, trace):
    assert trace_of(headers) == trace


async def test_a_producer_that_can_not_connect_is_closed(monkeypatch):
    stopped = []

    class Counted(AIOKafkaProducer):
        async def stop(self):
            await super().stop()
            stopped.append(self)

    monkeypatch.setattr("streams.kafka.publisher.AIOKafkaProducer", Counted)
    with pytest.raises(KafkaConnectionError):
        async with Publisher(KafkaSettings(bootstrap_servers="127.0.0.1:1")):
            pass
    assert len(stopped) == 1
