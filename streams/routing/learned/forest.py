"""A forest of trees in flat arrays: all trees are walked at once, a level at a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees that hold a mean in each leaf.

    Node i asks test `tests[i]`; a row that passes goes to node `left[i] + 1`, any other to `left[i]`. Test t passes
    where feature `test_feature[t]` exceeds `test_threshold[t]`. A leaf asks test 0, which never passes, and points at
    itself, so that a walk of `depth` steps ends on it.

    Attributes:
        depth: Most steps from a root to a leaf.
        shrink: Pseudo-rows of the parent's value in each node's.
        roots: (trees,)
        test_feature: (tests,)
        test_threshold: (tests,)
        tests: (nodes,)
        left: (nodes,)
        value: (nodes,) The mean of the target, shrunken.
        count: (nodes,) The rows behind it.
    """

    depth: int
    shrink: float
    roots: Ints
    test_feature: Ints
    test_threshold: Floats
    tests: Ints
    left: Ints
    value: Floats
    count: Floats

    def predict(self, row: Floats) -> float:
        """Return the mean of the trees for one row of features."""
        # As wide as a node number: adding narrower ones would convert them at each step.
        passed = (row.take(self.test_feature) > self.test_threshold).astype(np.intp).take
        tests, left, node = self.tests.take, self.left.take, self.roots
        for _ in range(self.depth):
            node = left(node) + passed(tests(node))
        return float(np.add.reduce(self.value.take(node))) / len(self.roots)
