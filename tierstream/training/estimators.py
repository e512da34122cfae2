"""What scikit-learn fits, as the arrays that a model is served from; no other module imports scikit-learn or SciPy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_matrix, hstack
from scipy.special import log_softmax
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.utils.extmath import randomized_svd

from streams.routing.learned.forest import Floats, Forest
from streams.routing.learned.projection import Projection
from streams.routing.learned.word_weights import WordWeights
from tierstream.training.evaluation import Array, Ints

Sparse = Any
"""A matrix of SciPy's, which has no types."""

_BINS: Final = 64
"""Quantile bins of each feature; a cut lies between two."""
_MOST_WORDS: Final = 20_000
"""That a projection knows."""
_WORD_DOCUMENTS: Final = 3
"""Fewest documents that each of them occurs in."""
_BASELINE_DOCUMENTS: Final = 2
"""The same for a term of the baseline."""
_PENALTY: Final = 10.0
"""Of the squared weights; of 1, 3, 10 and 30 the best for the baseline by cross-validation on RouteLLM's outcomes."""


_SOFTMAX_STEPS: Final = 200
"""Most steps of a fit."""
_NEVER: Final = 20.0
"""Minus the intercept of a class that does not occur."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How the forest grows; the defaults were chosen by cross-validation on questions and on subjects.

    Attributes:
        trees: How many.
        depth: Most splits from root to leaf.
        candidates: Random splits tried at each node.
        leaf: Fewest rows on each side of a split.
        shrink: Pseudo-rows of the parent's value in each node's.
    """

    trees: int = 100
    depth: int = 10
    candidates: int = 12
    leaf: int = 4
    shrink: float = 20.0


def fit_projection(documents: Sequence[Sequence[str]], dimensions: int, seed: int) -> tuple[Projection, Sparse]:
    """Find the directions in which the documents differ most: a truncated singular value decomposition of the tf-idf.

    Args:
        documents: The tokens of each.
        dimensions: Of the projection; fewer where the vocabulary is smaller.
        seed: Of the random start.

    Returns:
        The projection, and the tf-idf of the documents: (documents, vocabulary).
    """
    vectorizer, matrix = _fit_tf_idf(documents, _WORD_DOCUMENTS, _MOST_WORDS)
    _, _, directions = randomized_svd(matrix, dimensions, n_iter=4, random_state=seed)
    # As coarse as the file keeps it, so that the forest is fitted to what it will see.
    basis = directions.T.astype(np.float16).astype(np.float32)
    rows = {word: row for row, word in enumerate(vectorizer.get_feature_names_out().tolist())}
    return Projection(rows, vectorizer.idf_.astype(np.float32), basis), matrix


def fit_word_weights(tf_idf: Sparse, target: Array) -> WordWeights:
    """Fit a target by ridge regression on the words.

    Args:
        tf_idf: (texts, vocabulary)
        target: (texts,)
    """
    fitted = _ridge().fit(tf_idf, target)
    return WordWeights(fitted.coef_.astype(np.float32), float(fitted.intercept_))


def fit_forest(rows: Floats, targets: Array, growth: Growth, seed: int) -> Forest:
    """Grow extremely randomised trees that predict the first target.

    Splits explain all targets together: single outcomes are noisy, and a second target steadies the choice.

    Args:
        rows: (outcomes, features)
        targets: (outcomes, targets) The gain first.
        growth: How it grows.
        seed: Of the random splits.
    """
    # Trees that share their cuts have few tests, which is what makes a score fast: each is asked once for all trees.
    quantiles = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = [np.unique(np.quantile(column, quantiles).astype(np.float32)) for column in rows.T]
    binned = [np.searchsorted(edge, column) for edge, column in zip(edges, rows.T, strict=True)]
    fitted = ExtraTreesRegressor(
        growth.trees,
        max_depth=growth.depth,
        max_features=growth.candidates,
        min_samples_leaf=growth.leaf,
        random_state=seed,
    ).fit(np.stack(binned, axis=1), targets)
    return _forest_of([estimator.tree_ for estimator in fitted.estimators_], edges, growth)


def sparse_rows(columns: Sequence[Ints], values: Sequence[Array], width: int, dense: Array) -> Sparse:
    """Make a sparse matrix of rows that name their columns; one that is named twice counts twice.

    Args:
        columns: Of each row.
        values: Of each row, for its columns.
        width: How many columns there are.
        dense: (rows, more) Columns to put behind them.
    """
    ends = np.cumsum([0, *map(len, columns)])
    matrix = csr_matrix((np.concatenate(values), np.concatenate(columns), ends), shape=(len(columns), width))
    matrix.sum_duplicates()
    return hstack([matrix, csr_matrix(dense)]).tocsr()


def fit_softmax(rows: Sparse, labels: Ints, weight: Array, start: Array, c: float) -> tuple[Array, Array]:
    """Fit a multinomial logistic regression.

    Args:
        rows: (rows, columns)
        labels: (rows,) From 0 on; a class that does not occur gets no weights.
        weight: (rows,) What each counts.
        start: (classes, columns) The weights to begin with.
        c: Inverse of the penalty.

    Returns:
        The weights (classes, columns) and the intercepts (classes,).
    """
    weights, intercept = np.zeros_like(start), np.full(len(start), -_NEVER)
    present = np.unique(labels)
    if len(present) == 1:
        intercept[present] = 0.0
        return weights, intercept
    fitted = LogisticRegression(C=c, max_iter=_SOFTMAX_STEPS, tol=1e-3, warm_start=True)
    if len(present) == len(start) > 2:  # noqa: PLR2004 - of two classes there is one row of weights
        fitted.coef_, fitted.intercept_ = start.copy(), np.zeros(len(start))
    fitted.fit(rows, labels, sample_weight=weight)
    if len(fitted.classes_) == 2:  # noqa: PLR2004 - one row of weights stands for both
        weights[fitted.classes_] = np.concatenate((-fitted.coef_, fitted.coef_)) / 2
        intercept[fitted.classes_] = np.concatenate((-fitted.intercept_, fitted.intercept_)) / 2
    else:
        weights[fitted.classes_], intercept[fitted.classes_] = fitted.coef_, fitted.intercept_
    return weights, intercept


def fit_logistic(rows: Sparse, labels: Ints, weight: Array, c: float) -> tuple[Array, float]:
    """Fit a logistic regression of two classes, by a solver that many sparse columns don't slow down.

    Args:
        rows: (rows, columns)
        labels: (rows,) 0 or 1; both occur.
        weight: (rows,) What each counts.
        c: Inverse of the penalty.

    Returns:
        The weights (columns,) and the intercept.
    """
    fitted = LogisticRegression(C=c, solver="liblinear", intercept_scaling=10, tol=1e-3, random_state=0)
    fitted.fit(rows, labels, sample_weight=weight)
    return fitted.coef_[0], float(fitted.intercept_[0])


def softmax_temperature(scores: Array, labels: Array) -> float:
    """Return the factor that makes scores the best log probabilities of the labels' shares: both (rows, classes)."""

    def loss(factor: float) -> float:
        return -float((log_softmax(scores * factor, axis=1) * labels).sum(axis=1).mean())

    return float(minimize_scalar(loss, bounds=(0.1, 3.0), method="bounded").x)


def baseline_scores(prompts: Sequence[str], gain: Array, held: Sequence[str]) -> Array:
    """Predict the gain by what a learned classifier has to beat: a ridge regression on tf-idf of words and pairs.

    Args:
        prompts: To fit to; vocabulary and frequencies are theirs.
        gain: (prompts,) Of each.
        held: To predict.

    Returns:
        (held,) The predicted gain.
    """
    terms_of = CountVectorizer(ngram_range=(1, 2)).build_analyzer()
    vectorizer, matrix = _fit_tf_idf([terms_of(prompt) for prompt in prompts], _BASELINE_DOCUMENTS)
    found = _ridge().fit(matrix, gain).predict(vectorizer.transform([terms_of(prompt) for prompt in held]))
    return np.asarray(found, dtype=np.float64)


def _fit_tf_idf(
    documents: Sequence[Sequence[str]], fewest: int, most: int | None = None
) -> tuple[TfidfVectorizer, Sparse]:
    """Learn the terms that occur in the most documents, and in so many at least."""
    frequency = Counter(chain.from_iterable(map(set, documents)))
    # Without a known word it has to know some word, for an empty vocabulary is an error; a token is never empty.
    known = [term for term in frequency if frequency[term] >= fewest] or sorted(frequency)[:1] or [""]
    chosen = sorted(known, key=lambda term: (-frequency[term], term))[:most]
    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=sorted(chosen), sublinear_tf=True)
    return vectorizer, vectorizer.fit_transform(documents)


def _ridge() -> Ridge:
    return Ridge(_PENALTY, solver="sparse_cg", tol=1e-6)


def _forest_of(trees: Sequence[Any], edges: Sequence[Floats], growth: Growth) -> Forest:
    """Join scikit-learn's trees, whose cuts are between bins that end at the edges."""
    sizes = np.array([tree.node_count for tree in trees])
    roots = np.cumsum(sizes) - sizes
    nodes = int(sizes.sum())
    left, parent = np.arange(nodes), np.arange(nodes)
    cut = np.full(nodes, -1)
    mean, count = np.empty(nodes), np.empty(nodes)
    for tree, root in zip(trees, roots, strict=True):
        inner = np.flatnonzero(tree.children_left >= 0)
        # The children of an inner node lie next to each other, behind the root.
        at = np.full(tree.node_count, root)
        at[tree.children_left[inner]] = first = root + 1 + 2 * np.arange(len(inner))
        at[tree.children_right[inner]] = first + 1
        left[at[inner]] = first
        parent[first] = parent[first + 1] = at[inner]
        cut[at[inner]] = tree.feature[inner] * _BINS + np.floor(tree.threshold[inner]).astype(np.intp)
        mean[at], count[at] = tree.value[:, 0, 0], tree.n_node_samples
    value = mean
    for _ in range(growth.depth):
        # A level deeper each time; a root is its own parent, which leaves its mean as it is.
        value = (count * mean + growth.shrink * value[parent]) / (count + growth.shrink)
    # A leaf asks test 0, which never passes.
    cuts, number = np.unique(cut[cut >= 0], return_inverse=True)
    tests = np.zeros(nodes, dtype=np.intp)
    tests[cut >= 0] = number + 1
    thresholds = [np.inf, *(edges[feature][edge] for feature, edge in zip(*divmod(cuts, _BINS), strict=True))]
    return Forest(
        depth=growth.depth,
        shrink=growth.shrink,
        roots=roots,
        test_feature=np.concatenate([[0], cuts // _BINS]),
        test_threshold=np.array(thresholds, dtype=np.float32),
        tests=tests,
        left=left,
        value=value.astype(np.float32),
        count=count.astype(np.float32),
    )
