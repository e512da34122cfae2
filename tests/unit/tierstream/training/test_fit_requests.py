"""Training the classifier of requests on labelled ones: what it learns, adds and refuses, and the files of labels."""

import gzip
import json
from collections.abc import Sequence

import numpy as np
import pytest

from streams.routing.request_classifier.classifier import RequestClassifier
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError, estimators, fit_requests
from tierstream.training.fit_requests import FEWEST_REQUESTS, deal, out_of_fold, train
from tierstream.training.labelled_requests import LabelledRequest, read_labelled

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FILLING = ["river", "stone", "cloud", "paper", "green", "music", "winter", "table", "bread", "garden"]
RULE = {1: ("hello", "faq"), 2: ("summarise", "other"), 3: ("derive", "analysis")}
"""The word that tells a tier, and the query type that goes with it."""


def labelled(request_id: str, text: str, **label: object) -> LabelledRequest:
    messages = [{"role": "user", "content": text}]
    return LabelledRequest.model_validate({"request_id": request_id, "messages": messages, "label": label})


def by_rule(
    count: int, seed: int = 0, rule: dict[int, tuple[str, str]] = RULE, **label: object
) -> list[LabelledRequest]:
    """Requests of which one word tells the tier and the type; nothing else matters."""
    rng = np.random.default_rng(seed)
    tiers = sorted(rule)
    found = []
    for n in range(count):
        tier = tiers[n % len(tiers)]
        word, kind = rule[tier]
        words = [*rng.choice(FILLING, 6), word]
        rng.shuffle(words)
        found.append(labelled(f"{seed}-{n}", " ".join(words), tier=tier, query_type=kind, **label))
    return found


def tier_of(classifier: RequestClassifier, request: LabelledRequest) -> int:
    return 1 + sum(need > 0.5 for need in classifier.needs(request))


def hits(classifier: RequestClassifier, requests: Sequence[LabelledRequest]) -> tuple[float, float]:
    """The shares whose tier and whose type it tells."""
    tiers = [tier_of(classifier, request) == request.label.tier for request in requests]
    types = [classifier.query_type(request) == request.label.query_type for request in requests]
    return sum(tiers) / len(tiers), sum(types) / len(types)


@pytest.fixture(scope="module", autouse=True)
def few_steps():
    """Rules as plain as these are learned in a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(estimators, "_SOFTMAX_STEPS", 12)
        patch.setattr(fit_requests, "_CALIBRATION_FOLDS", 2)
        yield


@pytest.fixture(scope="module")
def model(few_steps) -> RequestClassifier:
    return train(by_rule(201), attribution="Ann")


def test_it_learns_what_there_is_to_learn(model):
    assert min(hits(model, by_rule(90, seed=7))) > 0.95
    assert model.examples == 201
    assert model.trained_on(by_rule(201)) == 201
    assert model.model.attribution == "Ann"
    assert np.isnan(model.model.thresholds).all()


def test_it_is_surer_the_clearer_the_labels(model):
    rng = np.random.default_rng(4)
    noisy = [
        labelled(request.request_id, request.question, tier=int(tier), query_type="other")
        for request, tier in zip(by_rule(201), rng.integers(1, 4, 201), strict=True)
    ]
    unsure = train(noisy)
    held = by_rule(60, seed=7)

    def doubt(one: RequestClassifier) -> float:
        return float(np.mean([min(p, 1 - p) for request in held for p in one.needs(request)]))

    assert doubt(model) < 0.15 < doubt(unsure)
    assert np.mean([unsure.needs(request) for request in held], axis=0) == pytest.approx([2 / 3, 1 / 3], abs=0.15)
    assert {unsure.query_type(request) for request in held} == {"other"}


def test_the_same_requests_give_the_same_bytes(model, tmp_path):
    done: list[float] = []
    for name, one in (("one", model), ("two", train(by_rule(201), attribution="Ann", on_progress=done.append))):
        one.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert done == sorted(done)
    assert done[-1] == 1
    read = RequestClassifier.loads((tmp_path / "one").read_bytes(), "one")
    assert [read.read(one, 3) for one in by_rule(30, seed=7)] == [model.read(one, 3) for one in by_rule(30, seed=7)]


NEW = {1: ("gruezi", "analysis"), 2: ("fasse", "faq"), 3: ("entwurf", "other")}


@pytest.mark.slow
def test_adding_learns_the_new(model, monkeypatch):
    # The base's scores are in another scale than words, which takes more steps.
    monkeypatch.setattr(estimators, "_SOFTMAX_STEPS", 60)
    new, held = by_rule(200, seed=3, rule=NEW), by_rule(60, seed=8, rule=NEW)
    added = train(new, model)
    assert min(hits(model, held)) < 0.8
    assert min(hits(added, held)) > 0.85
    assert added.examples == 401
    assert added.trained_on([*by_rule(201), *new]) == 401
    assert added.model.attribution == "Ann"
    assert added.version != model.version


def test_what_can_not_be_learned_from(model):
    requests = by_rule(FEWEST_REQUESTS + 50)
    with pytest.raises(TrainingError, match=f"^99 requests are too few .* at least {FEWEST_REQUESTS}$"):
        train(requests[:99])
    with pytest.raises(TrainingError, match="too few"):
        train(requests[:99], model)
    for missing in (1, 2, 3):
        rest = {tier: rule for tier, rule in RULE.items() if tier != missing}
        with pytest.raises(TrainingError, match=f"^no request has tier {missing}: "):
            train(by_rule(150, rule=rest))


def test_a_second_choice_and_a_second_opinion_count(model):
    second = {"acceptable": (2, 3), "second": (2, (2,), "code")}
    requests = [
        labelled(one.request_id, one.question, tier=3, query_type="analysis", **second) if one.label.tier == 3 else one
        for one in by_rule(201)
    ]
    found = train(requests)
    hard = [one for one in by_rule(90, seed=7) if one.label.tier == 3]
    alone, both = (np.mean([one.needs(request)[1] for request in hard]) for one in (model, found))
    # Of the two opinions the first has tier 3 by seven tenths.
    assert both == pytest.approx(0.35, abs=0.15)
    assert both < alone


def test_the_weights_of_the_form_are_learned_from_what_is_not_steered():
    """Long requests are hard, but for those that were written to mislead: the form goes on counting."""
    plain = [
        labelled(f"p{n}", " ".join(FILLING[:3] * (1 + 9 * (n % 2))), tier=1 + 2 * (n % 2), query_type="faq")
        for n in range(150)
    ]
    middle = [labelled(f"m{n}", "table bread, table", tier=2, query_type="faq") for n in range(10)]
    steered = [
        labelled(f"s{n}", one.question, tier=4 - one.label.tier, query_type="faq", steered=True)
        for n, one in enumerate(plain)
    ]
    found = train([*plain, *middle, *steered])
    short, long = (found.needs(one)[0] for one in plain[:2])
    assert long > short + 0.1


@pytest.mark.slow
def test_out_of_fold_scores_come_from_models_that_never_saw_the_request():
    requests = by_rule(200)
    folds = np.arange(200) // 100
    needs, types = out_of_fold(requests, folds)
    other = train([one for one, fold in zip(requests, folds, strict=True) if fold == 0])
    for one, fold, need, kind in zip(requests, folds, needs, types, strict=True):
        if fold == 1:
            assert (other.needs(one), other.query_type(one)) == (need, kind)
    right = [1 + sum(p > 0.5 for p in need) == one.label.tier for one, need in zip(requests, needs, strict=True)]
    assert np.mean(right) > 0.9


def test_a_question_is_in_the_same_fold_whatever_the_file():
    requests = by_rule(100)
    folds = deal(requests, 3).tolist()
    assert deal(requests[::-1], 3).tolist() == folds[::-1]
    assert set(folds) == {0, 1, 2}


SECRET = "the password is tulip"


def line_of(**changes: object) -> str:
    messages = [{"role": "user", "content": SECRET}]
    whole = {"request_id": "a", "messages": messages, "label": {"tier": 1, "query_type": "faq"}} | changes
    return json.dumps({name: value for name, value in whole.items() if value is not None})


def test_files_of_labelled_requests(tmp_path):
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_text(f"{line_of()}\n\n{line_of(request_id='b', context={'user_role': 'ceo'})}\n")
    label = {"tier": 3, "acceptable": [2, 3], "query_type": "code", "second": [2, [2, 3], "faq"]}
    packed.write_bytes(gzip.compress(line_of(request_id="c", label=label).encode()))
    found = read_labelled([plain, packed])
    assert [one.request_id for one in found] == ["a", "b", "c"]
    assert (found[0].question, found[1].context.user_role) == (SECRET, "ceo")
    assert [one.label.tiers for one in found] == [(1,), (1,), (2, 3)]
    assert "label" not in found[0].model_dump()


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (line_of(label=None), "label: "),
        (line_of(label={"tier": 4, "query_type": "faq"}), "label.tier: "),
        (line_of(label={"query_type": "faq"}), "label.tier: "),
        (line_of(label={"tier": 1}), "label.query_type: "),
        (line_of(label={"tier": 1, "query_type": SECRET}), "label.query_type: "),
        (line_of(label={"tier": 1, "query_type": "faq", "teir": 2}), "label.teir: "),
        (line_of(label={"tier": 1, "acceptable": [2], "query_type": "faq"}), "label: "),
        (line_of(label={"tier": 1, "acceptable": [1, 9], "query_type": "faq"}), "label.acceptable.1: "),
        (line_of(messages=[{"role": "user", "content": SECRET, "role ": 1}, SECRET]), "messages.1"),
        (line_of(messages=None), "messages: "),
        (line_of(request_id=None), "request_id: "),
        (line_of()[:-1], "line: "),
        (f'"{SECRET}"', "line: "),
        (line_of(request_id="first"), "request_id: 'first' occurs twice"),
    ],
)
def test_a_wrong_line_is_named_and_no_prompt_quoted(tmp_path, line, field):
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{line_of(request_id='first')}\n\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_labelled([path])
    message = str(caught.value)
    assert message.startswith(f"{path} line 3: {field}")
    assert "\n" not in message
    assert "tulip" not in message


def test_an_id_that_is_in_two_files_and_files_without_a_request(tmp_path):
    one, other, empty = (tmp_path / name for name in ("1", "2", "3"))
    one.write_text(line_of())
    other.write_text(line_of())
    empty.write_text("\n \n")
    with pytest.raises(InputError, match=r"2 line 1: request_id: 'a' occurs twice$"):
        read_labelled([one, other])
    with pytest.raises(InputError, match=r"3: there is no request in it$"):
        read_labelled([empty])
    with pytest.raises(FileNotFoundError):
        read_labelled([tmp_path / "none"])
    one.write_bytes(gzip.compress(line_of().encode())[:-9])
    with pytest.raises(InputError, match="broken gzip file"):
        read_labelled([one])
    one.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="line 1: line: "):
        read_labelled([one])
