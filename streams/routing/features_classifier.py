"""A classifier of a dozen weighted features: the first one, needs no training and decides in microseconds.

It reads what makes a task hard for a small model: length, conditions that pile up, figures to work with, reasoning
that is asked for, stakes; and what makes it easy: an answer of one line, or a form that only has to be filled in.
The weights are round numbers set by judgement and checked on the demo's corpus; they are no fit to outcomes.
"""

import math
import re
from collections.abc import Callable, Sequence
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
_CLAUSE = re.compile(r"[.!?;:]\s|[。?!;:,、]|,\s")
_CONDITION = re.compile(
    r"\b(if|when|after|but|both|each|other|still|instead|same|per|without|although|while|whether|not|unless|except"
    r"|only|at least|given|assuming|wenn|aber|ohne|nicht|si|mais|sans|pero|sin|se|mas|sem)\b",
    re.IGNORECASE,
)
_EXPLAINING = re.compile(
    r"\b(why|explain|compare|rewrite|refactor|review|debug|plan|analy[sz]e|recommend|diagnos\w*|interpret"
    r"|pros and cons|prioriti[sz]e|forecast|estimate|significant|should (i|we))\b",
    re.IGNORECASE,
)
_REASONING = re.compile(
    r"\b(prove|derive|design|architect\w*|trade-?offs?|optimi[sz]e|root cause|strateg\w+|assess|implications?|justify"
    r"|reconcile|concurren\w+|race condition|deadlock|distributed|scenarios?|sensitivity|valuation|causal\w*"
    r"|negotiat\w+|liabilit\w+|indemni\w+|regulat\w+|under load|bug)\b",
    re.IGNORECASE,
)
_BRIEF = re.compile(
    r"\b(one line|one-line|one sentence|in one|short(er)?|yes or no|single word|at most|labels?:)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Text:
    """What the features look at."""

    request: Request
    query_type: str
    instructions: str

    def count(self, pattern: re.Pattern[str], most: int) -> float:
        return min(sum(1 for _ in pattern.finditer(self.instructions)), most)

    @property
    def words(self) -> float:
        unspaced = 0 if self.instructions.isascii() else len(_UNSPACED.findall(self.instructions))
        return len(self.instructions.split()) + unspaced / _CHARACTERS_A_WORD


_FEATURES: dict[str, tuple[float, Callable[[_Text], float]]] = {
    "length": (2.0, lambda text: math.log1p(text.words / 12)),
    "figures": (0.12, lambda text: text.count(_NUMBER, 10)),
    "clauses": (0.15, lambda text: text.count(_CLAUSE, 10)),
    "conditions": (0.35, lambda text: text.count(_CONDITION, 6)),
    "explaining": (0.7, lambda text: text.count(_EXPLAINING, 3)),
    "reasoning": (0.6, lambda text: text.count(_REASONING, 4)),
    "brief answer": (-1.0, lambda text: text.count(_BRIEF, 1)),
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

    version = "features/1"

    def needs_more_than(self, request: Request, query_type: str, tiers: int) -> Sequence[float]:
        """Return, for each tier but the last, the probability that the request needs a higher one."""
        difficulty = self.difficulty(request, query_type)
        steps = max(tiers - 2, 1)
        return [1 / (1 + math.exp(_TOP_CUT * i / steps - difficulty)) for i in range(tiers - 1)]

    def difficulty(self, request: Request, query_type: str) -> float:
        """Sum the weighted features: below 0 for plain requests, 3 and more for frontier work."""
        text = _Text(request, query_type, _instructions(request))
        return _BIAS + sum(weight * value(text) for weight, value in _FEATURES.values())


def _instructions(request: Request) -> str:
    question = request.question
    if request.response_schema is not None:
        return question[:_SCHEMA_READ_CHARACTERS]
    if len(question) <= _READ_CHARACTERS:
        return question
    half = _READ_CHARACTERS // 2
    return question[:half] + "\n" + question[-half:]
