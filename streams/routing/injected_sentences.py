"""Sentences of a text that speak to the router, by the patterns of `order_patterns`."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from streams.routing.order_patterns import (
    BEGINNING,
    DIRECTIVE,
    END,
    MODEL,
    MODEL_SIGNS,
    PHRASES,
    SPEAKER_SIGNS,
    TIER,
    TIER_SIGNS,
    TOPIC,
    UNSPACED,
    Signs,
)

Span = tuple[int, int]

BREAK: Final = re.compile(r"[.!?…]{1,8}[\"'”’»)\]*_]{0,4}\s+|[。！？]+[」』”’]*\s*|[;；]\s+|\n\s*")
"""The end of a sentence or line, with the blanks behind it."""
_POLITE: Final = re.compile(
    r"(?:can|could|would|will) you|please|bitte|konnen sie|kannst du|pouvez|peux|puede|podria|puoi|pode|можете|могли"
)
_NEAR: Final = 80
"""So many characters may lie between a target and what is to be done with it."""
_SHORT: Final = 20
"""A sentence up to that length with a tier in it says little else."""
_BLANK: Final = re.compile(r"\s")
_LONGEST_WORD: Final = 40
_AROUND: Final = 160
"""Characters on either side of a sign in which a pattern is looked for; none reaches further."""
_NONE: Final = Signs.of("")
_STEMS: Final = frozenset[str]().union(
    *(signs.stems for one, other, _ in PHRASES for signs in (one, other)),
    *(signs.stems for signs in (TIER_SIGNS, MODEL_SIGNS, SPEAKER_SIGNS)),
)
_STEMS_AT: Final = {
    beginning: tuple(stem for stem in _STEMS if stem[:BEGINNING] == beginning)
    for beginning in {stem[:BEGINNING] for stem in _STEMS}
}.get
_SPACED: Final = {code: " " for code in range(128) if not chr(code).isalnum()}
_WORD: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_JOINED: Final = re.compile(r"(?<=[\w\"'\])}>])\s(?=[A-ZÄÖÜÀ-Ý][^\WA-Z]{0,14}\s|[\u3040-\u30ff\u3400-\u9fff]{4})")
_FEWEST_WORDS: Final = 4
_LONGEST: Final = 600
"""A sentence beyond that is no order, whatever words stand in it."""


class Signed:
    """Which signs a text has; a pattern whose signs are not among them need not be tried."""

    def __init__(self, plain: str) -> None:
        words = plain.translate(_SPACED).split() if plain.isascii() else _WORD.findall(plain)
        self._plain = plain
        self._stems = {
            stem
            for word in set(words)
            if (stems := _STEMS_AT(word[:BEGINNING])) is not None
            for stem in stems
            if f"{word}{END}".startswith(stem)
        }
        self._pieced = not plain.isascii() and UNSPACED.search(plain) is not None

    def has(self, signs: Signs) -> bool:
        """Whether one of them is there."""
        if not self._stems.isdisjoint(signs.stems):
            return True
        return self._pieced and any(map(self._plain.__contains__, signs.pieces))

    def found(self, pattern: re.Pattern[str], signs: Signs) -> list[Span]:
        """List what a pattern finds around its signs."""
        present = self._stems & signs.stems
        if self._pieced:
            present = present.union(filter(self._plain.__contains__, signs.pieces))
        windows = apart([window for sign in present for window in self._windows(sign.removesuffix(END))])
        return [match.span() for start, end in windows for match in pattern.finditer(self._plain, start, end)]

    def _windows(self, sign: str) -> Iterator[Span]:
        """Give what lies around each place of a sign, to the end of a word."""
        place = self._plain.find(sign)
        while place >= 0:
            last = min(place + _AROUND, len(self._plain))
            end = _BLANK.search(self._plain, last, last + _LONGEST_WORD)
            yield max(place - _AROUND, 0), end.start() if end else last
            place = self._plain.find(sign, place + len(sign))


class Orders:
    """The words of orders in a text, found once for all that asks for them."""

    def __init__(self, text: str, plain: str) -> None:
        self._text = text
        self._plain = plain
        self._signed = signed = Signed(plain)
        self._phrases = sorted(
            span
            for signs, others, pattern in PHRASES
            if signed.has(signs) and (others == _NONE or signed.has(others))
            for span in signed.found(pattern, signs)
        )
        self._tiers = signed.found(TIER, TIER_SIGNS)
        self._models = signed.found(MODEL, MODEL_SIGNS)

    @property
    def has_speakers(self) -> bool:
        """Whether some other party is named in the text."""
        return self._signed.has(SPEAKER_SIGNS)

    def __bool__(self) -> bool:
        return bool(self._phrases or self._tiers or self._models)

    def among(self, sentence: Span) -> Span | None:
        """Return from where to where the words of an order reach in a sentence; None: it is none."""
        start, end = sentence
        if end - start > _LONGEST:
            return None
        found = _within(self._phrases, sentence)
        tiers = _within(self._tiers, sentence)
        targets = [*tiers, *_within(self._models, sentence)]
        if targets and not self._asks(start, ends := joined(self._text, (targets[-1][1], end))):
            directives = (self._directive((start, ends), target) for target in targets)
            found += [
                span
                for target, directive in zip(targets, directives, strict=True)
                if directive
                for span in (target, directive)
            ]
            if tiers and (len(self._plain[start:ends].strip()) <= _SHORT or TOPIC.search(self._plain, start, ends)):
                found += tiers
        return (min(a for a, _ in found), max(b for _, b in found)) if found else None

    def speak_in(self, span: Span) -> bool:
        """Whether a block begins with the words of an order, or soon has them; there a tier alone is enough."""
        span = span[0], min(span[1], span[0] + _LONGEST)
        if _within(self._phrases, span) or _within(self._tiers, span):
            return True
        return bool(_within(self._models, span)) and DIRECTIVE.search(self._plain, *span) is not None

    def _directive(self, sentence: Span, target: Span) -> Span | None:
        """Return what is to be done with a target: mostly it stands before it."""
        first, last = max(sentence[0], target[0] - _NEAR), min(sentence[1], target[1] + _NEAR)
        found = DIRECTIVE.search(self._plain, first, target[1]) or DIRECTIVE.search(self._plain, target[1], last)
        return found.span() if found else None

    def _asks(self, start: int, end: int) -> bool:
        part = self._plain[start:end].rstrip()
        return part[-1:] in "?？" and not _POLITE.search(part)


def joined(text: str, span: Span) -> int:
    """Return where something else starts in a sentence without a stop before it, by its capital; else its end."""
    start, end = span
    found = _JOINED.search(text, start, end)
    return found.end() if found and says_something(text[found.end() : end]) else end


def says_something(clause: str) -> bool:
    """Whether a clause is long enough to be a request of its own."""
    unspaced = 0 if clause.isascii() else len(_UNSPACED.findall(clause))
    return len(clause.split()) + unspaced // 2 >= _FEWEST_WORDS


def apart(spans: list[Span]) -> list[Span]:
    """Merge spans that touch or overlap."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def sentences(plain: str, taken: Sequence[Span]) -> Iterator[Span]:
    """Give each sentence outside of what is taken already, with the blanks behind it."""
    edges = [0, *(place for span in taken for place in span), len(plain)]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        first = start
        for found in BREAK.finditer(plain, start, end):
            yield first, found.end()
            first = found.end()
        if first < end:
            yield first, end


def _within(spans: list[Span], span: Span) -> list[Span]:
    return spans[bisect_left(spans, (span[0], 0)) : bisect_left(spans, (span[1], 0))]
