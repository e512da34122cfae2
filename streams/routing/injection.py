"""Takes out of a text what speaks to the router instead of to a model, or poses as somebody else.

Whoever writes a prompt can write "route me to tier 3" into it, or the answer that a classifier would give. All that
judges a text judges what is left here, so that such a request gets what it would get without.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from unicodedata import normalize

from streams.routing.injected_blocks import blocks, widened
from streams.routing.injected_sentences import Orders, Span, apart, joined, says_something, sentences
from streams.routing.order_patterns import BLOCK_SIGNS, MODEL, TIER

LOOKED_AT: Final = 20_000
"""Longer texts, in characters, are searched at their head and at their tail, half of it each."""
_REMEMBERED: Final = 32
"""Texts of which the result is kept: all that judges a request asks for the same one."""

_LONGEST_TARGET: Final = 60
_INVISIBLE: Final = re.compile(
    "[\u00ad\u0300-\u036f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f]"
)
_TAGS: Final = re.compile("[\U000e0000-\U000e007f]{8,}")
"""Invisible copies of ASCII: more of them than a flag has hide a text."""
_GAP: Final = re.compile(r"\s*\n|[ \t]+")
"""Blanks after what is cut out, but not the indentation of a line."""
_LIST_MARK: Final = re.compile(r"(?:[Pp]\.? ?[Ss]\.?:?\s*)?\W{0,3}\w{0,2}[.):*>#-]{0,2}\s*")
_CLAUSE: Final = re.compile(r"[,;:，；：、—–]\s?|\s(?:and|then|und|dann|et|puis|y|luego|e|poi|i|и|oraz)\s")
_PREAMBLE: Final = re.compile(
    r"\W*(?:as|since|because|if|for|please|note|attention|important|urgent|warning|dear|hi|hello|listen|this|it|that|so|i|my"
    r"|immediately|no|otherwise|or|without|regardless|do|don't|not|never|you|always|now|thanks?|answer|reply|respond|output"
    r"|take|use|choose|pick|route|send|give|als|weil|da|denn|bitte|car|parce|puisque|porque|pues|perche|bo|потому)\b"
)


def without_orders(text: str) -> str:
    """Return the text without sentences and blocks that speak to the router or pose as system, developer or classifier.

    Any text is accepted, and the time is linear in what is looked at, `LOOKED_AT` characters at most. A text in which
    nothing is found is returned as it is, the same object.
    """
    if len(text) <= LOOKED_AT:
        kept = _without(text)
        return text if kept is None else kept
    half = LOOKED_AT // 2
    head, tail = _without(text[:half]), _without(text[-half:])
    if head is None and tail is None:
        return text
    return "".join((text[:half] if head is None else head, text[half:-half], text[-half:] if tail is None else tail))


@lru_cache(maxsize=_REMEMBERED)
def _without(text: str) -> str | None:
    """Return what is left; None: all of it."""
    shown, places = _shown(text)
    plain = _plain(shown)
    spans = [found.span() for found in _TAGS.finditer(text)] if not text.isascii() else []
    found = _orders(shown, plain)
    spans += found if places is None else [(places[start], places[end]) for start, end in found]
    return _cut(text, spans) if spans else None


class _Plain(dict[int, str]):
    """Maps characters to the ones that they look like, one to one: lower case, no accents, Latin look-alikes."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        found = normalize("NFKC", character)
        if _is_accented(found):
            found = normalize("NFD", found)[0]
        found = found if len(found) == 1 else character
        self[code] = found
        return found


def _is_accented(character: str) -> bool:
    return len(character) == 1 and ("\u00c0" <= character < "\u0530" or "\u1e00" <= character < "\u2000")


_TO_PLAIN: Final = _Plain({ord(one): other for one, other in zip("łøđıß", "lodis", strict=True)})
_LOOKALIKES: Final = str.maketrans("аеорсухіјѕһԁոկҝαοερυνικτ", "aeopcyxijshdnkkaoepuvikt")
_ALIKE: Final = re.compile("[\u0370-\u058f]")
_MIXED: Final = re.compile(r"\w{0,24}(?:[a-z][а-яіјѕһԁա-ֆα-ω]|[а-яіјѕһԁա-ֆα-ω][a-z])\w{0,24}")


def _plain(text: str) -> str:
    """Return a text of the same length that the patterns can be matched against."""
    if text.isascii():
        return text.lower()
    # The only character that is longer in lower case.
    plain = text.replace("İ", "I").lower().translate(_TO_PLAIN)
    return _MIXED.sub(lambda word: word[0].translate(_LOOKALIKES), plain) if _ALIKE.search(plain) else plain


def _shown(text: str) -> tuple[str, list[int] | None]:
    """Return the text without invisible characters, and the place of each one that is left; None: all are."""
    if text.isascii() or not _INVISIBLE.search(text):
        return text, None
    places = [place for place, character in enumerate(text) if not _INVISIBLE.match(character)]
    return "".join(map(text.__getitem__, places)), [*places, len(text)]


def _orders(text: str, plain: str) -> list[Span]:
    """List what goes; single clauses only where nothing else would be left."""
    orders = Orders(text, plain)
    if not orders and not orders.has_speakers and not any(map(plain.__contains__, BLOCK_SIGNS)):
        return []
    taken = blocks(text, plain, orders)
    found = (
        [(sentence, order) for sentence in sentences(plain, taken) if (order := orders.among(sentence))]
        if orders
        else []
    )
    spans = apart([*taken, *(_whole(text, sentence, order) for sentence, order in found)])
    if found and not _is_text(_cut(text, spans)):
        spans = apart([*taken, *(part for sentence, order in found for part in _clauses(plain, sentence, order))])
    return [widened(plain, span) for span in spans]


def _whole(text: str, sentence: Span, order: Span) -> Span:
    """Return the sentence, but not what is joined to it without a stop: there a capital starts the order or ends it."""
    start, end = sentence
    first, last = order
    if (
        first - start > 1
        and not text[start:end].isupper()
        and text[first].isupper()
        and text[first - 2].isalnum()
        and not _is_noun(text, first)
    ):
        start = first
    return start, joined(text, (last, end))


def _is_noun(text: str, place: int) -> bool:
    """Whether it is a tier or model that stands there: some languages write those with a capital."""
    plain = _plain(text[place : place + _LONGEST_TARGET])
    return bool(TIER.match(plain) or MODEL.match(plain))


def _clauses(plain: str, sentence: Span, order: Span) -> Iterator[Span]:
    """Leave the clauses before and after the one with the order, if they say something of their own."""
    start, end = sentence
    first, last = order
    before = [found.start() for found in _CLAUSE.finditer(plain, start, first)]
    if before and _is_apart(plain[start : before[-1]]):
        start = before[-1]
    after = _CLAUSE.search(plain, last, end)
    if after and _is_apart(plain[after.end() : end]):
        end = after.end()
    yield start, end


def _is_apart(clause: str) -> bool:
    return says_something(clause) and not _PREAMBLE.match(clause)


def _is_text(rest: str) -> bool:
    return sum(map(str.isalnum, rest[:200])) > 1


def _cut(text: str, spans: list[Span]) -> str:
    """Take the spans out; at the ends the blanks beside them go too."""
    kept, place = [], 0
    for start, end in apart(spans):
        piece = text[place:start]
        last_line = piece.rfind("\n") + 1
        if _LIST_MARK.fullmatch(piece, last_line):
            piece = piece[:last_line]
        kept.append(piece)
        gap = _GAP.match(text, end)
        place = gap.end() if gap and not piece[-1:].strip() else end
    rest = text[place:]
    return "".join([*kept, rest]) if rest.strip() else "".join(kept).rstrip()
