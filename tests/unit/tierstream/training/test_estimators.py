"""What scikit-learn fits, in the arrays of a model: each part against its definition."""

from itertools import pairwise

import numpy as np
import pytest

from tierstream.training.estimators import Growth, baseline_scores, fit_forest, fit_projection, fit_word_weights


@pytest.mark.parametrize("shrink", [0.0, 20.0])
@pytest.mark.parametrize("seed", range(3))
def test_every_node_holds_the_shrunken_mean_of_the_rows_that_reach_it(seed, shrink):
    rng = np.random.default_rng(seed)
    # Columns of many values, of few and of two: cuts at the upper end of each.
    columns = [rng.normal(size=500), rng.integers(0, 4, 500), rng.random(500) < 0.1, rng.random(500) < 0.9]
    rows = np.stack(columns, axis=1).astype(np.float32)
    gain = rows[:, 0] + rows[:, 2]
    growth = Growth(trees=30, depth=4, shrink=shrink)
    forest = fit_forest(rows, np.stack([gain, -gain], axis=1), growth, seed)
    total = np.zeros(len(rows))
    for root in forest.roots:
        node, expected = np.full(len(rows), root), np.full(len(rows), gain.mean())
        assert forest.value[root] == pytest.approx(gain.mean())
        for _ in range(growth.depth):
            test = forest.tests[node]
            child = forest.left[node] + (rows[np.arange(500), forest.test_feature[test]] > forest.test_threshold[test])
            count, gains = (np.bincount(child, weights)[child] for weights in (None, gain))
            # A leaf points at itself.
            expected = np.where(child == node, expected, (gains + shrink * expected) / (count + shrink))
            assert forest.value[child] == pytest.approx(expected, abs=1e-5)
            assert forest.count[child].tolist() == count.tolist()
            assert count.min() >= growth.leaf
            node = child
        assert (node != root).all()
        assert (forest.tests[node] == 0).all()
        total += expected
    assert [forest.predict(row) for row in rows] == pytest.approx(total / growth.trees, abs=1e-5)


def test_trees_share_their_cuts():
    rows = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    forest = fit_forest(rows, rows[:, :2].astype(np.float64), Growth(), 0)
    assert (forest.tests > 0).sum() > len(forest.test_feature)
    # 64 bins of each feature have 63 ends; one test is that of the leaves.
    assert len(forest.test_feature) <= 1 + 3 * 63


def test_rows_that_are_all_alike_make_a_forest_of_roots():
    forest = fit_forest(np.ones((50, 2), dtype=np.float32), np.ones((50, 2)), Growth(trees=3), 0)
    assert (len(forest.left), forest.left.tolist()) == (3, [0, 1, 2])
    assert forest.predict(np.zeros(2, dtype=np.float32)) == pytest.approx(1)


def documents(count=120, seed=0):
    rng = np.random.default_rng(seed)
    words = [f"w{i:02}" for i in range(40)]
    return [[str(word) for word in rng.choice(words, 15)] for _ in range(count)]


def test_the_projection_has_the_directions_of_most_variance():
    texts = [*documents(), []]
    projection, matrix = fit_projection(texts, 5, 0)
    dense = matrix.toarray()
    assert [*projection.rows] == sorted(projection.rows)
    for text, row in zip(texts, dense, strict=True):
        words, tf_idf = projection.tf_idf(text)
        assert tf_idf == pytest.approx(row[words], abs=1e-6)
        assert np.count_nonzero(row) == len(words)
        assert projection.project(words, tf_idf) == pytest.approx(row @ projection.basis, abs=1e-5)
    assert projection.basis.T @ projection.basis == pytest.approx(np.eye(5), abs=2e-3)
    kept = np.linalg.norm(dense @ projection.basis, axis=0)
    assert kept == pytest.approx(np.linalg.svd(dense, compute_uv=False)[:5], rel=0.02)


def test_rare_words_are_not_known():
    texts = [*documents(), ["w00", "once"], ["w00", "twice"], ["twice", "twice"]]
    assert {"once", "twice"}.isdisjoint(fit_projection(texts, 2, 0)[0].rows)


@pytest.mark.parametrize("texts", [[[]] * 5, [["b"], ["a"], [], [], []]])
def test_without_a_known_word_there_is_a_projection_all_the_same(texts):
    projection, matrix = fit_projection(texts, 4, 0)
    assert len(projection.rows) == len(projection.idf) == len(projection.basis) == matrix.shape[1] == 1
    assert projection.project(*projection.tf_idf(["never", "seen"])).tolist() == [0.0] * projection.basis.shape[1]
    found = fit_word_weights(matrix, np.array([0.0, 0, 1, 1, 1]))
    assert found.predict(*projection.tf_idf(["never", "seen"])) == pytest.approx(0.6, abs=0.15)


def solved(rows, target):
    """Ridge regression with the penalty 10 by its normal equations: weights and intercept."""
    centre = rows.mean(axis=0)
    x = rows - centre
    weights = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ (target - target.mean()))
    return weights, target.mean() - centre @ weights


def test_the_word_weights_solve_the_ridge_regression():
    projection, matrix = fit_projection(documents(), 2, 0)
    target = matrix.toarray()[:, 3] * 4 + np.random.default_rng(1).normal(size=120) * 0.1
    found = fit_word_weights(matrix, target)
    weights, intercept = solved(matrix.toarray(), target)
    assert found.weight == pytest.approx(weights, abs=1e-5)
    assert found.intercept == pytest.approx(intercept, abs=1e-5)
    text = documents()[0]
    assert found.predict(*projection.tf_idf(text)) == pytest.approx(matrix.toarray()[0] @ weights + intercept, abs=1e-5)


def test_the_baseline_solves_the_ridge_regression():
    rng = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(30)])
    prompts = [" ".join(rng.choice(words, 12)) for _ in range(80)]
    gain = rng.normal(size=60) + [("w3" in prompt.split()) * 2 for prompt in prompts[:60]]
    found = baseline_scores(prompts[:60], gain, prompts[60:])
    # The same from its definition, with a dense matrix.
    bags = [[*(w := p.split()), *(f"{a} {b}" for a, b in pairwise(w))] for p in prompts]
    df = {term: sum(term in bag for bag in bags[:60]) for bag in bags for term in bag}
    terms = sorted(term for term in df if df[term] >= 2)
    counts = np.array([[bag.count(term) for term in terms] for bag in bags], dtype=float)
    rows = np.where(counts > 0, 1 + np.log(np.maximum(counts, 1)), 0) * [np.log(61 / (1 + df[t])) + 1 for t in terms]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    weights, intercept = solved(rows[:60], gain)
    assert found == pytest.approx(intercept + rows[60:] @ weights, abs=1e-5)


def test_the_baseline_reads_any_prompt():
    prompts = ["", "?", "日本語 日本語", "river stone", "river stone", "\ud800" + "x" * 100_000]
    found = baseline_scores(prompts[:5], np.array([0, 0, 0, 1, 1.0]), prompts)
    assert np.isfinite(found).all()
    assert found[3] > found[0] == found[5]
    assert baseline_scores(["?", "!"], np.array([0.0, 1.0]), ["!"]) == pytest.approx([0.5])
