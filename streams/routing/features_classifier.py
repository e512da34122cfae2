"""A classifier of hand-weighted features: the first one, needs no training and decides in microseconds.

It reads what makes a task hard for a small model: reasoning that is asked for, constraints that pile up, code
and mathematics, long or layered instructions; and what makes it easy: a short factual question, or a form that
only has to be filled in. Weights are round numbers set by judgement, not fitted to data.
"""

import math
import re
from collections.abc import Sequence

from streams.routing.query_type import QueryType
from topics.requests import Request

_READ_CHARACTERS = 8_000
"""Longer questions are read at both ends, so that the time to decide is bounded."""

_REASONING = re.compile(
    r"\b(prove|derive|design|architect|trade-?offs?|optimi[sz]e|root cause|strateg(y|ic)|evaluate whether|assess"
    r"|implications?|justify|reconcile|simulate|concurren(t|cy)|race condition|deadlock|distributed|complexity"
    r"|step by step|scenario|sensitivity|valuation|causal|counterfactual|negotiat|liabilit|indemnif|regulat)",
    re.IGNORECASE,
)
_EXPLAINING = re.compile(
    r"\b(why|explain|compare|summari[sz]e|rewrite|refactor|review|debug|draft|plan|analy[sz]e|recommend|diagnos"
    r"|translate|interpret|pros and cons|classif|prioriti[sz]e|forecast|estimate)",
    re.IGNORECASE,
)
_LISTED = re.compile(r"(^|\n)[ \t]*(\d+[.)]|[-*•])\s+\S")
_MATHS = re.compile(
    r"[∑∫√≤≥≠±∂λσμ]|\b(integral|derivative|matrix|theorem|probability|standard deviation|p-value|npv|irr)\b",
    re.IGNORECASE,
)
_CODE = re.compile(r"```|\b(def|class|return|SELECT|async|await|import)\b.*[:(;]")
_NUMBER = re.compile(r"\d[\d.,]*")
_CONSTRAINT = re.compile(
    r"\b(must|without|at least|at most|except|unless|only if|given that|assuming|while|but not)\b", re.IGNORECASE
)

_BY_TYPE: dict[str, float] = {
    QueryType.FAQ: -1.0,
    QueryType.EXTRACTION: -1.2,
    QueryType.SUPPORT: -0.1,
    QueryType.CODE: 0.3,
    QueryType.ANALYSIS: 0.5,
    QueryType.OTHER: -0.3,
}
_LOWEST_CUT = 1.6
_HIGHEST_CUT = 3.8
_STEEPNESS = 1.5


class FeaturesClassifier:
    """Scores by features of the text alone."""

    version = "features/1"

    def needs_more_than(self, request: Request, query_type: str, tiers: int) -> Sequence[float]:
        """Return, for each tier but the last, the probability that the request needs a higher one."""
        difficulty = self.difficulty(request, query_type)
        gaps = max(tiers - 2, 1)
        cuts = [_LOWEST_CUT + (_HIGHEST_CUT - _LOWEST_CUT) * i / gaps for i in range(tiers - 1)]
        return [1 / (1 + math.exp(-_STEEPNESS * (difficulty - cut))) for cut in cuts]

    def difficulty(self, request: Request, query_type: str) -> float:
        """Sum the features to a difficulty: about 0 for a plain question, 4 and more for frontier work."""
        question = _ends(request.question)
        instructions = question if request.response_schema is None else question[:400]
        words = len(instructions.split())
        score = _BY_TYPE.get(query_type, 0.0)
        score += 0.45 * math.log1p(words / 12)
        score += min(0.9 * len(set(_matches(_REASONING, instructions))), 2.7)
        score += min(0.5 * len(set(_matches(_EXPLAINING, instructions))), 1.5)
        score += min(0.25 * len(_LISTED.findall(instructions)), 1.0)
        score += min(0.25 * len(_matches(_CONSTRAINT, instructions)), 1.0)
        score += 0.6 if _MATHS.search(instructions) else 0.0
        score += 0.4 if _CODE.search(instructions) else 0.0
        if query_type == QueryType.ANALYSIS:
            score += min(0.06 * len(_NUMBER.findall(instructions)), 0.6)
        score += min(0.1 * max(len(request.messages) - 3, 0), 0.5)
        return score


def _ends(text: str) -> str:
    if len(text) <= _READ_CHARACTERS:
        return text
    half = _READ_CHARACTERS // 2
    return text[:half] + "\n" + text[-half:]


def _matches(pattern: re.Pattern[str], text: str) -> list[str]:
    return [match.group(0).lower() for match in pattern.finditer(text)]
