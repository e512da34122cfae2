"""The learned classifier: features of any text, training, scores, observing, and model files."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.fixed_classifiers import Fixed
from support.in_memory import new_request

from streams.routing.learned import features
from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.learned.features import SURFACE_NAMES, features_digest, parse
from streams.routing.learned.router_classifier import LearnedRouterClassifier
from streams.routing.model_archive import ModelError
from tierstream.training import TrainingError
from tierstream.training.cross_validation import out_of_fold_scores
from tierstream.training.estimators import Growth
from tierstream.training.evaluation import Ranking
from tierstream.training.fit_model import TrainingOptions, train
from tierstream.training.folds import deal_groups

SMALL = TrainingOptions(growth=Growth(trees=20, depth=5), dimensions=4)
WORDS = ["river", "stone", "cloud", "paper", "green", "seven", "music", "winter", "table", "bread"]


def synthetic(count: int, seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Prompts of which the weaker model fails half of those with figures; nothing else matters."""
    rng = np.random.default_rng(seed)
    hard = rng.random(count) < 0.5
    prompts = [
        " ".join(rng.choice(WORDS, 12))
        + (f" {rng.integers(100, 999)} + {rng.integers(100, 999)} = ?" if is_hard else " why?")
        for is_hard in hard
    ]
    weak = np.where(hard, rng.random(count) < 0.3, rng.random(count) < 0.9).astype(float)
    return prompts, weak, (rng.random(count) < 0.9).astype(float)


@pytest.fixture(scope="module")
def model() -> LearnedClassifier:
    prompts, weak, strong = synthetic(400)
    return train(prompts, weak, strong, SMALL)


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400) | st.text(
    "\nABC.) 1Answer:notexcp", max_size=200
)


@given(text=ANY_TEXT)
def test_any_text_has_finite_features_and_always_the_same(text):
    parsed = parse(text)
    assert len(parsed.surface) == len(SURFACE_NAMES)
    assert np.isfinite(np.array(parsed.surface, dtype=np.float32)).all()
    assert parse(text) == parsed


def test_names_are_unique():
    assert len(set(SURFACE_NAMES)) == len(SURFACE_NAMES)


def test_what_the_features_see():
    text = "In 1999, which is NOT even?\nA. 2\nB. 3.5 cats\nC. none of these\nAnswer:"
    found = dict(zip(SURFACE_NAMES, parse(text).surface, strict=True))
    assert (found["options"], found["options_with_number"], found["options_numeric"]) == (3, 2, 2)
    assert (found["years"], found["log_numbers"]) == (1, pytest.approx(np.log1p(1)))
    assert (found["ends_question"], found["capital_negation"], found["negation_in_last"]) == (1, 1, 1)
    assert (found["stem_which"], found["option_negation"], found["stem_question"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "text",
    ["", " ", "\x00\x01\x7f", "\ud800\udc00 \udfff", "日本語の質問です。なぜ？", "a" * 100_000, "9" * 100_000,
     "1,2.3" * 20_000, "\nA. x" * 25_000, "\n" * 100_000, "? " * 50_000, "_" * 100_000, "😀" * 100_000, "İ" * 5_000],
    ids=range(14),
)  # fmt: skip
def test_extreme_texts_are_scored(model, text):
    assert 0 <= model.read(text).score <= 1
    assert model.score_many([text, "x"])[0] == pytest.approx(model.read(text).score, abs=1e-6)


def test_long_texts_are_sampled():
    parsed = parse("word " * 20_000)
    assert len(parsed.tokens) < 600
    assert parsed.surface[SURFACE_NAMES.index("log_characters")] == pytest.approx(np.log1p(100_000))


def test_it_learns_what_there_is_to_learn(model):
    prompts, weak, strong = synthetic(400, seed=9)
    found = Ranking(model.score_many(prompts), weak, strong).metrics()
    assert found.apgr > 0.65
    assert Ranking(model.score_many(prompts), 1 - weak, 1 - weak + weak * 0.5).metrics().apgr < 0.5


def test_scores_are_calibrated():
    found = train(*synthetic(400))
    prompts, weak, strong = synthetic(2000, seed=5)
    gain = 2 * np.array(found.score_many(prompts)) - 1
    hard = np.array(["=" in prompt for prompt in prompts])
    for part in (hard, ~hard):
        assert gain[part].mean() == pytest.approx((strong - weak)[part].mean(), abs=0.1)


def test_shuffled_labels_teach_nothing():
    prompts, weak, strong = synthetic(600)
    order = np.random.default_rng(3).permutation(600)
    folds = deal_groups(np.arange(600), 3, 0)
    shuffled = out_of_fold_scores(prompts, weak[order], strong[order], folds, SMALL)
    assert Ranking(shuffled, weak[order], strong[order]).metrics().apgr == pytest.approx(0.5, abs=0.08)
    swapped = out_of_fold_scores(prompts, strong, weak, folds, SMALL)
    assert Ranking(swapped, weak, strong).metrics().apgr < 0.4


def test_folds_below_zero_are_only_trained_on():
    prompts, weak, strong = synthetic(300)
    folds = np.where(np.arange(300) < 150, -1, np.arange(300) % 2)
    done = []
    scores = out_of_fold_scores(prompts, weak, strong, folds, SMALL, done.append)
    assert np.isnan(scores[:150]).all()
    assert np.isfinite(scores[150:]).all()
    assert done == sorted(done)
    assert done[-1] == 1


def test_training_is_deterministic(tmp_path, model):
    prompts, weak, strong = synthetic(400)
    again = train(prompts, weak, strong, SMALL)
    other = train(prompts, weak, strong, replace(SMALL, seed=1))
    assert again.version == model.version != other.version
    for name, trained in (("one", model), ("two", again)):
        trained.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_what_can_not_be_learned_from():
    prompts, weak, strong = synthetic(120)
    with pytest.raises(TrainingError, match="too few"):
        train(prompts[:99], weak[:99], strong[:99])
    with pytest.raises(TrainingError, match="nothing to learn"):
        train(prompts, weak, weak)


@pytest.mark.parametrize("prompt", ["", "\ud800", "same"])
def test_prompts_without_a_difference_give_the_mean(prompt):
    found = train([prompt] * 100, [0.0] * 50 + [1.0] * 50, [1.0] * 100, SMALL)
    assert found.read(prompt).score == pytest.approx(0.75, abs=0.02)


def test_a_saved_model_scores_alike(tmp_path, model):
    path = tmp_path / "m.npz"
    model.with_threshold(0.625).save(path)
    found = LearnedClassifier.load(path)
    prompts = synthetic(100, seed=2)[0]
    assert found.score_many(prompts) == model.score_many(prompts)
    assert (found.thresholds, model.thresholds) == ((0.625,), ())
    assert found.training.outcomes == 400
    assert found.trained_on(synthetic(400)[0]) == 400
    assert found.trained_on(["never seen"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def assert_refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        LearnedClassifier.load(path)
    line = str(caught.value)
    assert "\n" not in line
    for word in (str(path), *words):
        assert word in line


def rewrite(model, path: Path, **changes) -> Path:
    """Save the model with some arrays changed, or left out where the change is None."""
    model.save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, change in changes.items():
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name])
    with path.open("wb") as out:
        np.savez_compressed(out, **arrays)
    return path


def first(value):
    """Change an array's first entry."""

    def change(array):
        changed = array.copy()
        changed.flat[0] = value
        return changed

    return change


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"format": lambda _: np.int32(9)}, "format 9"),
        ({"features": lambda f: f[::-1]}, "other features"),
        ({"left": None}, "left"),
        ({"format": None}, "format"),
        ({"value": lambda v: v[:-1]}, "nodes"),
        ({"value": lambda v: v.astype(np.float64)}, "type or shape of value"),
        ({"value": first(np.nan)}, "value is not finite"),
        ({"idf": lambda v: v[:-1]}, "vocabulary"),
        ({"word_weights": lambda v: v[:-1]}, "vocabulary"),
        ({"word_weights": first(np.inf)}, "word_weights is not finite"),
        ({"left": first(1 << 30)}, "left out of range"),
        ({"left": first(-1)}, "left out of range"),
        ({"tests": first(60_000)}, "tests out of range"),
        ({"test_feature": first(30_000)}, "test_feature out of range"),
        ({"roots": first(1 << 30)}, "roots out of range"),
        ({"depth": lambda _: np.int32(10_000)}, "depth"),
        ({"test_threshold": first(0)}, "leaves"),
        ({"words": first(0xFF)}, "UTF-8"),
        ({"words": lambda w: w[:2]}, "words"),
        ({"calibration": lambda c: c[:1]}, "calibration"),
        ({"value": lambda v: np.array([{}] * len(v), dtype=object)}, "not a model file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_damaged_models_are_refused(tmp_path, model, changes, word):
    assert_refused(rewrite(model, tmp_path / "m.npz", **changes), word)


def test_files_that_are_no_models(tmp_path, model):
    path = tmp_path / "m.npz"
    for content in (b"", b"hello", b"PK\x03\x04" + b"\0" * 100):
        path.write_bytes(content)
        assert_refused(path, "not a model file")
    np.savez(path, a=np.zeros(3))
    assert_refused(tmp_path / "m.npz", "not a model file")
    with path.open("wb") as file:
        np.savez_compressed(file, format=np.zeros(1 << 27, dtype=np.uint8))
    assert_refused(path, "MiB")
    with pytest.raises(FileNotFoundError):
        LearnedClassifier.load(tmp_path / "nope.npz")


@settings(max_examples=examples(60))
@given(data=st.data())
def test_flipped_bytes_never_get_past_the_checks(tmp_path_factory, model, data):
    path = tmp_path_factory.mktemp("flip") / "m.npz"
    model.save(path)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = LearnedClassifier.load(path)
    except ModelError:
        return
    # The byte was one that no reader of archives looks at.
    assert found.read("river 123").score == model.read("river 123").score
    shutil.rmtree(path.parent)


def test_a_change_of_the_features_changes_their_digest(monkeypatch):
    before = features_digest()
    features_digest.cache_clear()
    monkeypatch.setattr(features, "_LONG_TOKEN", 3)
    after = features_digest()
    monkeypatch.undo()
    features_digest.cache_clear()
    assert before == features_digest() != after


@pytest.fixture(scope="module")
def shipped() -> LearnedClassifier:
    return LearnedClassifier.shipped()


def test_the_shipped_model(shipped):
    path = Path(features.__file__).with_name("model.npz")
    assert path.stat().st_size < 5_000_000
    for source in ("RouteLLM", "Apache-2.0", "MMLU", "GSM8K", "MIT"):
        assert source in shipped.training.attribution
        assert source in path.with_name("ATTRIBUTION.md").read_text()
    recall = "Which element has the symbol Fe?\nA. Iron\nB. Lead\nC. Tin\nD. Zinc\nAnswer:"
    steps = "A shop sells 12 pens for $3 each and 7 books for $9 each. Half of it is cost. What is left after 20 % tax?"
    assert shipped.read(steps).score > shipped.read(recall).score


EVEN = Fixed(0.5, 0.5, 0.5, 0.5, 0.5)


def in_router(learned: LearnedClassifier, requests: Fixed = EVEN, goes_up_from: float = 0.5) -> LearnedRouterClassifier:
    return LearnedRouterClassifier(learned, requests, goes_up_from)


def gaining(classifier: LearnedClassifier, more: float) -> LearnedClassifier:
    """The same, but that it expects so much more gain of every prompt than was usual in its training."""
    model = classifier._model
    return LearnedClassifier(replace(model, intercept=model.intercept + more))


def needs(classifier: LearnedRouterClassifier, text: str, tiers: int = 3, **fields: object) -> list[float]:
    return list(classifier.read(new_request(text, **fields), tiers).needs)


KNOWN = "river stone 123 + 456 = ?"
"""The model knows all its words."""
STEPS = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(lambda found: sorted(found, reverse=True))


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


@given(text=ANY_TEXT, steps=STEPS, tiers=st.integers(2, 6))
def test_in_the_router_it_moves_what_the_classifier_of_requests_says_within_bounds(model, text, steps, tiers):
    plain = Fixed(*steps, query_type="code")
    found = in_router(model, plain).read(new_request(text), tiers)
    assert found.query_type == "code"
    assert len(found.needs) == tiers - 1
    assert list(found.needs) == sorted(found.needs, reverse=True)
    assert found == in_router(model, plain).read(new_request(text), tiers)
    for one, other in zip(steps, found.needs, strict=False):
        assert 0 <= other <= 1
        if 0.01 < one < 0.99:
            # Half of what the classifier of requests says may be left, and six be added.
            assert abs(log_odds(other) - log_odds(one)) <= 6 + abs(log_odds(one)) / 2 + 1e-6


@pytest.mark.parametrize(
    ("text", "fields"),
    [(KNOWN, {"response_schema": {}}), (KNOWN, {"query_type": "extraction"}), (" \n", {})],
    ids=["schema", "extraction", "blank"],
)
def test_in_the_router_it_says_nothing_of_documents_and_of_nothing(model, text, fields):
    plain = Fixed(0.8, 0.3)
    assert needs(in_router(gaining(model, 1), plain), text, **fields) == [0.8, 0.3]


def test_a_guessed_kind_does_not_silence_it(model):
    extracting = Fixed(0.8, 0.3, query_type="extraction")
    assert needs(in_router(gaining(model, 1), extracting), KNOWN) != [0.8, 0.3]


def test_it_says_nothing_of_texts_whose_words_it_does_not_know(model):
    plain = Fixed(0.8, 0.3)
    for text in ("お店は何時に閉まりますか", "quand ouvrez vous", "river quand ouvrez vous"):
        assert model.read(text).known <= 0.5
        assert needs(in_router(gaining(model, 1), plain), text) == pytest.approx([0.8, 0.3])


def test_in_the_router_more_gain_needs_more(model):
    usual = gaining(model, model.training.mean_gain - (2 * model.read(KNOWN).score - 1))
    low, same, high = (needs(in_router(gaining(usual, more)), KNOWN) for more in (-0.02, 0, 0.02))
    assert same == pytest.approx([0.5, 0.5])
    assert low[0] < same[0] < high[0]


def test_it_has_the_main_say_among_texts_that_it_knows(model):
    """Its order is all but kept, however the classifier of requests errs."""

    class Contrary(Fixed):
        def read(self, request, tiers):
            return Fixed(0.2 if "=" in request.question else 0.8).read(request, tiers)

    prompts, weak, strong = synthetic(400, seed=9)
    routed = [needs(in_router(model, Contrary()), prompt)[0] for prompt in prompts]
    plain = [Contrary().read(new_request(prompt), 3).needs[0] for prompt in prompts]
    alone, together, without = (
        Ranking(found, weak, strong).metrics().apgr for found in (model.score_many(prompts), routed, plain)
    )
    assert together > alone - 0.02
    assert alone > 0.6
    assert without < 0.5


def test_the_version_names_both_classifiers(model):
    versions = [in_router(found).version for found in (model, gaining(model, 0.1))]
    assert versions[0] == f"outcomes/1:{model.version}+fixed/1"
    assert versions[0] != versions[1]


def test_a_calibrated_step_is_decided_by_the_score_alone(model):
    plain = Fixed(0.9, 0.6)
    score = model.read(KNOWN).score
    assert needs(in_router(model.with_threshold(score, 1, 3), plain), KNOWN) == pytest.approx([0.5, 0.5])
    # Whatever boundary the router has, the threshold is where requests begin to go up.
    cautious = in_router(model.with_threshold(score), plain, goes_up_from=0.75)
    assert needs(cautious, KNOWN, tiers=2) == pytest.approx([0.75])
    above = needs(in_router(gaining(model, -0.5).with_threshold(score - 0.3), plain), KNOWN)
    assert above[0] > 0.95
    # The step above is left to the classifier of requests, and to what the training outcomes are like.
    assert above[1] == needs(in_router(gaining(model, -0.5), plain), KNOWN)[1]
    below = needs(in_router(model.with_threshold(score + 0.05), plain), KNOWN)
    assert max(below) < 0.05


def test_thresholds_of_several_steps(model):
    both = model.with_threshold(0.7, 2, 3).with_threshold(0.6)
    assert both.thresholds == (0.6, 0.7)
    assert model.with_threshold(0.7, 3, 4).thresholds == (None, None, 0.7)
    assert both.with_threshold(0.5, 1, 3).thresholds == (0.5, 0.5)
    # However much easier it was made to go above tier 2, nothing goes there that would not go above tier 1.
    inverted = needs(in_router(model.with_threshold(0.95).with_threshold(0.51, 2, 3)), KNOWN)
    assert inverted[1] <= inverted[0]
