"""Precision and recall of signals, by hand; and the weights that ship, fitted anew."""

from pathlib import Path

import numpy as np
import pytest

import tierstream.training
from streams.config.setting_types import Signal
from streams.routing.conversation_signals import SignalModel, SignalReader, shipped, signals_of
from tierstream.client.request_file import InputError
from tierstream.training.fit_signals import FILES, fit, judge, of_unknown_writers, plain_messages, threshold_of
from tierstream.training.labelled_conversations import LabelledConversation, read_conversations
from tierstream.training.request_report import Figure
from tierstream.training.signal_report import report

FOLDER = Path(tierstream.training.__file__).parent
REPHRASED, FRUSTRATED = frozenset({Signal.REPHRASED}), frozenset({Signal.FRUSTRATED})
NONE: frozenset[Signal] = frozenset()
MESSAGES = [{"role": role, "content": role} for role in ("user", "assistant", "user")]


@pytest.fixture(scope="module")
def conversations() -> list[LabelledConversation]:
    return [one for name in FILES for one in read_conversations(FOLDER / "conversations" / name)]


@pytest.fixture(scope="module")
def plain():
    return plain_messages(FOLDER / "corpus" / "training.jsonl")


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


def test_the_shipped_conversations_are_varied(conversations):
    plain = [conversation for conversation in conversations if not conversation.labels]
    assert len(conversations) >= 1_200
    assert len(plain) >= len(conversations) * 0.4
    assert {"en", "de", "fr", "es", "it", "pt", "nl", "pl", "tr", "ru", "zh", "ja", "ko", "ar", "hi"} <= {
        conversation.language for conversation in conversations
    }
    texts = [tuple(message.text for message in conversation.messages) for conversation in conversations]
    assert len(set(texts)) == len(texts)


def test_the_model_that_ships_is_fitted_to_what_lies_beside(conversations, plain):
    fitted = SignalReader(fit(conversations, plain))
    difference = [
        np.subtract(fitted.probabilities(one.messages), shipped().probabilities(one.messages)) for one in conversations
    ]
    assert np.abs(difference).max() < 0.02


@pytest.mark.slow
def test_what_writers_whom_models_do_not_know_mean_is_told_with_hardly_a_false_alarm(conversations, plain):
    """Floors a little below what is measured."""
    unknown, alarms = of_unknown_writers(conversations, plain)
    threshold = threshold_of(unknown, alarms)
    assert threshold == pytest.approx(shipped().model.threshold, abs=0.02)
    everyone, *writers = judge(unknown, threshold)
    assert [writer.language for writer in writers] == ["ta", "tb", "tc", "tuning"]
    assert value_of(everyone.figures["any"].precision) >= 0.9
    assert value_of(everyone.figures["any"].recall) > 0.5
    assert all(value_of(writer.figures["any"].recall) > 0.35 for writer in writers)
    assert all(value_of(writer.figures["any"].precision) > 0.85 for writer in writers)
    assert np.mean(np.array(alarms) >= threshold) <= 0.02


def test_conversations_that_were_kept_back_hardly_ever_strike():
    kept_back = plain_messages(FOLDER / "corpus" / "kept_back.jsonl")
    assert len(kept_back) > 150
    assert np.mean([bool(signals_of(messages)) for messages in kept_back]) <= 0.02


def test_a_model_is_read_as_it_was_written(conversations, plain, tmp_path):
    model = fit(conversations[:100], plain[:1], 0.7)
    model.write(tmp_path / "model.npz")
    read = SignalModel.read((tmp_path / "model.npz").read_bytes())
    assert read.threshold == 0.7
    for one in conversations[:20]:
        assert SignalReader(read).probabilities(one.messages) == SignalReader(model).probabilities(one.messages)
