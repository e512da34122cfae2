"""What is made of labels and requests before a model is trained on them, and what the training makes of them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.config.settings import load
from streams.learning.tier_targets import AnswerLabel, BoundaryTarget, boundary_targets
from streams.routing.request_classifier.classifier import RequestClassifier
from tierstream.training import TrainingError
from tierstream.training.candidate import measure, model_file, train_candidate
from tierstream.training.fit_requests import add_traffic
from tierstream.training.own_traffic import LabelledTraffic, _is_of_the_tier, _stretches, is_held_back
from topics.messages import Message
from topics.requests import Request

HARD, EASY = "list the quux entries of room {}", "say hello to room {}"
GOOD, BAD = 1.0, 0.0


def asked(text, request_id="r"):
    return Request(request_id=request_id, messages=(Message(role="user", content=text),))


def traffic(text, number, *labels, user=""):
    found = boundary_targets([AnswerLabel(tier, value, 1.0) for tier, value in labels], 3)
    return LabelledTraffic(asked(text.format(number), f"r{number}"), user, found)


def history(count):
    """Tier 1 does for the easy ones and not for the hard ones; of those a third is known to need no more than 2."""
    hard = [traffic(HARD, number, (1, BAD), *([(2, GOOD)] if number % 3 == 0 else [])) for number in range(count)]
    return [*hard, *(traffic(EASY, number, (1, GOOD)) for number in range(count))]


@pytest.fixture(scope="module")
def settings():
    return load(overrides={"routing": {"classifier": "learned"}})


@pytest.fixture(scope="module")
def candidate(settings):
    return train_candidate(settings, history(60))


def test_one_sided_labels_move_what_they_are_about_and_leave_the_rest(candidate):
    base = RequestClassifier.shipped()
    hard, easy = asked(HARD.format(991)), asked(EASY.format(991))
    assert base.needs(hard)[0] < 0.5
    assert candidate.needs(hard)[0] > 0.5
    assert candidate.needs(hard)[1] < 0.5
    assert candidate.needs(easy)[0] < 0.2
    other = asked("Write a limerick about a cat.")
    assert candidate.needs(other)[0] == pytest.approx(base.needs(other)[0], abs=0.1)
    for request in (hard, easy, other):
        assert candidate.query_type(request) == base.query_type(request)
    assert candidate.examples > base.examples


def test_training_is_deterministic_and_its_file_is_the_model(settings, candidate):
    again = train_candidate(settings, history(60))
    assert model_file(again) == model_file(candidate)
    assert RequestClassifier.loads(model_file(candidate), "it").version == candidate.version


def test_a_candidate_is_measured_by_what_is_known_of_held_back_requests(settings, candidate):
    held = [traffic(HARD, 5000 + number, (1, BAD), (2, GOOD)) for number in range(150)]
    better = measure(settings, held, candidate, RequestClassifier.shipped())
    assert better.is_better
    assert better.comparison.too_low == (0.0, 1.0)
    assert not measure(settings, held, RequestClassifier.shipped(), candidate).is_better
    assert not measure(settings, held, candidate, candidate).is_better


@pytest.mark.parametrize(
    ("labels", "words"),
    [([(1, BAD)], "no label says that a tier was enough"), ([(1, GOOD)], "no label says that a tier was too low")],
)
def test_one_sided_evidence_alone_trains_nothing(labels, words):
    found = [traffic(EASY, number, *labels) for number in range(120)]
    with pytest.raises(TrainingError, match=words):
        add_traffic([one.request for one in found], [one.targets for one in found], RequestClassifier.shipped())


def test_too_few_requests():
    with pytest.raises(TrainingError, match="1 labelled requests are too few"):
        add_traffic([asked("a")], [(BoundaryTarget(1, 0), BoundaryTarget())], RequestClassifier.shipped())


def test_labels_count_only_for_models_that_their_tier_has(settings):
    ours = settings.tiers[0].models[0].ref
    rows = [(1, ours), (1, ""), (2, ours), (1, "gone/model"), (4, ""), (0, "")]
    assert [_is_of_the_tier(settings, {"tier": tier, "model": model}) for tier, model in rows] == [
        *(True, True),
        *(False, False, False, False),
    ]


@given(st.text(min_size=1), st.floats(0.01, 0.99))
def test_the_same_question_is_on_the_same_side_whoever_asks(text, share):
    assert is_held_back(asked(text, "a"), share) == is_held_back(asked(text, "b"), share)
    assert is_held_back(asked(text), 1.0)
    assert not is_held_back(asked(text), 0.0)


def test_about_the_share_is_held_back():
    held = sum(is_held_back(asked(EASY.format(number)), 0.2) for number in range(2000))
    assert 320 < held < 480


@given(st.sets(st.integers(0, 50_000)))
def test_stretches_are_read_in_order_and_leave_nothing_out(offsets):
    found = _stretches(sorted(offsets))
    assert [offset for stretch in found for offset in stretch] == sorted(offsets)
    assert all(b - a <= 2_000 for stretch in found for a, b in pairwise(stretch))
