"""The words' part of the learned classifier."""

import numpy as np
import pytest

from tierstream.training.word_rows import WordRows


def test_the_weights_solve_the_ridge_regression():
    rng = np.random.default_rng(0)
    dense = np.where(rng.random((60, 12)) < 0.3, rng.random((60, 12)), 0).astype(np.float32)
    texts = [(np.flatnonzero(row), row[row > 0]) for row in dense]
    target, chosen = dense[:, 3] + rng.normal(size=60) * 0.1, np.arange(60) < 45
    words = WordRows(texts, 12)
    found = words.fit(chosen, target)
    rows = dense[chosen].astype(np.float64)
    x = rows - rows.mean(axis=0)
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(12), x.T @ (target[chosen] - target[chosen].mean()))
    assert found.weight == pytest.approx(weights, abs=1e-5)
    assert found.intercept == pytest.approx(target[chosen].mean() - rows.mean(axis=0) @ weights, abs=1e-5)
    one_by_one = [found.predict(*text) for text in texts]
    assert words.times(found.weight) + found.intercept == pytest.approx(one_by_one, abs=1e-5)
    # What was left out teaches nothing.
    assert words.fit(chosen, np.where(chosen, target, 9)).weight == pytest.approx(found.weight, abs=1e-6)


def test_texts_without_a_known_word():
    nothing = np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.float32)
    found = WordRows([nothing, nothing], 1).fit(np.ones(2, dtype=bool), np.array([0.0, 1.0]))
    assert found.predict(*nothing) == pytest.approx(0.5)
