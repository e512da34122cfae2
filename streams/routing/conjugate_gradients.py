"""The solver of ridge regressions on sparse matrices, of which only products are needed."""

from collections.abc import Callable
from typing import Final

from streams.routing.evaluation import Array

_MOST_STEPS: Final = 200
_EXACT: Final = 1e-6
"""It stops where the residual is this small a part of what it started from."""


def solve(matrix: Callable[[Array], Array], wanted: Array) -> Array:
    """Solve matrix(x) = wanted for a symmetric positive definite matrix (Hestenes and Stiefel 1952)."""
    x, residual = wanted * 0.0, wanted
    direction, size = residual, float(residual @ residual)
    goal = _EXACT**2 * size
    for _ in range(_MOST_STEPS):
        if size <= goal:
            break
        image = matrix(direction)
        step = size / float(direction @ image)
        x = x + step * direction
        residual = residual - step * image
        before, size = size, float(residual @ residual)
        direction = residual + size / before * direction
    return x
