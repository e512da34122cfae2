"""Precision and recall of signals, by hand; and the weights that ship, fitted anew."""

from pathlib import Path

import numpy as np
import pytest

import tierstream.training
from streams.config.setting_types import Signal
from streams.routing.conversation_signals import FEATURES, features_of, shipped_models, signals_of
from tierstream.client.request_file import InputError
from tierstream.training.fit_signals import as_json, fit, out_of_fold, plain_features
from tierstream.training.labelled_conversations import LabelledConversation, read_conversations
from tierstream.training.request_report import Figure
from tierstream.training.signal_report import report

FOLDER = Path(tierstream.training.__file__).parent
REPHRASED, FRUSTRATED = frozenset({Signal.REPHRASED}), frozenset({Signal.FRUSTRATED})
NONE: frozenset[Signal] = frozenset()
MESSAGES = [{"role": role, "content": role} for role in ("user", "assistant", "user")]


@pytest.fixture(scope="module")
def shipped() -> list[LabelledConversation]:
    return read_conversations(FOLDER / "conversations" / "tuning.jsonl")


def labelled(number: int, labels: frozenset[Signal], language: str = "en") -> LabelledConversation:
    messages = [*MESSAGES[:2], {"role": "user", "content": f"question {number}"}]
    return LabelledConversation.model_validate(
        {"id": str(number), "language": language, "messages": messages, "labels": labels}
    )


def value_of(figure: Figure | None) -> float:
    assert figure is not None
    return figure.value


def test_precision_and_recall_are_those_of_the_labels():
    rows = [(REPHRASED, REPHRASED), (REPHRASED, NONE), (NONE, REPHRASED), (FRUSTRATED, REPHRASED), (NONE, NONE)]
    conversations = [labelled(i, labels, "de" if i == 4 else "en") for i, (labels, _) in enumerate(rows)]
    everything, *languages = report(conversations, [given for _, given in rows], 20, 0)
    found = everything.figures["rephrased"]
    assert (found.labelled, found.given) == (2, 3)
    assert value_of(found.precision) == pytest.approx(1 / 3)
    assert value_of(found.recall) == pytest.approx(1 / 2)
    assert found.recall.interval is not None
    # Of another signal than the labelled one it is right that there is one: the shipped rule takes either.
    either = everything.figures["any"]
    assert value_of(either.precision) == pytest.approx(2 / 3)
    assert everything.figures["frustrated"].precision is None
    assert [(group.language, group.conversations) for group in languages] == [("de", 1), ("en", 4)]
    assert languages[0].figures["rephrased"].recall is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{}", "line 1: id"),
        ('{"id": "a", "messages": [{"role": "user", "content": "x"}], "labels": []}', "two messages of the user"),
        ('{"id": "a", "messages": [], "labels": ["bored"]}', "line 1: messages"),
        ("", "there is no conversation"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_without_its_texts(tmp_path, line, expected):
    path = tmp_path / "conversations.jsonl"
    path.write_text(line)
    with pytest.raises(InputError, match=expected):
        read_conversations(path)


def test_an_id_occurs_once(tmp_path):
    path = tmp_path / "conversations.jsonl"
    path.write_text(f"{labelled(1, NONE).model_dump_json()}\n" * 2)
    with pytest.raises(InputError, match="line 2: id: '1' occurs twice"):
        read_conversations(path)


def test_the_shipped_conversations_are_varied(shipped):
    plain = [conversation for conversation in shipped if not conversation.labels]
    assert len(shipped) >= 300
    assert len(plain) >= len(shipped) * 0.4
    assert {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "zh", "ja", "ko", "ar", "hi"} <= {
        conversation.language for conversation in shipped
    }
    texts = [tuple(message.text for message in conversation.messages) for conversation in shipped]
    assert len(set(texts)) == len(texts)


def test_the_weights_that_ship_are_fitted_to_what_lies_beside(shipped):
    models = fit(shipped, plain_features([FOLDER / "corpus" / "training.jsonl"]))
    for signal, model in shipped_models().items():
        assert model.threshold == models[signal].threshold
        fitted, kept = (
            [one.probability(features_of(conversation.messages) or ()) for conversation in shipped]
            for one in (models[signal], model)
        )
        assert np.abs(np.subtract(fitted, kept)).max() < 0.02


def test_what_models_have_not_seen_they_tell_as_well(shipped):
    """Floors a little below what is measured."""
    given = out_of_fold(shipped, plain_features([FOLDER / "corpus" / "training.jsonl"]))
    [everything, *_] = report(shipped, given, 0, 0)
    for figures, least in ((everything.figures["rephrased"], 0.7), (everything.figures["frustrated"], 0.85)):
        assert value_of(figures.precision) > 0.92
        assert value_of(figures.recall) > least


def test_conversations_that_were_kept_back_hardly_ever_strike():
    rows = plain_features([FOLDER / "corpus" / "kept_back.jsonl"])
    alarms = [any(model.is_given(row) for model in shipped_models().values()) for row in rows.tolist()]
    assert len(alarms) > 150
    assert np.mean(alarms) <= 0.02


def test_a_model_is_written_as_it_is_read(shipped):
    models = fit(shipped[:100], np.zeros((1, len(FEATURES))))
    assert as_json(models).count('"threshold"') == len(Signal)
    assert signals_of(shipped[0].messages) <= set(Signal)
