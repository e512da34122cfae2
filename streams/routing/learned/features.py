"""What the learned classifier sees of a prompt: surface features of its form, and its tokens.

The features describe lengths, numbers, lettered options, negation and punctuation, never a benchmark or a subject. Any
text is read as it is, whatever its language, control characters or surrogates, in bounded time.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import log1p, sqrt
from operator import itemgetter
from typing import Final

from streams.routing.learned.words import NEGATIONS, OPTION_CATEGORIES, STEM_CATEGORIES, count_categories

SAMPLE_LIMIT: Final = 2_400
"""Longer texts, in characters, are read at their head, in their middle and at their tail."""
_HEAD, _MIDDLE, _TAIL = 1_200, 400, 800

_ASCII_TOKEN = re.compile(r"[a-z]+|[^\w\s]|\d+(?:[.,]\d+)*|_+")
"""Finds the same in lower-case ASCII, and faster."""
_TOKEN = re.compile(r"[a-z]+(?![^\W\d_])|[^\W\d_]+|[^\w\s]|\d+(?:[.,]\d+)*|_+")
_OPTION = re.compile(r"\n[ \t]*\(?[A-J][.)][ \t]")
_ANSWER_CUE = re.compile(r"\s*Answer:\s*\Z")
_DIGIT = re.compile(r"\d")
_NUMERIC_OPTION = re.compile(r"[-−$(]?\s*\d[\d.,/%\s]*\D{0,12}\Z")

_FEWEST_OPTIONS: Final = 3
_COMPARED_OPTIONS: Final = 5
_LONG_TOKEN: Final = 8
_LAST_TOKENS: Final = 25
_SMALL_NUMBER, _LARGE_NUMBER = 10, 100
_FIRST_YEAR, _LAST_YEAR = 1000, 2099
_MOST_DIGITS: Final = 40
_LARGEST_NUMBER: Final = 1e15

_UPPER, _DIGITS, _OTHER, _NON_ASCII, _NEWLINE, _CONTROL, _IGNORED = (bytes((i,)) for i in range(7))


def _byte_classes() -> bytes:
    """Class each byte of UTF-8; lower-case letters and blanks are not counted."""
    classes = bytearray(_OTHER * 128 + _NON_ASCII * 128)
    for members, kind in (
        (range(32), _CONTROL),
        (b"\x7f", _CONTROL),
        (b"\t ", _IGNORED),
        (b"\n\r", _NEWLINE),
        (range(ord("0"), ord("9") + 1), _DIGITS),
        (range(ord("a"), ord("z") + 1), _IGNORED),
        (range(ord("A"), ord("Z") + 1), _UPPER),
    ):
        for byte in members:
            classes[byte] = kind[0]
    return bytes(classes)


_BYTE_CLASSES: Final = _byte_classes()

_LENGTHS: Final = (
    "log_characters", "log_stem_characters", "log_stem_tokens", "log_sentences", "tokens_per_sentence",
    "log_last_sentence", "token_length", "type_token_ratio", "long_token_share",
)  # fmt: skip
_NUMBERS: Final = (
    "log_numbers", "number_share", "log_largest_number", "decimals", "log_distinct_numbers", "small_numbers",
    "large_numbers", "years",
)  # fmt: skip
_CHARACTERS: Final = (
    "upper_share", "digit_share", "other_share", "log_non_ascii", "log_newlines", "control_share",
)  # fmt: skip
_ENDING: Final = (
    "ends_question", "ends_colon", "ends_stop", "ends_blank", "ends_other", "blanks", "starts_space", "starts_lower",
    "negation_in_last", "capital_negation",
)  # fmt: skip
_OPTIONS: Final = (
    "options", "log_option_mean", "option_spread", "log_option_longest", "log_option_shortest", "option_ratio",
    "option_overlap", "option_overlap_max", "option_in_stem", "option_in_stem_range", "option_first_letters",
    "option_first_words", "options_numeric", "options_with_number", "options_one_word", "options_capital",
    "options_with_stop", "option_word_length", "option_words",
)  # fmt: skip
_option_categories = itemgetter(*(STEM_CATEGORIES.index(name) for name in OPTION_CATEGORIES))
_NO_NUMBERS: Final = (0.0,) * len(_NUMBERS)
_NO_OPTIONS: Final = (0.0,) * (len(_OPTIONS) + len(OPTION_CATEGORIES))

SURFACE_NAMES: Final[tuple[str, ...]] = (
    *_LENGTHS,
    *_NUMBERS,
    *_CHARACTERS,
    *_ENDING,
    *(f"stem_{name}" for name in STEM_CATEGORIES),
    *_OPTIONS,
    *(f"option_{name}" for name in OPTION_CATEGORIES),
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A prompt's tokens (lower case, the stem's before the options'), and its features in the order of the names."""

    tokens: list[str]
    surface: list[float]


def parse(text: str) -> Parsed:
    """Tokenise a text and compute its surface features."""
    sample = text if len(text) <= SAMPLE_LIMIT else _sample(text)
    stem, options = _split(sample)
    find_tokens = (_ASCII_TOKEN if sample.isascii() else _TOKEN).findall
    tokens = find_tokens(stem.lower())
    characters, has_digits = _characters(sample)
    surface = [
        *_lengths(len(text), stem, tokens),
        *(_numbers(tokens) if has_digits else _NO_NUMBERS),
        *characters,
        *_ending(stem, tokens),
        *count_categories(tokens),
    ]
    if not options:
        surface += _NO_OPTIONS
        return Parsed(tokens, surface)
    option_tokens = find_tokens("\n".join(options).lower())
    surface += _options(options, stem)
    surface += _option_categories(count_categories(option_tokens))
    return Parsed(tokens + option_tokens, surface)


@cache
def features_digest() -> str:
    """Return a SHA-256 of what the features are and of what they read in a few texts; a change of either changes it."""
    digest = hashlib.sha256("\n".join(SURFACE_NAMES).encode())
    for text in _PROBES:
        parsed = parse(text)
        digest.update(repr((parsed.tokens, [round(float(value), 4) for value in parsed.surface])).encode())
    return digest.hexdigest()


_PROBES: Final = (
    "",
    "Which of the following is NOT a prime number?\nA. 2\nB. 9.5\nC. 1,024 apples\nD. none of the above\nAnswer:",
    "In 1999 Ann paid $3.50 for each of 12 pens. How much did she pay in total, if 20 % is tax?",
    " def f(x): return x * 2  # naïve ‘quotes’ — Größe ÷ 3 \x00\x7f\n(A) one\n(B) two\n(C) three\n___ is",
    "word, " * 1_000,
)
"""They reach every feature; none of their characters depends on the version of Unicode."""


def _sample(text: str) -> str:
    middle = (len(text) - _MIDDLE) // 2
    return f"{text[:_HEAD]}\n{text[middle : middle + _MIDDLE]}\n{text[-_TAIL:]}"


def _split(text: str) -> tuple[str, list[str]]:
    """Split into stem and lettered options; fewer than three options count as none."""
    first = _OPTION.search(text)
    if first is None:
        return text, []
    stem, *options = _OPTION.split(text)
    if len(options) < _FEWEST_OPTIONS:
        return text, []
    options[-1] = _ANSWER_CUE.sub("", options[-1])
    return stem, options


def _lengths(length: int, stem: str, tokens: Sequence[str]) -> tuple[float, ...]:
    count = stem.count
    sentences = 1 + count(". ") + count("? ") + count("! ") + count(".\n")
    sizes = list(map(len, tokens))
    n = len(tokens) or 1
    end = stem.rstrip()
    last = len(end) - max(end.rfind(". ", 0, -1), end.rfind("? ", 0, -1), end.rfind("\n")) - 1
    return (
        log1p(length),
        log1p(len(stem)),
        log1p(n),
        log1p(sentences),
        n / sentences,
        log1p(last),
        sum(sizes) / n,
        len(set(tokens)) / n,
        len([None for size in sizes if size > _LONG_TOKEN]) / n,
    )


def _numbers(tokens: Sequence[str]) -> tuple[float, ...]:
    numbers = [token for token in tokens if "0" <= token < ":"]
    if not numbers:
        return _NO_NUMBERS
    values = [_value(number) for number in numbers]
    return (
        log1p(len(numbers)),
        len(numbers) / len(tokens),
        log1p(max(values)),
        len([None for number in numbers if "." in number]),
        log1p(len(set(values))),
        len([None for value in values if value < _SMALL_NUMBER]),
        len([None for value in values if value >= _LARGE_NUMBER]),
        len([None for value in values if _FIRST_YEAR <= value <= _LAST_YEAR and value.is_integer()]),
    )


def _value(number: str) -> float:
    """Return the number's value, bounded; several dots (a version, a date) read as zero."""
    try:
        return min(float(number[:_MOST_DIGITS].replace(",", "")), _LARGEST_NUMBER)
    except ValueError:
        return 0.0


def _characters(text: str) -> tuple[tuple[float, ...], bool]:
    """Return the character features, and whether there is any ASCII digit."""
    # A lone surrogate has no form in UTF-8 and counts as one character of ASCII.
    classes = text.encode("utf-8", "replace").translate(_BYTE_CLASSES)
    count = classes.count
    n = len(classes) or 1
    digits = count(_DIGITS)
    return (
        count(_UPPER) / n,
        digits / n,
        count(_OTHER) / n,
        log1p(count(_NON_ASCII)),
        log1p(count(_NEWLINE)),
        count(_CONTROL) / n,
    ), digits > 0


def _ending(stem: str, tokens: Sequence[str]) -> tuple[float, ...]:
    end = stem.rstrip()[-2:]
    last = end[-1:]
    question, colon, stop, blank = last == "?", last == ":", last == ".", "_" in end
    return (
        question,
        colon,
        stop,
        blank,
        not (question or colon or stop or blank),
        stem.count("__"),
        stem[:1].isspace(),
        stem.lstrip()[:1].islower(),
        sum(map(NEGATIONS.__contains__, tokens[-_LAST_TOKENS:])),
        "NOT" in stem or "EXCEPT" in stem or "LEAST" in stem,
    )


def _options(options: Sequence[str], stem: str) -> tuple[float, ...]:
    n = len(options)
    options = [option.strip() for option in options]
    words = [option.lower().split() for option in options]
    lengths, counts = list(map(len, options)), list(map(len, words))
    characters, total = sum(lengths), sum(counts)
    mean = characters / n
    spread = sqrt(sum([(length - mean) ** 2 for length in lengths]) / n) / (mean + 1)
    sets, stem_words = list(map(set, words)), set(stem.lower().split())
    overlaps = [
        common / (len(one) + len(other) - common) if (common := len(one & other)) else 0.0
        for one, other in combinations(sets[:_COMPARED_OPTIONS], 2)
    ]
    in_stem = [len(s & stem_words) / (len(s) or 1) for s in sets]
    shortest, longest = log1p(min(lengths)), log1p(max(lengths))
    with_number = [option for option in options if _DIGIT.search(option)]
    return (
        n,
        log1p(mean),
        spread,
        longest,
        shortest,
        longest - shortest,
        sum(overlaps) / len(overlaps),
        max(overlaps),
        sum(in_stem) / n,
        max(in_stem) - min(in_stem),
        len({option[:1] for option in options}) / n,
        len({found[0] if found else "" for found in words}) / n,
        len([None for option in with_number if _NUMERIC_OPTION.match(option)]),
        len(with_number),
        counts.count(1),
        len([None for option in options if option[:1].isupper()]),
        len([None for option in options if option[-1:] == "."]),
        characters / (total or 1),
        total / n,
    )
