"""Where a record goes: murmur2 of its partition key, as Kafka's own default partitioner computes it.

Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey.
"""

from functools import lru_cache

_M = 0x5BD1E995
_SEED = 0x9747B28C
_MASK = 0xFFFFFFFF
_REMEMBERED = 10_000
"""Keys: of those under way, each is asked for a dozen times."""


def murmur2(data: bytes) -> int:
    """Hash bytes to an unsigned 32-bit integer."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ (k >> 24)) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ (h >> 13)) * _M & _MASK
    return h ^ (h >> 15)


@lru_cache(_REMEMBERED)
def partition_for(key: str, partitions: int) -> int:
    """Map a partition key to one of `partitions` partitions."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
