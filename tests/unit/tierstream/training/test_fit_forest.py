"""Growing a forest: what a tree was grown with is what it finds again when it predicts."""

import numpy as np
import pytest

from tierstream.training.fit_forest import Growth, fit_forest


@pytest.mark.parametrize("seed", range(3))
def test_every_row_ends_on_the_leaf_that_it_was_counted_in(seed):
    rng = np.random.default_rng(seed)
    # Columns of many values, of few and of two: cuts at the upper end of each.
    columns = [rng.normal(size=500), rng.integers(0, 4, 500), rng.random(500) < 0.1, rng.random(500) < 0.9]
    rows = np.stack(columns, axis=1).astype(np.float32)
    gain = rows[:, 0] + rows[:, 2]
    forest = fit_forest(rows, np.stack([gain, -gain], axis=1), Growth(trees=30, depth=4, shrink=0.0), seed)
    for root, end in zip(forest.roots, [*forest.roots[1:], len(forest.left)], strict=True):
        node = np.full(len(rows), root)
        for _ in range(forest.depth):
            test = forest.tests[node]
            passed = rows[np.arange(len(rows)), forest.test_feature[test]] > forest.test_threshold[test]
            node = forest.left[node] + passed
        found = np.bincount(node, minlength=len(forest.left))[root:end]
        leaves = forest.tests[root:end] == 0
        assert found[leaves].tolist() == forest.count[root:end][leaves].tolist()
        sums = np.bincount(node, gain, minlength=len(forest.left))[root:end]
        assert forest.value[root:end][leaves] * found[leaves] == pytest.approx(sums[leaves], abs=1e-3)
