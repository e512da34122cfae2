"""What is seen of a conversation whose user has spoken before: what its last message shares, its form, and its words.

Every text is read in bounded time, long ones at both ends.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import log1p
from typing import Final

from streams.routing import tool_loops
from streams.routing.conversation_cues import KINDS, UNSPACED, count_cues, spaced
from streams.routing.request_classifier.features import words_of
from topics.messages import Message

_TURNS: Final = 3
"""Earlier messages of the user that are read, and answers, the latest ones."""
_QUOTABLE, _READ = 2_000, 400
"""Characters that are searched for quotations, and of each message that are read; of longer ones both ends."""
_QUOTATION = re.compile(
    r'"[^"]+"|“[^“”]+”|„[^„“”]+[“”]|«[^«»]+»|「[^「」]+」|```.*?```|'
    r"(?<!\w)'[^']{20,}'",
    re.DOTALL,
)
"""What others have said or written: its tone is not the user's."""
_STEM: Final = 5
_EDGE: Final = 4
"""Words at the beginning and at the end that count once more."""
_NUMBER = re.compile(r"\d+")
_CAPITALS = re.compile(r"\b[^\W\d_]{3,}\b")
_SHOUTED = re.compile(r"[?？؟!！]{2,}")
_ASKING = ("?", "？", "؟")
_STATING = (".", "。", "।")
_MOST_MARKS, _MOST_CAPITALS, _MOST_NUMBERS, _MOST_CUES = 6, 3, 3, 2

FORM: Final = (
    "said before", "repeated", "nothing new", "same beginning", "new numbers", "longer", "shorter", "length",
    "exclamations", "ends with a question", "capitals", "quotes",
    "question in answer", "said in answer", "from answer alone", "said by nobody", "answer repeated",
    "question said again", "answer length", "answer asks", "question length", "question asks", "earlier turns",
    "question marks", "ends with a full stop", "ends without a sign", "begins in lower case", "trails off",
    *KINDS, *(f"share of {kind}" for kind in KINDS),
    "restates what was said", "objects to what was said", "angry and tired",
)  # fmt: skip
"""In their order. Shares, or counts and lengths as logarithms; nothing is above 20."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a conversation.

    Attributes:
        form: Values of `FORM`.
        words: The distinct words of the last message that nobody has used before, its quotations left out.
        first: Its first words.
        last: Its last words.
        answer: The distinct words of the answer before it.
    """

    form: tuple[float, ...]
    words: Sequence[str]
    first: Sequence[str]
    last: Sequence[str]
    answer: Sequence[str]


def see(messages: Sequence[Message]) -> Seen | None:
    """Read a conversation without tool loops; None without an earlier message of the user or a last word."""
    messages = tool_loops.said(messages)
    asked = [number for number, message in enumerate(messages) if message.role == "user"]
    if len(asked) < 2:  # noqa: PLR2004 - the last one and one before it
        return None
    last = messages[asked[-1]].text
    earlier = [messages[number].text for number in asked[-1 - _TURNS : -1]]
    answers = [
        _ends(message.text, _READ)
        for message in messages[asked[max(-1 - _TURNS, -len(asked))] : asked[-1]]
        if message.role == "assistant"
    ][-_TURNS:]
    answered = any(message.role == "assistant" for message in messages[asked[-2] : asked[-1]])
    return _see(last, [_ends(text, _READ) for text in earlier], answers if answered else [*answers, ""])


def _see(last: str, earlier: Sequence[str], answers: Sequence[str]) -> Seen | None:
    """Read the last message beside the user's earlier ones and the answers, latest last."""
    whole = _ends(last, _QUOTABLE)
    own = _QUOTATION.sub(" ", whole)
    read, bare = _ends(whole, _READ), _ends(own, _READ).strip()
    order = _stems(spaced(read))
    if not any(map(str.isalnum, read)):
        return None
    words = words_of(bare)
    answer = dict.fromkeys(words_of(answers[-1]))
    orders = [_stems(spaced(text)) for text in earlier]
    known = set(_NUMBER.findall("\n".join((answers[-1], *earlier))))
    overlap = _overlap(order, orders, len(set(_NUMBER.findall(read)) - known))
    form = (
        *overlap,
        *_tone(last, bare, earlier),
        float(own != whole),
        *_answered(set(order), [*map(set, orders)], [set(_stems(spaced(text))) for text in answers]),
        *_manner(bare, earlier, answers[-1]),
        *_turns_of_phrase(bare, log1p(_weight(set(order)) / _STEM), overlap[0]),
    )
    said, text = set(chain.from_iterable(orders)), "\n".join(earlier).lower()
    new = [
        word for word in dict.fromkeys(words) if not (word[:_STEM] in said or (UNSPACED.match(word) and word in text))
    ]
    return Seen(form, new, words[:_EDGE], words[-_EDGE:], [*answer])


def _overlap(order: Sequence[str], orders: Sequence[Sequence[str]], new_numbers: int) -> tuple[float, ...]:
    """Return how much of the last message, and of the earlier ones, is in the other."""
    stems = set(order)
    weight = _weight(stems)
    before = [(_weight(stems & one), _weight(one)) for one in map(set, orders)]
    said = max(shared for shared, _ in before) / max(weight, 1)
    length = log1p(weight / _STEM)
    return (
        said,
        max(shared / max(whole_of_it, 1) for shared, whole_of_it in before),
        length if said == 1 and not new_numbers else 0.0,
        max(_common_beginning(order, one) for one in orders),
        float(min(new_numbers, _MOST_NUMBERS)),
    )


def _tone(last: str, bare: str, earlier: Sequence[str]) -> tuple[float, ...]:
    longer = log1p(len(last)) - log1p(len(earlier[-1]))
    return (
        min(max(longer, 0.0), 2.0),
        min(max(-longer, 0.0), 2.0),
        log1p(len(bare)),
        log1p(min(_exclamations(bare), _MOST_MARKS)),
        float(bare.endswith(_ASKING)),
        _capitals(bare, earlier),
    )


def _answered(stems: set[str], users: Sequence[set[str]], answers: Sequence[set[str]]) -> tuple[float, ...]:
    """Return what the answer has to do with the question before it, with the last message and with other answers."""
    *others, answer = answers
    question, said = users[-1], set().union(*users)
    weight, shared = max(_weight(stems), 1), stems & answer
    return (
        _share(question, answer),
        _weight(shared) / weight,
        _weight(shared - said) / weight,
        _weight(stems - answer - said) / weight,
        max((_share(answer, other) for other in others), default=0.0),
        _share(question, stems),
    )


def _manner(bare: str, earlier: Sequence[str], answer: str) -> tuple[float, ...]:
    return (
        log1p(len(answer)),
        float(answer.rstrip().endswith(_ASKING)),
        log1p(len(earlier[-1])),
        float(earlier[-1].rstrip().endswith(_ASKING)),
        float(len(earlier) - 1),
        log1p(min(sum(map(bare.count, _ASKING)), _MOST_MARKS)),
        float(bare.endswith(_STATING)),
        float(bare[-1:].isalnum()),
        float(bare[:1].islower()),
        float("..." in bare or "…" in bare),
    )


def _turns_of_phrase(bare: str, length: float, said: float) -> tuple[float, ...]:
    cues = [min(count, _MOST_CUES) for count in count_cues(spaced(bare))]
    restates, objects, angry, tired = (min(count, 1) for count in cues[:4])
    shares = (count / max(length, 1.0) for count in cues)
    return (*map(float, cues), *shares, restates * said, objects * said, float(angry * tired))


def _stems(words: str) -> list[str]:
    """Return the beginnings of the words; where there are none to be told apart, each pair of characters."""
    if not UNSPACED.search(words):
        return [word[:_STEM] for word in words.split()]
    found: list[str] = []
    for word in words.split():
        pairs = len(word) > 1 and UNSPACED.search(word)
        found.extend([word[i : i + 2] for i in range(len(word) - 1)] if pairs else [word[:_STEM]])
    return found


def _weight(stems: set[str]) -> int:
    """Add up what stems say: the shortest are mostly articles and the like, pairs of unspaced characters are not."""
    return sum(map(len, stems)) + 2 * len([stem for stem in stems if stem >= "\u0e00"])


def _share(one: set[str], other: set[str]) -> float:
    return _weight(one & other) / max(_weight(one), 1)


def _common_beginning(one: Sequence[str], other: Sequence[str]) -> float:
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return same / max(len(one), 1)


def _exclamations(text: str) -> int:
    return text.count("!") + text.count("！") + sum(len(found) - 1 for found in _SHOUTED.findall(text))


def _capitals(text: str, earlier: Sequence[str]) -> float:
    """Return how far words are in capitals, up to 1; 0 for a user who has written such words before."""
    shouted = _shouted_words(text)
    if not shouted or any(map(_shouted_words, earlier)):
        return 0.0
    return min(shouted, _MOST_CAPITALS) / _MOST_CAPITALS


def _shouted_words(text: str) -> int:
    return sum(map(str.isupper, _CAPITALS.findall(text)))


def _ends(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most * 5 // 8]}\n{text[-most * 3 // 8 :]}"
