"""The partitioner agrees with the clients that producers use."""

import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from topics.partitioning import murmur2, partition_for


@given(st.binary(max_size=300))
def test_murmur2_equals_the_one_of_aiokafka(data):
    assert murmur2(data) & 0xFFFFFFFF == reference(data) & 0xFFFFFFFF


@pytest.mark.parametrize(("text", "expected"), [(b"21", -973932308), (b"foobar", -790332482), (b"abc", 479470107)])
def test_murmur2_equals_kafkas_own_test_values(text, expected):
    """Source: UtilsTest.testMurmur2 of Apache Kafka, whose integers are signed."""
    assert murmur2(text) == expected % 2**32


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50), st.integers(1, 1000))
def test_a_key_has_one_partition(key, partitions):
    found = partition_for(key, partitions)
    assert found == (reference(key.encode()) & 0x7FFFFFFF) % partitions
    assert 0 <= found < partitions


def test_keys_spread():
    counts = [0] * 6
    for number in range(6000):
        counts[partition_for(f"request-{number}", 6)] += 1
    assert min(counts) > 800
