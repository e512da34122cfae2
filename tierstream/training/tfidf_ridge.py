"""The baseline that a learned classifier has to beat: ridge regression of the gain on tf-idf of words and pairs."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from tierstream.training.evaluation import Array, Ints
from tierstream.training.sparse_ridge import SparseRows

_WORD = re.compile(r"\b\w\w+\b")
_PENALTY: Final = 10.0
"""Of the squared weights; the best of 1, 3, 10 and 30 by cross-validation on RouteLLM's outcomes."""
_FEWEST_PROMPTS: Final = 2
"""In which a term has to occur to be known."""


@dataclass(frozen=True, slots=True)
class TermCounts:
    """How often each term occurs in each prompt: the entries of a sparse matrix, sorted by row.

    Attributes:
        row: (entries,) The prompt.
        term: (entries,) The term.
        count: (entries,)
        prompts: How many rows.
        terms: How many columns.
    """

    row: Ints
    term: Ints
    count: Array
    prompts: int
    terms: int


def count_terms(prompts: Sequence[str]) -> TermCounts:
    """Count the words of two letters and more, and the pairs of neighbours, in each prompt."""
    numbers: dict[str, int] = {}
    rows: list[Ints] = []
    terms: list[int] = []
    counts: list[int] = []
    for row, prompt in enumerate(prompts):
        words = _WORD.findall(prompt.lower())
        found = Counter(words)
        found.update(map(" ".join, pairwise(words)))
        rows.append(np.full(len(found), row))
        terms += [numbers.setdefault(term, len(numbers)) for term in found]
        counts += found.values()
    return TermCounts(
        np.concatenate([np.zeros(0, dtype=np.intp), *rows]),
        np.array(terms, dtype=np.intp),
        np.array(counts, dtype=np.float64),
        len(prompts),
        len(numbers),
    )


def tfidf_ridge_scores(counts: TermCounts, train: Ints, gain: Array, held: Ints) -> Array:
    """Predict the gain of some prompts from that of others.

    The vocabulary and its frequencies are those of the prompts that are trained on. Weights are 1 + log of the count,
    times the logarithm of the inverse document frequency, each row of unit length.

    Args:
        counts: Of all prompts.
        train: (trained,) Rows to train on.
        gain: (trained,) Their gain.
        held: (held,) Rows to predict.

    Returns:
        (held,) The predicted gain.
    """
    trained = np.zeros(counts.prompts, dtype=bool)
    trained[train] = True
    frequency = np.bincount(counts.term[trained[counts.row]], minlength=counts.terms)
    known = frequency[counts.term] >= _FEWEST_PROMPTS
    row, term = counts.row[known], counts.term[known]
    idf = np.log((1 + len(train)) / (1 + frequency[term])) + 1
    weight = (1 + np.log(counts.count[known])) * idf
    length = np.sqrt(np.bincount(row, weight**2, minlength=counts.prompts))
    weight /= length[row]

    target = np.zeros(counts.prompts)
    target[train] = gain
    rows = SparseRows(row, term, weight, counts.prompts, counts.terms)
    weights, intercept = rows.fit(trained, target, _PENALTY)
    return np.asarray(rows.times(weights)[held] + intercept)
