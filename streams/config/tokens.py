"""How many tokens a text has: exactly where the model's tokenizer is at hand, else by an estimate that errs high.

The estimate looks at the shapes of words and at the scripts in which they are written, not at any vocabulary.
What it was calibrated on, and by how much it is off, is in its test.
"""

import importlib
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Final

_CHARACTERS_A_TOKEN = 4


class Tokenizer(StrEnum):
    """Families of tokenizers: what the estimate has figures for."""

    O200K = "o200k"
    """OpenAI's o200k_base and o200k_harmony, of its current models and of gpt-oss."""
    LLAMA3 = "llama3"
    CLAUDE = "claude"
    """Not published: the figures rest on what the vendor says of one generation relative to the one before."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class _Costs:
    """What the estimate charges, in tokens."""

    factor: float
    digits_a_token: int
    scripts: Mapping[str, float]
    """For a character of each script, those of ASCII apart; accented letters are charged on top of their word."""


# The first byte of a character's UTF-8 form tells its script well enough, the second one tells some scripts apart.
_LEADS: Final = {
    "accented": (b"l", range(0xC3, 0xCB)),
    "symbol": (b"s", (0xC2, *range(0xCB, 0xCE), 0xE2, 0xEE, 0xEF)),
    "greek": (b"g", (0xCE, 0xCF)),
    "cyrillic": (b"c", range(0xD0, 0xD4)),
    "hebrew or armenian": (b"h", range(0xD4, 0xD8)),
    "arabic": (b"r", range(0xD8, 0xE0)),
    "indic or thai": (b"i", (0xE0,)),
    "georgian to khmer": (b"e", (0xE1,)),
    "han or kana": (b"j", range(0xE3, 0xEA)),
    "hangul": (b"k", range(0xEA, 0xEE)),
    "emoji": (b"x", range(0xF0, 0xF8)),
}
_WITHIN_E1: Final = {"vietnamese": (0xBA, 0xBB), "ethiopic": range(0x88, 0x8F)}
_SCRIPTS: Final = (*_LEADS, *_WITHIN_E1)
_WIDE: Final = dict(zip(_SCRIPTS, (0.6, 1.4, 0.42, 0.38, 0.5, 0.4, 0.5, 0.6, 0.95, 0.6, 2.6, 0.5, 2.1), strict=True))
_NARROW: Final = dict(zip(_SCRIPTS, (1.1, 1.5, 0.5, 0.42, 1.8, 0.5, 1.4, 2.2, 1.0, 0.8, 3.4, 0.6, 2.8), strict=True))
_COSTS: Final = {
    Tokenizer.O200K: _Costs(1.05, 3, _WIDE),
    Tokenizer.LLAMA3: _Costs(1.23, 3, _NARROW),
    Tokenizer.CLAUDE: _Costs(1.6, 1, _NARROW),
    Tokenizer.OTHER: _Costs(1.35, 1, _NARROW),
}


def _classes() -> bytes:
    """Map the first byte of every character to its class."""
    table = bytearray(256)
    for byte in range(0x80):
        char = chr(byte)
        if char.isalpha():
            kind = b"a" if char.islower() else b"A"
        elif char.isdigit():
            kind = b"0"
        elif char in " \t\n\r":
            kind = b" " if char == " " else b"n"
        else:
            kind = b"!" if char.isprintable() else b"z"
        table[byte] = kind[0]
    for kind, leads in _LEADS.values():
        for lead in leads:
            table[lead] = kind[0]
    return bytes(table)


_CLASSES: Final = _classes()
_LATER_BYTES: Final = bytes(range(0x80, 0xC0))
_WORD: Final = re.compile(rb"A*[al]+|A+")
_NUMBER: Final = re.compile(rb"0+")
_LINES: Final = re.compile(rb"n+")
_SPACES: Final = re.compile(rb"  +")
_SHAPES: Final = (_WORD, _NUMBER, _LINES, _SPACES)
_LONGEST: Final = 64
# A word of up to five letters is one token. The longer it is, the less likely it is in a vocabulary.
_WORD_COSTS: Final = tuple(1 + 0.2 * max(0, n - 5) + 0.37 * max(0, n - 13) for n in range(_LONGEST))
_LETTER_COST: Final = 0.57
_MARK_COST: Final = 0.82
_CAPITALS_COST: Final = 0.3
_MIXED_COST: Final = 0.4
"""Where letters and digits meet, as in hashes and Base64."""
_GAP_WIDTH: Final = 64
"""Characters of white space that make a token; most tokenizers take more."""


def estimate(text: str, tokenizer: Tokenizer) -> int:
    """Estimate the tokens of a text, rather too high than too low; 5 to 15 ms for 100,000 characters."""
    if not text:
        return 0
    costs = _COSTS[tokenizer]
    # JSON can carry lone surrogates; each is sent on as something as long.
    raw = text.encode("utf-8", "surrogatepass")
    kinds = raw.translate(_CLASSES, _LATER_BYTES)
    tokens = _shapes(kinds, costs.digits_a_token)
    if len(kinds) != len(raw):
        tokens += _letters(raw, kinds, costs.scripts)
    return int(tokens * costs.factor) + 1


def _shapes(kinds: bytes, digits_a_token: int) -> float:
    """Charge for Latin words, numbers, punctuation and white space."""
    words, numbers, lines, spaces = (Counter(map(len, shape.findall(kinds))) for shape in _SHAPES)
    return (
        sum(count * (_WORD_COSTS[n] if n < _LONGEST else n * _LETTER_COST) for n, count in words.items())
        + sum(count * -(-n // digits_a_token) for n, count in numbers.items())
        + sum(count * (1 + n // _GAP_WIDTH) for gaps in (lines, spaces) for n, count in gaps.items())
        + kinds.count(b" 0")
        + _MIXED_COST * sum(map(kinds.count, (b"a0", b"A0", b"0a", b"0A")))
        + _CAPITALS_COST * kinds.count(b"AA")
        + _MARK_COST * kinds.count(b"!")
        + kinds.count(b"z")
    )


def _letters(raw: bytes, kinds: bytes, costs: Mapping[str, float]) -> float:
    """Charge for every character that is not ASCII by its script."""
    tokens = sum(kinds.count(kind) * costs[script] for script, (kind, _) in _LEADS.items())
    for script, seconds in _WITHIN_E1.items():
        found = sum(raw.count(bytes((0xE1, second))) for second in seconds)
        tokens += found * (costs[script] - costs["georgian to khmer"])
    return tokens


def exact(text: str, tokenizer: Tokenizer) -> int | None:
    """Count the tokens of a text; None where the tokenizer is not at hand. 5 to 100 ms for 100,000 characters."""
    if tokenizer is not Tokenizer.O200K or (encode := _o200k()) is None:
        return None
    try:
        return len(encode(text))
    except ValueError:
        # It refuses a few texts of about a megabyte whose words it could not split in bounded time.
        return None


@cache
def _o200k() -> Callable[[str], list[int]] | None:
    """Load the vocabulary once: it takes a second and 100 MB, so only a process that meets a close case does."""
    try:
        library = importlib.import_module("bpe_openai")
    except ImportError:
        return None
    encode: Callable[[str], list[int]] = library.get_encoding("o200k_base").encode_ordinary
    return encode


def rough(text: str) -> int:
    """Guess the tokens of a text from its length alone: four characters a token, whatever they are."""
    return -(-len(text) // _CHARACTERS_A_TOKEN)
