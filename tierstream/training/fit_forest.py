"""Grows the forest: extremely randomised trees (Geurts, Ernst and Wehenkel 2006, doi:10.1007/s10994-006-6226-1).

Splits explain the gain and the weaker model's success together: single outcomes are noisy, and the second target
steadies the choice. All nodes of a level grow at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.routing.learned.forest import Floats, Forest, Ints

Matrix = NDArray[np.float64]
_Bins = NDArray[np.uint8]

_BINS: Final = 64
"""Quantile bins of each feature; a cut lies between two."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How the forest grows; the defaults were chosen by cross-validation on questions and on subjects.

    Attributes:
        trees: How many.
        depth: Most splits from root to leaf.
        candidates: Random splits tried at each node.
        leaf: Fewest rows on each side of a split.
        shrink: Pseudo-rows of the parent's value in each node's.
        weak_weight: Weight of the weaker model's success in the choice of splits; the gain has 1.
    """

    trees: int = 100
    depth: int = 10
    candidates: int = 12
    leaf: int = 4
    shrink: float = 20.0
    weak_weight: float = 1.0


@dataclass(slots=True)
class _Tree:
    """Nodes in the order in which they were made; a leaf has feature -1 and points at itself."""

    feature: Ints
    cut: Ints
    left: Ints
    value: Matrix
    count: Matrix

    @classmethod
    def of_root(cls, targets: Matrix) -> "_Tree":
        leaf, cut, itself = (np.array([value], dtype=np.intp) for value in (-1, 0, 0))
        return cls(leaf, cut, itself, targets.mean(axis=0, keepdims=True), np.array([float(len(targets))]))

    def extend(self, value: Matrix, count: Matrix) -> None:
        """Append leaves."""
        size, more = len(self.feature), len(count)
        self.feature = np.concatenate([self.feature, np.full(more, -1)])
        self.cut = np.concatenate([self.cut, np.zeros(more, dtype=np.intp)])
        self.left = np.concatenate([self.left, np.arange(size, size + more)])
        self.value = np.concatenate([self.value, value])
        self.count = np.concatenate([self.count, count])


@dataclass(frozen=True, slots=True)
class _Splits:
    """The candidates of a level's nodes.

    Attributes:
        best: (nodes,) The one to take; -1: none.
        n_left: (nodes, candidates) Rows that go left.
        sum_left: (nodes, candidates, targets) Their sums.
        total: (nodes, targets) Sums of all rows.
    """

    best: Ints
    n_left: Matrix
    sum_left: Matrix
    total: Matrix


def fit_forest(
    rows: Floats,
    targets: Matrix,
    growth: Growth,
    seed: int,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Forest:
    """Grow a forest that predicts the first target.

    Args:
        rows: (outcomes, features)
        targets: (outcomes, 2) The gain, and the weaker model's success.
        growth: How it grows.
        seed: Of the random splits.
        on_progress: Called with the share that is done.
    """
    quantiles = np.linspace(0, 1, _BINS + 1)[1:-1]
    edges = [np.unique(np.quantile(column, quantiles)).astype(np.float32) for column in rows.T]
    binned = np.stack(
        [np.searchsorted(edge, column) for edge, column in zip(edges, rows.T, strict=True)], axis=1
    ).astype(np.uint8)
    generator = np.random.default_rng(seed)
    trees = []
    for number in range(growth.trees):
        trees.append(_grow(binned, targets, generator, growth))
        on_progress((number + 1) / growth.trees)
    return _flatten(trees, edges, growth)


def _flatten(trees: Sequence[_Tree], edges: Sequence[Floats], growth: Growth) -> Forest:
    sizes = np.array([len(tree.feature) for tree in trees])
    roots = np.cumsum(sizes) - sizes
    feature = np.concatenate([tree.feature for tree in trees])
    cut = np.concatenate([tree.cut for tree in trees])
    inner = feature >= 0
    # One numbered test for each pair of feature and cut: there are far fewer of them than nodes.
    pairs, number = np.unique(feature[inner] * _BINS + cut[inner], return_inverse=True)
    tests = np.zeros(len(feature), dtype=np.intp)
    tests[inner] = number + 1
    thresholds = [np.inf, *(edges[pair // _BINS][pair % _BINS] for pair in pairs.tolist())]
    return Forest(
        depth=growth.depth,
        shrink=growth.shrink,
        roots=roots,
        test_feature=np.concatenate([[0], pairs // _BINS]),
        test_threshold=np.array(thresholds, dtype=np.float32),
        tests=tests,
        left=np.concatenate([tree.left + root for tree, root in zip(trees, roots, strict=True)]),
        value=np.concatenate([tree.value[:, 0] for tree in trees]).astype(np.float32),
        count=np.concatenate([tree.count for tree in trees]).astype(np.float32),
    )


def _grow(binned: _Bins, targets: Matrix, generator: np.random.Generator, growth: Growth) -> _Tree:
    tree = _Tree.of_root(targets)
    rows, node, ids = np.arange(len(targets)), np.zeros(len(targets), dtype=np.intp), np.array([0])
    for _ in range(growth.depth):
        order = np.argsort(node, kind="stable")
        rows, node = rows[order], node[order]
        count = np.bincount(node, minlength=len(ids))
        start = np.cumsum(count) - count
        shape = (len(ids), growth.candidates)
        feature = generator.integers(0, binned.shape[1], shape)
        # A cut at a random row's own value, so that cuts fall where the node's rows are.
        pick = rows[start[:, None] + (generator.random(shape) * count[:, None]).astype(np.intp)]
        cut = binned[pick, feature].astype(np.intp)
        goes_left = binned[rows[:, None], feature[node]] <= cut[node]
        splits = _evaluate(goes_left, targets[rows], start, count, growth)
        split = np.flatnonzero(splits.best >= 0)
        if not len(split):
            break
        chosen = splits.best[split]
        base = len(tree.feature)
        _split(tree, ids[split], feature[split, chosen], cut[split, chosen])
        _add_children(tree, ids[split], split, splits, count, growth.shrink)
        child = np.full(len(ids), -1)
        child[split] = 2 * np.arange(len(split))
        side = ~goes_left[np.arange(len(node)), splits.best[node]]
        kept = splits.best[node] >= 0
        rows, node = rows[kept], (child[node] + side)[kept]
        ids = base + np.arange(2 * len(split))
    return tree


def _split(tree: _Tree, parents: Ints, feature: Ints, cut: Ints) -> None:
    """Turn leaves into inner nodes whose children are appended next."""
    tree.feature[parents], tree.cut[parents] = feature, cut
    tree.left[parents] = len(tree.feature) + 2 * np.arange(len(parents))


def _add_children(tree: _Tree, parents: Ints, split: Ints, splits: _Splits, count: Ints, shrink: float) -> None:
    chosen = splits.best[split]
    n_left, sum_left = splits.n_left[split, chosen], splits.sum_left[split, chosen]
    n = np.stack([n_left, count[split] - n_left], axis=1)
    sums = np.stack([sum_left, splits.total[split] - sum_left], axis=1)
    prior = tree.value[parents][:, None, :]
    value = (sums + shrink * prior) / (n[..., None] + shrink)
    tree.extend(value.reshape(-1, value.shape[2]), n.ravel())


def _evaluate(goes_left: NDArray[np.bool_], targets: Matrix, start: Ints, count: Ints, growth: Growth) -> _Splits:
    """Choose the candidate of each node that explains most of the targets' variance."""
    n = count[:, None]
    n_left = np.add.reduceat(goes_left, start, axis=0, dtype=np.float64)
    sum_left = np.stack([np.add.reduceat(goes_left * t[:, None], start, axis=0) for t in targets.T], axis=2)
    total = np.add.reduceat(targets, start, axis=0)
    allowed = (n_left >= growth.leaf) & (n - n_left >= growth.leaf)
    a, b = np.maximum(n_left, 1)[..., None], np.maximum(n - n_left, 1)[..., None]
    explained = sum_left**2 / a + (total[:, None] - sum_left) ** 2 / b - (total**2 / n)[:, None]
    score = np.where(allowed, explained @ np.array([1.0, growth.weak_weight]), -np.inf)
    return _Splits(np.where(allowed.any(axis=1), score.argmax(axis=1), -1), n_left, sum_left, total)
