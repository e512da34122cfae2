"""A classifier of a dozen weighted features: the first one, needs no training and decides in microseconds.

It reads what makes a task hard for a small model: length, conditions that pile up, figures to work with, reasoning
that is asked for, stakes; and what makes it easy: an answer of one line, or a form that only has to be filled in.
The weights are round numbers set by judgement and checked on the demo's corpus; they are no fit to outcomes.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streams.routing.query_type import QueryType
from topics.requests import Impact, Request, Tolerance

_READ_CHARACTERS = 8_000
"""Longer questions are read at both ends, so that the time to decide is bounded."""
_SCHEMA_READ_CHARACTERS = 400
"""With a response schema the rest is the document, which is long without being hard."""
_UNSPACED = re.compile("[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_CHARACTERS_A_WORD = 2
"""In these scripts, which put no spaces between words."""

_NUMBER = re.compile(r"\d[\d.,]*")
_CLAUSE_SIGNS = (". ", ".\n", "?", "!", ";", ":", ",", "。", "、")
_WORD = re.compile(r"\w+")
_LONGEST_WORD = 24
_REMEMBERED_WORDS = 1 << 14

_CONDITIONS = frozenset(
    [
        "if", "when", "after", "but", "both", "each", "other", "still", "instead", "same", "per", "without", "although",
        "while", "whether", "not", "unless", "except", "only", "given", "assuming", "wenn", "aber", "ohne", "nicht",
        "si", "mais", "sans", "pero", "sin", "se", "mas", "sem",
    ]
)  # fmt: skip
_EXPLAINING = re.compile(
    r"why|explain|compare|rewrite|refactor|review|debug|plan|analy[sz]e|recommend|diagnos\w*|interpret|prioriti[sz]e"
    r"|forecast|estimate|significant"
)
_REASONING = re.compile(
    r"prove|derive|design|architect\w*|tradeoffs?|optimi[sz]e|strateg\w+|assess|implications?|justify|reconcile"
    r"|concurren\w+|deadlock|distributed|scenarios?|sensitivity|valuation|causal\w*|negotiat\w+|liabilit\w+|indemni\w+"
    r"|regulat\w+|bug"
)
_PHRASES = {
    "conditions": (" at least ",),
    "explaining": (" pros and cons ", " should i ", " should we "),
    "reasoning": (" trade off ", " trade offs ", " root cause ", " race condition ", " under load "),
    "brief": (" one line ", " one sentence ", " in one ", " yes or no ", " single word ", " at most "),
}
_LABELS = ("label:", "labels:")


class _Cues(dict[str, str | None]):
    """What words are cues for, if for anything; remembers what it was asked."""

    def __missing__(self, word: str) -> str | None:
        cue = _cue(word)
        if len(word) <= _LONGEST_WORD:
            if len(self) >= _REMEMBERED_WORDS:
                self.clear()
            self[word] = cue
        return cue


def _cue(word: str) -> str | None:
    if word in _CONDITIONS:
        return "conditions"
    if word.startswith("short"):
        return "brief"
    if _EXPLAINING.fullmatch(word):
        return "explaining"
    return "reasoning" if _REASONING.fullmatch(word) else None


_cue_of = _Cues().__getitem__


@dataclass(frozen=True, slots=True)
class _Text:
    """What the features look at."""

    request: Request
    query_type: str
    instructions: str
    cues: Mapping[str | None, int]
    """How many words and phrases of the instructions give each cue."""

    @classmethod
    def of(cls, request: Request, query_type: str) -> "_Text":
        instructions = _instructions(request)
        lower = instructions.lower()
        words = _WORD.findall(lower)
        cues = Counter(map(_cue_of, words))
        line = f" {' '.join(words)} "
        for cue, phrases in _PHRASES.items():
            cues[cue] += sum(map(line.count, phrases))
        cues["brief"] += any(map(lower.__contains__, _LABELS))
        return cls(request, query_type, instructions, cues)

    def of_cue(self, cue: str, most: int) -> int:
        return min(self.cues[cue], most)

    @property
    def words(self) -> float:
        unspaced = 0 if self.instructions.isascii() else len(_UNSPACED.findall(self.instructions))
        return len(self.instructions.split()) + unspaced / _CHARACTERS_A_WORD


_FEATURES: dict[str, tuple[float, Callable[[_Text], float]]] = {
    "length": (2.0, lambda text: math.log1p(text.words / 12)),
    "figures": (0.12, lambda text: min(len(_NUMBER.findall(text.instructions)), 10)),
    "clauses": (0.15, lambda text: min(sum(map(text.instructions.count, _CLAUSE_SIGNS)), 10)),
    "conditions": (0.35, lambda text: text.of_cue("conditions", 6)),
    "explaining": (0.7, lambda text: text.of_cue("explaining", 3)),
    "reasoning": (0.6, lambda text: text.of_cue("reasoning", 4)),
    "brief answer": (-1.0, lambda text: text.of_cue("brief", 1)),
    "form to fill in": (-1.5, lambda text: text.request.response_schema is not None),
    "critical impact": (1.2, lambda text: text.request.context.business_impact is Impact.CRITICAL),
    "low tolerance": (0.6, lambda text: text.request.context.error_tolerance is Tolerance.LOW),
    "code": (0.6, lambda text: text.query_type == QueryType.CODE),
    "short question": (0.5, lambda text: text.query_type == QueryType.FAQ),
}
"""Weight and value of each feature; the sum is 0 where needing more than the cheapest tier is even."""

_BIAS = -3.0
_TOP_CUT = 3.2
"""How much harder a request must be to need the top tier than to need more than the cheapest."""


class FeaturesClassifier:
    """Scores by features of the request alone; deterministic."""

    version = "features/3"

    def needs_more_than(self, request: Request, query_type: str, tiers: int) -> Sequence[float]:
        """Return, for each tier but the last, the probability that the request needs a higher one."""
        difficulty = self.difficulty(request, query_type)
        steps = max(tiers - 2, 1)
        return [1 / (1 + math.exp(_TOP_CUT * i / steps - difficulty)) for i in range(tiers - 1)]

    def difficulty(self, request: Request, query_type: str) -> float:
        """Sum the weighted features: below 0 for plain requests, 3 and more for frontier work."""
        text = _Text.of(request, query_type)
        return _BIAS + sum(weight * value(text) for weight, value in _FEATURES.values())


def _instructions(request: Request) -> str:
    question = request.question
    if request.response_schema is not None:
        return question[:_SCHEMA_READ_CHARACTERS]
    if len(question) <= _READ_CHARACTERS:
        return question
    half = _READ_CHARACTERS // 2
    return question[:half] + "\n" + question[-half:]
