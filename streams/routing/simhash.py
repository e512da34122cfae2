"""A near-duplicate signature of a text: similar texts differ in few bits, so that repetitive traffic can be found."""

import re
from functools import cache, lru_cache
from hashlib import blake2b
from operator import xor

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
_ALL = (1 << BITS) - 1
_TURN = 23
"""How far the second word of a pair is turned, so that a pair differs from its reverse."""


def signature(text: str) -> str:
    """Return the 64-bit SimHash (Charikar, 2002) of the text's words and pairs of words, as 16 hex digits.

    Case, punctuation, spacing and the values of numbers and ids do not count. Two texts that differ in a word of a
    dozen differ in 16 bits at most in most cases, unrelated ones in about 32. The same in every process and version of
    Python.
    """
    tokens = _tokens(_ends(text, _READ_CHARACTERS))
    if not tokens:
        return "0" * (BITS // 4)
    lanes = {token: _lanes(token) for token in {_EDGE, *tokens}}
    plain, turned = zip(*map(lanes.__getitem__, (_EDGE, *tokens, _EDGE)), strict=True)
    pairs = sum(map(xor, plain[:-1], turned[1:]))
    words = sum([one for one, _ in lanes.values()]) - lanes[_EDGE][0]
    majority = _majority(len(lanes) + len(tokens))
    return f"{int((pairs + words).to_bytes(BITS, 'big').translate(majority), 2):016x}"


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


# A hash is held as a byte for each bit, so that adding up integers counts every bit at once: a loop over shingles and
# bits would take a millisecond. No count exceeds a byte: there are at most twice as many shingles as tokens, and one.


@lru_cache(maxsize=16_384)
def _lanes(word: str) -> tuple[int, int]:
    """Return the bits of a word's hash, a byte for each, as it is and turned."""
    found = int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest(), "little")
    turned = found << _TURN & _ALL | found >> BITS - _TURN
    return _spread(found), _spread(turned)


def _spread(bits: int) -> int:
    return int.from_bytes(b"".join(map(_SPREAD.__getitem__, bits.to_bytes(_HASH_BYTES, "big"))), "big")


_SPREAD = [bytes(map(int, f"{byte:08b}")) for byte in range(256)]
"""The bits of each byte."""


@cache
def _majority(shingles: int) -> bytes:
    """Map a count to the digit 1 if it is that of more than half of the shingles."""
    return bytes(b"01"[2 * count > shingles] for count in range(256))
