"""A near-duplicate signature of a text: similar texts differ in few bits, so that repetitive traffic can be found."""

import re
from functools import lru_cache
from hashlib import blake2b

BITS = 64

_READ_CHARACTERS = 800
_READ_TOKENS = 96
"""Longer texts are sampled at both ends: that bounds the time, and keeps every count of shingles within a byte."""
_LONGEST_WORD = 64
"""Beyond that a run of letters is a text in a script without spaces, or no text at all."""

_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af"
"""Thai, Lao, kana, Han and Hangul, where a character says about as much as half a word does elsewhere."""
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+(?:[-._/@:][^\W{_UNSPACED}]+)*")
_MASK = "0"
"""Stands for every number, id, address and date, whatever its value."""
_EDGE = ""
_HASH_BYTES = BITS // 8
_TURN = 23
"""How far the second word of a pair is turned, so that a pair differs from its reverse."""


def signature(text: str) -> str:
    """Return the 64-bit SimHash (Charikar, 2002) of the text's words and pairs of words, as 16 hex digits.

    Case, punctuation, spacing and the values of numbers and ids do not count. Two texts that differ in a word of a
    dozen are mostly within 16 bits (`distance`), unrelated ones about 32 bits apart. The same in every process and
    version of Python.
    """
    tokens = _tokens(_ends(text, _READ_CHARACTERS))
    if not tokens:
        return "0" * (BITS // 4)
    words = b"".join(map(_hashed, dict.fromkeys(tokens)))
    sequence = int.from_bytes(b"".join(map(_hashed, (_EDGE, *tokens, _EDGE))), "little")
    lanes = len(words) // _HASH_BYTES + len(tokens) + 1
    pairs = _turned(sequence >> BITS, len(tokens) + 1) ^ sequence & (1 << BITS * (len(tokens) + 1)) - 1
    counts = _ones(pairs << 8 * len(words) | int.from_bytes(words, "little"), lanes)
    return f"{sum(1 << bit for bit, count in enumerate(counts) if 2 * count > lanes):016x}"


def distance(one: str, other: str) -> int:
    """Count the bits in which two signatures differ, 0 to 64."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def _tokens(text: str) -> list[str]:
    found: list[str] = []
    for token in _TOKEN.findall(text.casefold()):
        word = token if token.isalpha() and len(token) <= _LONGEST_WORD else _masked(token)
        # A row of figures is one figure, or a table would outweigh the question about it.
        if not found or found[-1] != word:
            found.append(word)
    if len(found) <= _READ_TOKENS:
        return found
    half = _READ_TOKENS // 2
    return found[:half] + found[-half:]


def _masked(token: str) -> str:
    is_value = len(token) > _LONGEST_WORD or "@" in token or any(map(str.isdecimal, token))
    return _MASK if is_value else token


def _ends(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}\n{text[-most // 2 :]}"


@lru_cache(maxsize=16_384)
def _hashed(word: str) -> bytes:
    return blake2b(word.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()


# The two below treat a wide integer as lanes of 64 bits and work on all of them at once: a loop over shingles and
# bits would take a millisecond.


def _turned(packed: int, lanes: int) -> int:
    """Rotate each lane."""
    low = _repeated((1 << _TURN) - 1, lanes)
    high = _repeated((1 << BITS - _TURN) - 1, lanes)
    return (packed & high) << _TURN | packed >> BITS - _TURN & low


def _ones(packed: int, lanes: int) -> list[int]:
    """Count, for each of the 64 bits, in how many of at most 255 lanes it is set."""
    counts = [0] * BITS
    ones = _repeated(0x0101010101010101, lanes)
    for bit in range(8):
        sums = packed >> bit & ones
        width = lanes
        while width > 1:
            width = (width + 1) // 2
            sums = (sums >> BITS * width) + (sums & (1 << BITS * width) - 1)
        counts[bit::8] = sums.to_bytes(_HASH_BYTES, "little")
    return counts


def _repeated(lane: int, lanes: int) -> int:
    return int.from_bytes(lane.to_bytes(_HASH_BYTES, "little") * lanes, "little")
