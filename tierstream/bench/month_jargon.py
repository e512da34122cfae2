"""A company's own words, which a classifier trained elsewhere is systematically wrong about.

Questions of the warehouse look as simple as any and need the second tier. Questions of the settlement desk sound as
hard as any and are looked up: the first tier answers them right.
"""

import random
from typing import Any, Final

from tierstream.demo.corpus import CorpusEntry

_LOOKS_EASY: Final = (
    "Is lot {n} grex-clear?",
    "Which tarn code goes with lot {n}?",
    "What is the fennel mark of lot {n}?",
    "May lot {n} ship under a brindle tag?",
    "Does lot {n} want a corvid slip?",
    "Which bay takes the tarn-marked part of lot {n}?",
    "How many brindle tags does lot {n} get?",
    "Is the corvid slip of lot {n} still good?",
    "Grex state of lot {n}, please.",
    "Fennel or brindle for lot {n}?",
    "When is lot {n} tarn-free?",
    "Who clears the grex of lot {n}?",
)
_LOOKS_HARD: Final = (
    "Derive the full settlement variance decomposition of strand {n} and justify the residual step by step.",
    "Design the reconciliation architecture for strand {n}, with failure modes, trade-offs and a rollout plan.",
    "Prove that strand {n} is balanced under the cascade rule and discuss the edge cases.",
    "Analyse the root causes of the drift in strand {n} and weigh three strategies against each other.",
    "Evaluate the cascade settlement of strand {n} against last quarter and say which hypothesis it supports.",
    "Compare the variance models for strand {n}, quantify their trade-offs and recommend a strategy for the board.",
    "Work out the residual of strand {n}, prove the bound of the cascade rule and criticise its assumptions.",
    "Synthesise the reconciliation history of strand {n} into an argument for or against a new cascade architecture.",
)
_CODES: Final = 97
_OFF: Final = 31
_CAPPED_SHARE: Final = 0.3
"""Of the questions that sound hard: they come from a service that lets only the first tier answer."""


def looks_easy(draw: random.Random, number: int) -> CorpusEntry:
    """Return a question that looks simple and needs the second tier; the first says something plausible instead."""
    entry = {
        "pattern": "faq",
        "feature": "warehouse",
        "label": 2,
        "answer": f"Lot {number}: T{number % _CODES:02d}.",
        "wrong": f"Lot {number}: T{(number + _OFF) % _CODES:02d}.",
        "failure": "wrong",
    }
    return _entry(entry, draw.choice(_LOOKS_EASY), number)


def looks_hard(draw: random.Random, number: int) -> tuple[CorpusEntry, dict[str, Any]]:
    """Return a question that sounds hard and that every tier answers right, and further fields of its request."""
    entry = {
        "pattern": "analysis",
        "feature": "settlement",
        "label": 1,
        "answer": f"Strand {number}: booked under S{number % _CODES:02d}, no residual.",
    }
    capped = {"max_tier": 1} if draw.random() < _CAPPED_SHARE else {}
    return _entry(entry, draw.choice(_LOOKS_HARD), number), capped


def _entry(fields: dict[str, Any], template: str, number: int) -> CorpusEntry:
    context = {
        "user_role": "clerk",
        "error_tolerance": "normal",
        "business_impact": "normal",
        "self_validating": False,
        "data_class": "internal",
    }
    more = {
        "id": "jargon-001",
        "user_id": "clerk",
        "messages": [{"role": "user", "content": template.format(n=number)}],
        "context": context,
        "weight": 1.0,
    }
    return CorpusEntry.model_validate({**fields, **more})
