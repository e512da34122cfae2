"""What a consumer delivers of batches that can't be read: bytes of real batches, damaged in every way there is."""

import struct

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from streams.clock import utc_now
from streams.damaged_batches import pass_over_damaged_batches
from topics.codec import DAMAGED_HEADER, DecodeError, decode
from topics.registry import REQUESTS

BASE_OFFSET, LENGTH, CHECKSUM, ATTRIBUTES, LAST_DELTA, MAX_TIMESTAMP, PAYLOAD = 0, 8, 17, 21, 23, 35, 61
"""Where the fields of a batch of format 2 begin."""
GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
UNKNOWN = 7
RECORDS = 3


def batch(base_offset: int, codec: int = 0) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1_000_000)
    for number in range(RECORDS):
        offset = base_offset + number
        builder.append(number, timestamp=1_000 + offset, key=None, value=b"%d " % offset * 100, headers=[])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, BASE_OFFSET, base_offset)
    return built


def signed(built: bytearray) -> bytearray:
    """Make length and checksum right again."""
    struct.pack_into(">i", built, LENGTH, len(built) - LENGTH - 4)
    struct.pack_into(">I", built, CHECKSUM, calc_crc32c(bytes(built[ATTRIBUTES:])))
    return built


def fetched(*batches: bytearray, since: int = 0):
    """Return the records that a consumer unpacks of the batches."""
    pass_over_damaged_batches()
    records = MemoryRecords(b"".join(batches))
    return fetcher.PartitionRecords(
        TopicPartition("t", 0), records, None, since, None, None, True, fetcher.READ_COMMITTED
    )


def delivered(*batches: bytearray, since: int = 0):
    """Return what a consumer gets of the batches, as (offset, what is damaged about it), and where it goes on."""
    unpacked = fetched(*batches, since=since)
    found = []
    for record in unpacked:
        damage = dict(record.headers).get(DAMAGED_HEADER, b"").decode()
        assert record.value == (b"" if damage else b"%d " % record.offset * 100)
        found.append((record.offset, damage))
    return found, unpacked.next_fetch_offset


def intact(*offsets: int):
    return [(offset, "") for offset in offsets]


def flipped(built: bytearray, at: int) -> bytearray:
    built[at] ^= 0xFF
    return built


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_a_wrong_checksum_is_one_record_in_place_of_the_batch(codec):
    broken = flipped(batch(3, codec), PAYLOAD + 5)
    damaged = (3, "offsets 3 to 5 of a batch can't be read: its checksum is wrong")
    assert delivered(batch(0, codec), broken, batch(6, codec)) == ([*intact(0, 1, 2), damaged, *intact(6, 7, 8)], 9)
    assert delivered(broken) == ([damaged], 6)


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_payload_that_its_codec_refuses_is_one_too(codec):
    broken = batch(3, codec)
    broken[PAYLOAD:] = b"\x07" * (len(broken) - PAYLOAD)
    found, position = delivered(batch(0), signed(broken), batch(6))
    assert (found[:3], found[4:], position) == (intact(0, 1, 2), intact(6, 7, 8), 9)
    assert found[3][0] == 3
    assert "offsets 3 to 5 of a batch can't be read" in found[3][1]


def test_a_codec_that_nobody_knows():
    broken = batch(3)
    broken[ATTRIBUTES + 1] |= UNKNOWN
    found, position = delivered(batch(0), signed(broken), batch(6))
    assert [offset for offset, _ in found] == [0, 1, 2, 3, 6, 7, 8]
    assert found[3][1] == "offsets 3 to 5 of a batch can't be read: UnsupportedCodecError as it was unpacked"
    assert position == 9


def test_records_before_the_place_that_is_cut_off_are_delivered():
    cut = batch(3)
    found, position = delivered(batch(0), signed(cut[:-150]), batch(6))
    assert (found[:5], found[6:], position) == (intact(0, 1, 2, 3, 4), intact(6, 7, 8), 9)
    assert found[5][0] == 5
    assert "offsets 5 to 5 of a batch can't be read" in found[5][1]


def test_bytes_behind_the_last_record_cost_no_record():
    assert delivered(signed(batch(0) + b"more"), batch(3)) == (intact(0, 1, 2, 3, 4, 5), 6)


@pytest.mark.parametrize("delta", [1 << 30, -9])
def test_how_many_records_a_damaged_batch_says_it_has_is_not_believed(delta):
    broken = batch(3)
    struct.pack_into(">i", broken, LAST_DELTA, delta)
    damaged = (3, "offsets 3 to 5 of a batch can't be read: its checksum is wrong")
    assert delivered(broken, batch(6)) == ([damaged, *intact(6, 7, 8)], 9)


@pytest.mark.parametrize("timestamp", [1 << 62, -9])
def test_a_time_that_cannot_be_is_not_believed_either(timestamp):
    broken = batch(3)
    struct.pack_into(">q", broken, MAX_TIMESTAMP, timestamp)
    [record] = fetched(broken)
    assert 0 <= record.timestamp <= utc_now().timestamp() * 1000


def test_a_consumer_that_begins_behind_the_letter_goes_on():
    broken = flipped(batch(3), PAYLOAD + 5)
    assert delivered(broken, since=4) == ([], 6)
    assert delivered(broken, batch(6), since=4) == (intact(6, 7, 8), 9)


def test_it_is_read_as_damaged_and_not_as_empty():
    with pytest.raises(DecodeError) as caught:
        decode(REQUESTS, b"", [(DAMAGED_HEADER, b"offsets 3 to 5 of a batch can't be read")])
    assert (caught.value.reason, caught.value.message) == ("damaged", "offsets 3 to 5 of a batch can't be read")
