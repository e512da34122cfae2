"""What a conversation says of its last answer: whether its user asks the same again, or has lost patience.

Two small linear models weigh how much the last message has in common with those before it, its form, and turns of
phrase in many languages. The weights come from `tierstream.training.fit_signals`. Every text is read in bounded time.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import exp, log, log1p
from typing import Final

from streams.config.setting_types import Signal
from streams.routing.conversation_cues import KINDS, UNSPACED, count_cues, spaced
from topics.requests import Message, Request

WEIGHTS_FILE: Final = "conversation_weights.json"

_TURNS: Final = 3
"""Earlier messages of the user that are read, the latest ones."""
_QUOTABLE, _READ = 2_000, 400
"""Characters that are searched for quotations, and of each message that are read; of longer ones both ends."""
_QUOTATION = re.compile(
    r'"[^"]+"|“[^“”]+”|„[^„“”]+[“”]|«[^«»]+»|「[^「」]+」|```.*?```|'
    r"(?<!\w)'[^']{20,}'",
    re.DOTALL,
)
"""What others have said or written: its tone is not the user's."""
_STEM = 5
_NUMBER = re.compile(r"\d+")
_CAPITALS = re.compile(r"\b[^\W\d_]{3,}\b")
_SHOUTED = re.compile(r"[?？؟!！]{2,}")
_ASKING = ("?", "？", "؟")
_MOST_MARKS, _MOST_CAPITALS, _MOST_NUMBERS, _MOST_CUES = 6, 3, 3, 2

FEATURES: Final = (
    "said before", "repeated", "nothing new", "same beginning", "new numbers", "longer", "shorter", "words",
    "exclamations", "ends with a question", "capitals", "quotes",
    *(f"{kind}" for kind in KINDS), *(f"share of {kind}" for kind in KINDS),
    "restates what was said", "objects to what was said", "angry and tired",
)  # fmt: skip
"""In their order. Shares, or counts and lengths as logarithms; nothing is above 6."""


@dataclass(frozen=True, slots=True)
class SignalModel:
    """A linear model of one signal.

    Attributes:
        intercept: Log odds of the signal where every feature is 0.
        weights: Of `FEATURES`, in their order.
        threshold: The probability from which on the signal is given.
    """

    intercept: float
    weights: tuple[float, ...]
    threshold: float

    def probability(self, features: Sequence[float]) -> float:
        """Return the probability of the signal."""
        return 1 / (1 + exp(-self._log_odds(features)))

    def is_given(self, features: Sequence[float]) -> bool:
        """Whether the probability reaches the threshold."""
        return self._log_odds(features) >= log(self.threshold / (1 - self.threshold))

    def _log_odds(self, features: Sequence[float]) -> float:
        return self.intercept + sum(map(float.__mul__, self.weights, features))


def signals(request: Request) -> frozenset[Signal]:
    """Return what the last message of the user says of the answer before it; nothing where the user spoke only once."""
    return signals_of(request.messages)


def signals_of(messages: Sequence[Message]) -> frozenset[Signal]:
    """Return the `signals` of the messages of a request."""
    features = features_of(messages)
    if features is None:
        return frozenset()
    return frozenset(signal for signal, model in shipped_models().items() if model.is_given(features))


def features_of(messages: Sequence[Message]) -> tuple[float, ...] | None:
    """Return the values of `FEATURES` of a conversation; None without an earlier message of the user or a last word."""
    asked = [number for number, message in enumerate(messages) if message.role == "user"]
    if len(asked) < 2:  # noqa: PLR2004 - the last one and one before it
        return None
    last = messages[asked[-1]].text
    earlier = [_ends(messages[number].text, _READ) for number in asked[-1 - _TURNS : -1]]
    answers = [message.text for message in messages[asked[-2] : asked[-1]] if message.role == "assistant"]
    return _features(last, earlier, _ends(answers[-1], _READ) if answers else "")


@cache
def shipped_models() -> Mapping[Signal, SignalModel]:
    """Read the models that ship."""
    text = resources.files("streams.routing").joinpath(WEIGHTS_FILE).read_text(encoding="utf-8")
    found = json.loads(text)
    return {signal: _model(found[signal]) for signal in Signal}


def _model(found: Mapping[str, Mapping[str, float]]) -> SignalModel:
    weights = tuple(float(found["weights"][name]) for name in FEATURES)
    return SignalModel(float(found["intercept"]), weights, float(found["threshold"]))  # type: ignore[arg-type]


def _features(last: str, earlier: Sequence[str], answer: str) -> tuple[float, ...] | None:
    """Compare the last message with the user's earlier ones, latest last; look at its form and its turns of phrase."""
    whole = _ends(last, _QUOTABLE)
    own = _QUOTATION.sub(" ", whole)
    read, bare = _ends(whole, _READ), _ends(own, _READ)
    order = _stems(spaced(read))
    if not order:
        return None
    orders = [_stems(spaced(text)) for text in earlier]
    stems = set(order)
    weight = _weight(stems)
    before = [(_weight(stems & one), _weight(one)) for one in map(set, orders)]
    said = max(shared for shared, _ in before) / max(weight, 1)
    known = set(_NUMBER.findall("\n".join((answer, *earlier))))
    new_numbers = len(set(_NUMBER.findall(read)) - known)
    longer = log1p(len(last)) - log1p(len(earlier[-1]))
    length = log1p(weight / _STEM)
    cues = [min(count, _MOST_CUES) for count in count_cues(spaced(bare))]
    restates, objects, angry, tired = (min(count, 1) for count in cues[:4])
    return (
        said,
        max(shared / max(whole_of_it, 1) for shared, whole_of_it in before),
        length if said == 1 and not new_numbers else 0.0,
        max(_common_beginning(order, one) for one in orders),
        float(min(new_numbers, _MOST_NUMBERS)),
        min(max(longer, 0.0), 2.0),
        min(max(-longer, 0.0), 2.0),
        length,
        log1p(min(_exclamations(bare), _MOST_MARKS)),
        float(bare.rstrip().endswith(_ASKING)),
        _capitals(bare, earlier),
        float(own != whole),
        *map(float, cues),
        *(count / max(length, 1.0) for count in cues),
        restates * said,
        objects * said,
        float(angry * tired),
    )


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
    return sum(map(len, stems)) + 2 * sum(stem >= "\u0e00" for stem in stems)


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
