"""Reading past damaged batches, on the bytes of a log as a broker would answer fetches from it."""

import random
import struct

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

import streams.kafka.damaged_batches  # noqa: F401 - what is tested
from topics.codec import Damaged, DecodeError, decode
from topics.registry import REQUESTS

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
UNKNOWN = 6
TP = TopicPartition("requests", 0)


def batch(first, count, *, codec=0):
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1_000_000)
    for n in range(count):
        builder.append(n, 1_000, None, f"value-{first + n}".encode() * 20, [])
    built = builder.build()
    struct.pack_into(">q", built, 0, first)
    return built


def damage(built):
    middle = (61 + len(built)) // 2
    built[middle : middle + 8] = random.Random(1).randbytes(8)
    return built


def with_crc(built):
    struct.pack_into(">I", built, 17, calc_crc32c(bytes(built[21:])))
    return built


def as_codec(built, codec):
    built[22] = codec
    return with_crc(built)


def last_offset(built):
    return struct.unpack_from(">q", built, 0)[0] + struct.unpack_from(">i", built, 23)[0]


def fetch(batches, offset):
    """Answer as a broker does: from the batch on that ends, as its header says, not before the offset asked for."""
    is_end = offset > last_offset(batches[-1])
    first = next((n for n, one in enumerate(batches) if last_offset(one) >= offset and not is_end), len(batches))
    return fetcher.PartitionRecords(
        TP, MemoryRecords(b"".join(batches[first:])), [], offset, None, None, True, fetcher.READ_COMMITTED
    )


def read_all(batches):
    found, offset = [], 0
    while True:
        records = fetch(batches, offset)
        new = list(records)
        if not new and records.next_fetch_offset == offset:
            return found
        found += new
        offset = records.next_fetch_offset


def lost(records):
    return [record.offset for record in records if isinstance(record.value, Damaged)]


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_batch_with_a_wrong_checksum_costs_its_own_offsets_only(codec, place):
    batches = [batch(0, 3, codec=codec), batch(3, 2, codec=codec), batch(5, 4, codec=codec)]
    damage(batches[place])
    read = read_all(batches)
    assert [record.offset for record in read] == list(range(9))
    assert lost(read) == [[0, 1, 2], [3, 4], [5, 6, 7, 8]][place]


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_batch_that_its_codec_refuses_costs_its_own_offsets_only(codec):
    refused = batch(3, 2, codec=codec)
    refused[61:69] = b"\xff" * 8
    read = read_all([batch(0, 3), with_crc(refused), batch(5, 1)])
    assert [record.offset for record in read] == list(range(6))
    assert lost(read) == [3, 4]


def test_a_codec_that_nobody_knows_is_damage_too():
    assert lost(read_all([batch(0, 1), as_codec(batch(1, 2), UNKNOWN)])) == [1, 2]


def test_a_header_that_claims_all_offsets_to_come_does_not_swallow_them():
    claims = batch(1, 2)
    struct.pack_into(">i", claims, 23, 1_000_000)
    read = read_all([batch(0, 1), claims, batch(3, 2), batch(5, 1)])
    assert [record.offset for record in read] == list(range(6))
    assert lost(read) == [1, 2]


def test_a_damaged_value_is_a_decode_error_of_its_own():
    [record] = read_all([damage(batch(0, 1))])
    with pytest.raises(DecodeError) as refused:
        decode(REQUESTS, record.value, record.headers)
    assert (refused.value.reason, refused.value.request_id) == ("damaged", None)
    assert record.value == b""
