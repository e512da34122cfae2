"""The classifier of requests: what it sees of any request, its scores, what moved them, and its model files."""

import io
import itertools
import math
import subprocess
import sys
import zlib
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.in_memory import new_request
from support.record_strategies import requests

from streams.config.settings import load
from streams.routing import classifier_loading
from streams.routing.classifier import QueryType
from streams.routing.classifier_loading import UnusableModelError, published_model
from streams.routing.learned.classifier import LearnedClassifier
from streams.routing.model_archive import ModelError
from streams.routing.request_classifier import classifier as classifier_module
from streams.routing.request_classifier import features
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.request_classifier.features import BUCKETS, FORM, Seen, parts_of, see, shares, words_of
from streams.routing.request_classifier.model import LEVELS, OUTPUTS, TYPES, Model, save
from topics.messages import Message
from topics.requests import Request

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400) | st.text(
    "\nAb.) 1?{[`-\x00\ud800あ", max_size=200
)


def saying(text: str, *before: tuple[str, str], **more: object) -> Request:
    """A request of any text, also of one that no producer can send, after some turns."""
    turns = [Message.model_construct(role=role, content=said) for role, said in (*before, ("user", text))]
    return new_request("", **more).model_copy(update={"messages": tuple(turns)})


def made(seed: int = 1) -> Model:
    """A model of random weights."""
    rng = np.random.default_rng(seed)
    weights = np.zeros((BUCKETS, OUTPUTS), dtype=np.float32)
    weights[::7] = rng.normal(size=weights[::7].shape)
    cuts = np.sort(rng.random((len(FORM), 3)) * 4, axis=1).astype(np.float32)
    cuts[::2, -1] = np.inf
    return Model(
        weights=weights,
        cuts=cuts,
        form=rng.normal(size=(len(FORM), 4, OUTPUTS)).astype(np.float32) / 8,
        intercept=rng.normal(size=OUTPUTS).astype(np.float32),
        thresholds=np.full(LEVELS - 1, np.nan),
        trained_on=np.array([1, 2, 3], dtype=np.uint32),
        attribution="Ann, CC0",
    ).rounded()


@pytest.fixture(scope="module")
def model() -> Model:
    return made()


@pytest.fixture(scope="module")
def classifier(model) -> RequestClassifier:
    return RequestClassifier(model)


def form_of(request: Request) -> dict[str, float]:
    return dict(zip(FORM, see(request).form.tolist(), strict=True))


def same(one: Seen, other: Seen, *names: str) -> bool:
    names = names or tuple(field.name for field in fields(Seen))
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@given(text=ANY_TEXT, before=ANY_TEXT)
def test_any_text_is_seen_and_always_alike(classifier, text, before):
    request = saying(text, ("user", before), ("assistant", before))
    seen = see(request)
    assert same(seen, see(request))
    assert seen.form.shape == (len(FORM),)
    assert np.isfinite(seen.form).all()
    assert len(set(seen.words)) == len(seen.words)
    for buckets in (seen.pairs, seen.edges, seen.context):
        assert buckets.dtype == np.uint16
    assert np.isfinite(classifier.outputs(request)).all()


def test_names_of_the_form_are_unique():
    assert len(set(FORM)) == len(FORM)


def test_words():
    found = words_of("Größe_2: 1234567 Why?\n日本 ... naïve " + "x" * 30)
    assert found == ["größe", "_", "0", ":", "000000", "why", "?", "日", "本", ".", ".", ".", "naïve", "x" * 24]
    assert all(0 <= part < BUCKETS for part in parts_of("why"))
    # The word as such, and of ^why$ four parts of two characters, three of three, two of four and one of five.
    assert len(parts_of("why")) == 1 + 4 + 3 + 2 + 1


KINDS = ["a", "why explain ", "\n", "\n\t", "1.1.1.", "{[(", "💥\x00", "日本語", "\ud800", "İ", "_", "? ", "```\n- "]


@pytest.mark.parametrize("piece", KINDS, ids=ascii)
def test_of_a_long_text_only_the_ends_are_read(monkeypatch, classifier, piece):
    read: list[int] = []
    monkeypatch.setattr(features, "words_of", lambda text: read.append(len(text)) or words_of(text))
    long = (piece * (1 << 20))[: 1 << 20]
    other = f"{long[:1_200]}{'prove ' * 200_000}"[: (1 << 20) - 800] + long[-800:]
    seen = see(saying(long, ("user", long), ("assistant", long)))
    assert sum(read) <= 2_001 + 2 * 501 + 1
    assert len(seen.words) <= 2_001
    assert len(seen.pairs) <= 2_000
    assert same(seen, see(saying(other, ("user", long), ("assistant", long))))
    assert classifier.read(saying(long), 3) == classifier.read(saying(other), 3)


def test_of_a_long_conversation_only_the_last_turns_are_read(monkeypatch):
    read: list[int] = []
    monkeypatch.setattr(features, "words_of", lambda text: read.append(len(text)) or words_of(text))
    turns = [("user", f"Question {n} " * 200) for n in range(500)]
    seen = see(saying("And now?", *turns))
    assert sum(read) <= 2_000
    assert same(seen, see(saying("And now?", *[("user", "x" * len(turn[1])) for turn in turns[:-2]], *turns[-2:])))


@pytest.mark.parametrize("times", [3, 100, 10_000])
def test_a_repeated_word_counts_once(times):
    start = "Do you ship to Norway?  "
    twice, often = see(saying(start + "why " * 2)), see(saying(start + "why " * times))
    assert same(twice, often, "words", "pairs")
    assert shares(twice, 50)[0] == shares(often, 50)[0]
    assert len(often.edges) == len(twice.edges)


def test_the_form_has_the_conversation():
    alone = form_of(saying("And now?"))
    turns = [("system", "Be brief."), ("user", "Is it so?"), ("assistant", "No, it is not.")]
    later = form_of(saying("And now?", *turns))
    assert (alone["turns before"], alone["characters before"], alone["last answer"], alone["system prompt"]) == (0,) * 4
    assert later["turns before"] == pytest.approx(math.log1p(2))
    assert later["characters before"] == pytest.approx(math.log1p(len("Is it so?No, it is not.")))
    assert later["last answer"] == pytest.approx(math.log1p(len("No, it is not.")))
    assert later["system prompt"] == pytest.approx(math.log1p(len("Be brief.")))
    assert {name for name in FORM if alone[name] != later[name]} == {
        "turns before", "characters before", "last answer", "system prompt",
    }  # fmt: skip
    context = see(saying("And now?", *turns)).context
    assert len(context) == len({*words_of("Is it so? No, it is not.")})
    assert len(see(saying("And now?", turns[0])).context) == len(see(saying("And now?")).context) == 0


def test_the_form_has_the_schema():
    schemas = [None, {"type": "object"}, {"properties": {"a": {}, "b": {}, "c": {}}}, {"properties": ["a"]}]
    found = [form_of(saying("x", response_schema=schema))["schema fields"] for schema in schemas]
    assert found == pytest.approx([0, 1, 1 + math.log1p(3), 1])


def test_the_form_has_the_signs():
    found = form_of(saying("Is x < 3?\n- `A1`\n```\n{[(é\n¿No?"))
    assert found["lines"] == pytest.approx(math.log1p(5))
    assert found["count of '?'"] == pytest.approx(math.log1p(2))
    assert found["count of '\\n-'"] == pytest.approx(math.log1p(1))
    assert found["brackets"] == pytest.approx(math.log1p(2))
    assert (found["code block"], found["ends with a question mark"], found["begins in lower case"]) == (1, 1, 0)
    assert form_of(saying("and then"))["begins in lower case"] == 1


def test_a_change_of_what_is_read_changes_the_digest(monkeypatch):
    digest = features.features_digest.__wrapped__
    before = digest()
    for name, value in (("_EDGE", 3), ("_LONGEST_PART", 4), ("_LONGEST_NUMBER", 5), ("_HEAD", 900), ("_EDGE_SHARE", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(features, name, value)
            assert digest() != before
    assert digest() == before


@settings(max_examples=examples(100))
@given(requests, st.integers(2, 6))
def test_needs_are_ordered_probabilities(classifier, request_, tiers):
    for one in (classifier, RequestClassifier.shipped()):
        found = one.read(request_, tiers)
        assert len(found.needs) == tiers - 1
        assert all(0 <= low <= high <= 1 for high, low in itertools.pairwise([1, *found.needs]))
        assert found == RequestClassifier(one.model).read(request_, tiers)


def test_the_steps_of_a_deployment_lie_between_those_of_the_labels(classifier):
    request = new_request("Compare both, and say why?")
    needs = classifier.needs(request)
    assert classifier.read(request, 3).needs == pytest.approx(needs)
    more = [classifier.read(request, tiers).needs for tiers in (2, 3, 4, 5, 6)]
    for found in more[1:]:
        assert (found[0], found[-1]) == pytest.approx(needs)
    [middle] = more[0]
    assert needs[1] < middle < needs[0]


def test_scores_are_the_same_however_much_was_read_before(model, monkeypatch):
    texts = [f"{chr(97 + n % 26)}{n} " + " ".join(f"{word}{'x' * (n % 9)}" for word in WORDS) for n in range(40)]
    asked = [
        new_request(" ".join(f"w{chr(97 + n % 26)}{chr(97 + k)}" for k in range(26)) + text)
        for n, text in enumerate(texts)
    ]
    fresh = [RequestClassifier(model).outputs(one).tolist() for one in asked]
    monkeypatch.setattr(classifier_module, "_REMEMBERED_WORDS", 100)
    kept = RequestClassifier(model)
    for _ in range(2):
        assert [kept.outputs(one).tolist() for one in asked] == fresh
        assert len(kept._rows) <= 100
    assert [kept.read(one, 4) for one in asked] == [RequestClassifier(model).read(one, 4) for one in asked]


WORDS = ("river", "stone", "cloud", "paper", "green")


def reference(model: Model, request: Request) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The scores by definition, and what each word and feature of the form adds to them."""
    seen = see(request)
    parts = {word: parts_of(word) for word in seen.words}
    of_text, of_edges, of_context = shares(seen, sum(map(len, parts.values())))
    added = {word: model.weights[buckets].sum(axis=0) * of_text for word, buckets in parts.items()}
    for n, name in enumerate(FORM):
        added[name] = model.form[n, (model.cuts[n] < seen.form[n]).sum()]
    rest = model.weights[seen.pairs].sum(axis=0) * of_text
    rest = (
        rest + model.weights[seen.edges].sum(axis=0) * of_edges + model.weights[seen.context].sum(axis=0) * of_context
    )
    return model.intercept + rest + sum(added.values()), added


def log_odds_of_more(outputs: np.ndarray) -> list[float]:
    likely = np.exp(outputs[:LEVELS].astype(float))
    return [math.log(likely[level:].sum() / likely[:level].sum()) for level in range(1, LEVELS)]


@pytest.mark.parametrize("thresholds", [None, (0.2, 0.7)])
def test_evidence_is_what_the_scores_would_be_without_it(model, thresholds):
    classifier = RequestClassifier(model)
    if thresholds is not None:
        classifier = classifier.with_thresholds(thresholds)
    request = saying("Why 12 of 40?\nProve it, why?", ("user", "Is it so?"), ("assistant", "No."), response_schema={})
    outputs, added = reference(model, request)
    assert classifier.outputs(request) == pytest.approx(outputs, abs=1e-4)
    found = classifier.evidence(request, 3)
    assert [one.name for one in found] == [*see(request).words, *FORM]
    for one in found:
        without = log_odds_of_more(outputs - added[one.name])
        assert one.moved == pytest.approx(np.subtract(log_odds_of_more(outputs), without), abs=1e-3)


@pytest.mark.parametrize("goes_up_from", [0.25, 0.5, 0.85])
def test_a_request_just_at_a_calibrated_threshold_gets_what_the_router_goes_up_from(classifier, goes_up_from):
    request = new_request("Compare both, and say why?")
    first, second = classifier.needs(request)
    calibrated = classifier.with_thresholds((first, second)).model
    at = RequestClassifier(calibrated, goes_up_from)
    for tiers in (2, 3, 5):
        assert at.read(request, tiers).needs == pytest.approx([goes_up_from] * (tiers - 1))
    assert at.needs(request) == pytest.approx((first, second))
    below = RequestClassifier(replace(calibrated, thresholds=np.array([first * 1.1, np.nan])), goes_up_from)
    assert below.read(request, 3).needs[0] < goes_up_from
    above = RequestClassifier(replace(calibrated, thresholds=np.array([first * 0.9, np.nan])), goes_up_from)
    needs = above.read(request, 3).needs
    assert needs[0] > goes_up_from
    # The step above is not calibrated, but never more likely than the first.
    assert needs[1] == pytest.approx(min(second, needs[0]))


@pytest.mark.parametrize("thresholds", [(0, 0), (1, 1), (0, 1), (1, 0), (math.nan, 0), (1, math.nan)])
def test_thresholds_at_the_ends_keep_the_order(classifier, thresholds):
    extreme = classifier.with_thresholds(thresholds)
    for text in ("", "hi", "Compare both, and say why?"):
        for tiers in range(2, 7):
            needs = extreme.read(new_request(text), tiers).needs
            assert all(0 <= low <= high <= 1 for high, low in itertools.pairwise([1, *needs]))


def test_the_producers_query_type_wins(classifier):
    for one in (classifier, RequestClassifier.shipped()):
        request = new_request("Write a regex.")
        assert one.read(request, 3).query_type == one.query_type(request)
        labelled = request.model_copy(update={"query_type": "mine"})
        assert one.read(labelled, 3).query_type == "mine"
        assert one.query_type(labelled) == one.query_type(request)
        assert one.read(labelled, 3).needs == one.read(request, 3).needs


def test_types_are_those_of_rules_and_reports(classifier):
    assert (tuple(QueryType), LEVELS + len(QueryType)) == (TYPES, OUTPUTS)
    assert {classifier.query_type(new_request(word)) for word in "abcdefghijklmnopqrstuvwxyz"} <= set(QueryType)


def test_the_shipped_model():
    shipped = RequestClassifier.shipped()
    path = Path(features.__file__).with_name("model.npz")
    assert path.stat().st_size < 5_000_000
    assert shipped.examples > 1_000
    assert shipped.version.startswith("requests/1:")
    assert RequestClassifier.shipped(0.8).version == shipped.version


SERVING = """
import sys
import zlib
from streams.config.eligible_models import EligibleModels
from streams.config.settings import load
from tierstream.worker import new_router
from topics.requests import Request

settings = load(overrides={"routing": {"classifier": "learned"}})
request = Request.model_validate({"request_id": "a", "messages": [{"role": "user", "content": "What is a queue?"}]})
print(new_router(settings, EligibleModels(settings)).draft(request, request.digest(), 0).decision.classifier)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"numpy", "scipy", "sklearn", "joblib"}))
"""


def test_serving_needs_numpy_alone(tmp_path):
    done = subprocess.run([sys.executable, "-c", SERVING], cwd=tmp_path, capture_output=True, text=True, check=True)
    name, imported = done.stdout.splitlines()
    assert name == RequestClassifier.shipped().version
    assert imported == "['numpy']"


@pytest.fixture(scope="module")
def file(model, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("models") / "m.npz"
    save(model, path)
    assert [one.name for one in path.parent.iterdir()] == ["m.npz"]
    return path.read_bytes()


def assert_refused(content: bytes, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        RequestClassifier.loads(content, "m.npz")
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("m.npz: ")
    for word in words:
        assert word in line
    with pytest.raises(UnusableModelError) as published:
        published_model(content, "m.npz")
    assert "\n" not in str(published.value)


def test_a_saved_model_scores_alike(classifier, file, tmp_path):
    found = RequestClassifier.loads(file, "m.npz")
    assert found.version == classifier.version
    for text in ("", "hi", "Compare both, and say why?", "日本語" * 900):
        assert found.read(new_request(text), 4) == classifier.read(new_request(text), 4)
    assert np.isnan(found.model.thresholds).all()
    assert (found.model.attribution, found.examples) == ("Ann, CC0", 3)
    path = tmp_path / "again.npz"
    found.save(path)
    assert path.read_bytes() == file
    found.with_thresholds((0.25, math.nan)).save(path)
    calibrated = RequestClassifier.loads(path.read_bytes(), "m.npz")
    assert calibrated.model.thresholds.tolist() == pytest.approx([0.25, math.nan], nan_ok=True)
    assert calibrated.version != found.version


def test_what_was_trained_on_is_known_by_the_question(model):
    asked = [saying(text) for text in ("one", "two", "\ud800")]
    hashes = [zlib.crc32(one.question.encode("utf-8", "surrogatepass")) for one in asked[1:]]
    found = RequestClassifier(replace(model, trained_on=np.array(sorted(hashes), dtype=np.uint32)))
    assert [found.trained_on(asked), found.trained_on(asked[:1]), found.trained_on([])] == [2, 0, 0]


def rewritten(file: bytes, **changes) -> bytes:
    """The file with some arrays changed, or left out where the change is None."""
    with np.load(io.BytesIO(file)) as opened:
        arrays = {name: opened[name] for name in opened.files}
    for name, change in changes.items():
        if change is None:
            del arrays[name]
        else:
            arrays[name] = change(arrays[name])
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def first(value):
    """Change an array's first entry."""

    def change(array):
        changed = array.copy()
        changed.flat[0] = value
        return changed

    return change


def text_of(value: str):
    return lambda _: np.frombuffer(value.encode(), dtype=np.uint8)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kind": text_of("outcomes")}, "trained on outcomes, not on requests"),
        ({"kind": text_of("cats")}, "trained on cats, not on requests"),
        ({"kind": None}, "trained on outcomes, not on requests"),
        ({"format": lambda _: np.int32(9)}, "format 9"),
        ({"format": lambda _: np.zeros(2)}, "not a model file"),
        ({"format": None}, "format"),
        ({"features": lambda f: f[::-1]}, "other features"),
        ({"features": None}, "features"),
        ({"weights": None}, "weights"),
        ({"weights": lambda w: w[:-1]}, "buckets"),
        ({"weights": lambda w: w[:, :-1]}, "outputs"),
        ({"weights": lambda w: w.astype(np.int16)}, "type or shape of weights"),
        ({"weights": lambda w: w.ravel()}, "type or shape of weights"),
        ({"scale": first(np.nan)}, "scale is not finite"),
        ({"scale": lambda s: s[:-1]}, "outputs"),
        ({"intercept": first(np.inf)}, "intercept is not finite"),
        ({"bins": first(np.nan)}, "bins is not finite"),
        ({"bins": lambda b: b[:, :-1]}, "bins do not fit the cuts"),
        ({"bins": lambda b: b[:-1]}, "form"),
        ({"cuts": first(np.nan)}, "cuts do not rise"),
        ({"cuts": first(1e9)}, "cuts do not rise"),
        ({"thresholds": first(np.inf)}, "thresholds out of range"),
        ({"thresholds": first(-0.01)}, "thresholds out of range"),
        ({"thresholds": first(1.01)}, "thresholds out of range"),
        ({"thresholds": lambda t: t[:1]}, "steps"),
        ({"trained_on": lambda t: t.astype(np.int64)}, "trained_on"),
        ({"attribution": first(0xFF)}, "UTF-8"),
        ({"intercept": lambda v: np.array([{}] * len(v), dtype=object)}, "not a model file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_damaged_models_are_refused(file, changes, word):
    assert_refused(rewritten(file, **changes), word)


def test_files_that_are_no_models(file):
    for content in (b"", b"hello", b"PK\x03\x04" + b"\0" * 100, *(file[: len(file) * n // 10] for n in range(10))):
        assert_refused(content, "not a model file")
    out = io.BytesIO()
    np.savez_compressed(out, kind=np.zeros(1 << 27, dtype=np.uint8))
    assert_refused(out.getvalue(), "MiB")


@settings(max_examples=examples(60))
@given(data=st.data())
def test_flipped_bytes_never_get_past_the_checks(classifier, file, data):
    content = bytearray(file)
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found = RequestClassifier.loads(bytes(content), "m.npz")
    except ModelError:
        return
    # The byte was one that no reader of archives looks at.
    assert found.version == classifier.version


def test_published_models_of_both_kinds_are_told_apart(file, tmp_path):
    assert isinstance(published_model(file, "m"), RequestClassifier)
    LearnedClassifier.shipped().save(tmp_path / "outcomes.npz")
    outcomes = (tmp_path / "outcomes.npz").read_bytes()
    assert isinstance(published_model(outcomes, "m"), LearnedClassifier)
    assert isinstance(published_model(rewritten(outcomes, kind=None), "m"), LearnedClassifier)
    with pytest.raises(ModelError, match=r"^m: a model that was trained on outcomes, not on requests$"):
        RequestClassifier.loads(outcomes, "m")
    with pytest.raises(ModelError, match=r"^m: a model that was trained on requests, not on outcomes$"):
        LearnedClassifier.loads(file, "m")


def test_the_settings_name_a_model_of_either_kind(classifier, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "m.npz"
    path.write_bytes(file)
    configured = load(overrides={"routing": {"classifier": "learned", "model": str(path)}})
    assert classifier_loading.configured_classifier(configured).version == classifier.version
    learned = LearnedClassifier.shipped()
    learned.save(path)
    shipped = RequestClassifier.shipped().version
    assert classifier_loading.configured_classifier(configured).version == f"outcomes/1:{learned.version}+{shipped}"
    path.write_bytes(file[:-9])
    with pytest.raises(classifier_loading.SettingsError, match=r"^routing.model: .*m.npz: not a model file[^\n]*$"):
        classifier_loading.configured_classifier(configured)
    path.unlink()
    with pytest.raises(classifier_loading.SettingsError, match=r"^routing.model: .*m.npz: No such file"):
        classifier_loading.configured_classifier(configured)
