"""What the classifier sees of a request: its words and their parts as hashes, and its form. No word has a meaning here.

Whatever the language: scripts without spaces are read by character. Every text is read in bounded time, long ones at
both ends; a word that is repeated counts once.
"""

import hashlib
import re
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import log1p, sqrt
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streams.routing import tool_loops
from topics.messages import Message
from topics.requests import Request

Buckets = NDArray[np.uint16]

BUCKETS: Final = 1 << 16
_HEAD, _TAIL = 1_200, 800
"""Characters that are read of the last turn."""
_CONTEXT_MESSAGES, _CONTEXT_HEAD, _CONTEXT_TAIL = 2, 300, 200
"""What is read of the turns before."""
_LONGEST_WORD: Final = 24
_LONGEST_NUMBER: Final = 6
_SHORTEST_PART, _LONGEST_PART = 2, 5
_EDGE: Final = 4
"""Words at the beginning and at the end that count once more: requests say there what is to be done."""
_EDGE_SHARE, _CONTEXT_SHARE = 0.5, 0.5

_UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W\d_{_UNSPACED}]+|\d+|[^\w\s]|_+")

_PAIR, _FIRST, _LAST, _BEFORE = (np.uint32(odd) for odd in (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x27D4EB2F))
"""Multipliers that give each use of a word buckets of its own."""
_SECOND: Final = np.uint32(0x2C1B3C6D)
_SHIFT: Final = np.uint32(16)

_UPPER, _DIGITS, _OTHER, _NON_ASCII, _IGNORED = (bytes((i,)) for i in range(5))
_CLASSES: Final = bytes.maketrans(
    bytes(range(256)),
    b"".join(
        _NON_ASCII
        if not (sign := bytes((i,))).isascii()
        else _UPPER
        if sign.isupper()
        else _DIGITS
        if sign.isdigit()
        else _IGNORED
        if sign.islower() or sign.isspace()
        else _OTHER
        for i in range(256)
    ),
)
"""Class of each byte of UTF-8."""

_COUNTED: Final = ("?", ",", ".", '"', "(", "=", ";", ":", "<", "|", "!", "\n-")
FORM: Final = (
    "characters", "words", "lines", "first line", "last line", "word length", "distinct words",
    "upper case", "digits", "signs", "beyond ASCII",
    *(f"count of {sign!r}" for sign in _COUNTED),
    "brackets", "code block", "ends with a question mark", "begins in lower case",
    "turns before", "characters before", "last answer", "system prompt", "schema fields",
)  # fmt: skip
"""The form's features in their order; counts and lengths are logarithms."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a request.

    Attributes:
        words: The distinct words of the last turn.
        pairs: Buckets of its distinct pairs of neighbouring words.
        edges: Buckets of its first and last words.
        context: Buckets of the distinct words of the turns before.
        form: Values of `FORM`.
    """

    words: tuple[str, ...]
    pairs: Buckets
    edges: Buckets
    context: Buckets
    form: NDArray[np.float32]


def see(request: Request) -> Seen:
    """Read a request: what was said in it, not the steps of tool loops, which are unlike anything it was trained on."""
    messages = tool_loops.said(request.messages)
    asked = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), -1)
    text = messages[asked].text
    sample = _sampled(text, _HEAD, _TAIL)
    words = words_of(sample)
    said = [m for m in messages[:asked] if m.role in {"user", "assistant"}] if asked > 0 else []
    hashes = _hashes(words)
    before = _hashes(sorted(set(words_of("\n".join(map(_glimpse, said[-_CONTEXT_MESSAGES:]))))) if said else ())
    return Seen(
        words=tuple(dict.fromkeys(words)),
        pairs=np.unique(_buckets(hashes[:-1] * _SECOND + hashes[1:], _PAIR)),
        edges=np.concatenate((_buckets(hashes[:_EDGE], _FIRST), _buckets(hashes[-_EDGE:], _LAST))),
        context=_buckets(before, _BEFORE),
        form=np.frombuffer(array("f", _form(request, messages, text, sample, words, said)), dtype=np.float32),
    )


def words_of(text: str) -> list[str]:
    """Split a text into words, numbers by their length, and signs; in lower case."""
    return [
        "0" * min(len(word), _LONGEST_NUMBER) if word.isdecimal() else word[:_LONGEST_WORD]
        for word in _WORD.findall(text.lower())
    ]


def parts_of(word: str) -> list[int]:
    """Return the buckets of a word and of its parts of two to five characters, its ends marked."""
    marked = f"^{word}$"
    parts = {
        marked[i : i + size] for size in range(_SHORTEST_PART, _LONGEST_PART + 1) for i in range(len(marked) - size + 1)
    }
    keys = (f"={word}", *sorted(parts))
    return [crc32(key.encode("utf-8", "surrogatepass")) & (BUCKETS - 1) for key in keys]


def shares(seen: Seen, parts: int) -> tuple[float, float, float]:
    """Return what each bucket counts in the text, at its edges and in the context, so that length alone counts nothing.

    Args:
        seen: Of a request.
        parts: How many buckets its words have in all.
    """
    return (
        1 / sqrt(max(parts + len(seen.pairs), 1)),
        _EDGE_SHARE / sqrt(max(len(seen.edges), 1)),
        _CONTEXT_SHARE / sqrt(max(len(seen.context), 1)),
    )


@cache
def features_digest() -> str:
    """Return a SHA-256 of what the features are and of what they read in a few requests; either change changes it."""
    digest = hashlib.sha256("\n".join(FORM).encode())
    for turns in _PROBES:
        roles = ("user", "assistant") * len(turns)
        messages = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=False)]
        seen = see(Request.model_validate({"request_id": "probe", "messages": messages}))
        parts = [parts_of(word) for word in seen.words]
        read = (seen.words, parts, seen.pairs.tolist(), seen.edges.tolist(), seen.context.tolist(), shares(seen, 9))
        digest.update(repr((read, [round(float(value), 4) for value in seen.form])).encode())
    return digest.hexdigest()


_PROBES: Final = (
    ("",),
    ("In 1999 Ann paid $3.50; how much?\n- `x = {1: [2]}`\n```py\n<b>|", "Größe ÷ 3: 12345678 \x00", "¿y 今日は\nnow?"),
    ("word, " * 1_000,),
)
"""They reach every feature; none of their characters depends on the version of Unicode."""


def _hashes(words: Sequence[str]) -> NDArray[np.uint32]:
    return np.array([crc32(word.encode("utf-8", "surrogatepass")) for word in words], dtype=np.uint32)


def _buckets(hashes: NDArray[np.uint32], use: np.uint32) -> Buckets:
    return ((hashes * use) >> _SHIFT).astype(np.uint16)


def _sampled(text: str, head: int, tail: int) -> str:
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def _glimpse(message: Message) -> str:
    return _sampled(message.text, _CONTEXT_HEAD, _CONTEXT_TAIL)


def _form(
    request: Request,
    messages: Sequence[Message],
    text: str,
    sample: str,
    words: Sequence[str],
    said: Sequence[Message],
) -> list[float]:
    lines = sample.split("\n")
    count = sample.count
    # A lone surrogate has no form in UTF-8 and counts as one sign.
    classes = sample.encode("utf-8", "replace").translate(_CLASSES).count
    n, size = len(words) or 1, len(sample) or 1
    system = sum(len(m.text) for m in messages[:_CONTEXT_MESSAGES] if m.role in {"system", "developer"})
    schema = request.response_schema
    fields = schema.get("properties") if schema is not None else None
    return [
        log1p(len(text)),
        log1p(len(words)),
        log1p(len(lines)),
        log1p(len(lines[0])),
        log1p(len(lines[-1])),
        sum(map(len, words)) / n,
        len(set(words)) / n,
        classes(_UPPER) / size,
        classes(_DIGITS) / size,
        classes(_OTHER) / size,
        classes(_NON_ASCII) / size,
        *(log1p(count(sign)) for sign in _COUNTED),
        log1p(count("{") + count("[")),
        "```" in sample,
        sample.rstrip()[-1:] in {"?", "？", "؟"},
        sample[:1].islower(),
        log1p(len(said)),
        log1p(sum(len(message.text) for message in said)),
        log1p(len(said[-1].text)) if said else 0.0,
        log1p(system),
        0.0 if schema is None else 1 + log1p(len(fields) if isinstance(fields, dict) else 0),
    ]
