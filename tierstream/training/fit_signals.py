"""Fits the weights of the signals of conversations: `python -m tierstream.training.fit_signals`, from a checkout.

It prints what models that were fitted without a tenth of the conversations say of that tenth, and how often the fitted
ones see a signal in conversations that were kept back.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from streams.config.setting_types import Signal
from streams.routing import conversation_signals
from streams.routing.conversation_signals import FEATURES, WEIGHTS_FILE, SignalModel, features_of
from tierstream.training.estimators import fit_softmax
from tierstream.training.evaluation import Array, Ints
from tierstream.training.labelled_conversations import LabelledConversation, read_conversations
from tierstream.training.labelled_requests import read_labelled
from tierstream.training.signal_report import report

FOLDS: Final = 10
THRESHOLDS: Final = {Signal.REPHRASED: 0.6, Signal.FRUSTRATED: 0.5}
"""Chosen by cross-validation, so that well over nine in ten are right: one that is missed leaves all as it was."""
_C: Final = 1.0
"""Inverse of the penalty."""
_PLAIN_WEIGHT: Final = 0.3
"""What a conversation of the corpus counts: there are five times as many of them."""

Models = Mapping[Signal, SignalModel]


def fit(conversations: Sequence[LabelledConversation], plain: Array) -> Models:
    """Fit a model for each signal; the same conversations give the same ones.

    Args:
        conversations: With and without signals.
        plain: (conversations, features) Features of others that count as having no signal.
    """
    rows = np.concatenate((_rows(conversations), plain))
    weight = np.concatenate((np.ones(len(conversations)), np.full(len(plain), _PLAIN_WEIGHT)))
    center, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale == 0] = 1.0
    standardised = (rows - center) / scale
    found: dict[Signal, SignalModel] = {}
    for signal in Signal:
        labels = np.zeros(len(rows), dtype=np.intp)
        labels[: len(conversations)] = [signal in conversation.labels for conversation in conversations]
        classes, intercepts = fit_softmax(standardised, labels, weight, np.zeros((2, len(FEATURES))), _C)
        weights = (classes[1] - classes[0]) / scale
        intercept = float(intercepts[1] - intercepts[0] - weights @ center)
        found[signal] = SignalModel(round(intercept, 4), tuple(np.round(weights, 4).tolist()), THRESHOLDS[signal])
    return found


def out_of_fold(conversations: Sequence[LabelledConversation], plain: Array, seed: int = 0) -> list[frozenset[Signal]]:
    """Return the signals that models which were fitted without the conversation give for it."""
    folds: Ints = np.random.default_rng(seed).permutation(len(conversations)) % FOLDS
    found: list[frozenset[Signal]] = [frozenset()] * len(conversations)
    for fold in range(FOLDS):
        models = fit([one for one, part in zip(conversations, folds, strict=True) if part != fold], plain)
        for number in np.flatnonzero(folds == fold).tolist():
            found[number] = _given(models, features_of(conversations[number].messages) or ())
    return found


def plain_features(paths: Sequence[Path]) -> Array:
    """Return the features of all conversations among labelled requests: (conversations, features)."""
    found = (features_of(request.messages) for request in read_labelled(paths))
    return np.array([features for features in found if features is not None]).reshape(-1, len(FEATURES))


def as_json(models: Models) -> str:
    """Return the models as their file keeps them."""
    return json.dumps({str(signal): _described(model) for signal, model in models.items()}, indent=1) + "\n"


def _described(model: SignalModel) -> dict[str, Any]:
    weights = dict(zip(FEATURES, model.weights, strict=True))
    return {"intercept": model.intercept, "threshold": model.threshold, "weights": weights}


def _rows(conversations: Sequence[LabelledConversation]) -> Array:
    return np.array([features_of(conversation.messages) for conversation in conversations], dtype=np.float64)


def _given(models: Models, features: Sequence[float]) -> frozenset[Signal]:
    return frozenset(signal for signal, model in models.items() if model.is_given(features))


def main() -> None:
    """Fit, print what is to be known, and write the file that ships."""
    folder = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=Path, default=folder / "conversations" / "tuning.jsonl")
    parser.add_argument("--corpus", type=Path, default=folder / "corpus")
    parser.add_argument("--out", type=Path, default=Path(conversation_signals.__file__).with_name(WEIGHTS_FILE))
    options = parser.parse_args()
    conversations = read_conversations(options.conversations)
    plain = plain_features([options.corpus / "training.jsonl"])
    kept_back = plain_features([options.corpus / "kept_back.jsonl"])
    [everything, *_] = report(conversations, out_of_fold(conversations, plain), 0, 0)
    for name, figures in everything.figures.items():
        precision, recall = (0.0 if one is None else one.value for one in (figures.precision, figures.recall))
        sys.stdout.write(f"{name}: precision {precision:.1%}, recall {recall:.1%} of {figures.labelled}\n")
    models = fit(conversations, plain)
    for place, rows in (("trained on", plain), ("kept back", kept_back)):
        alarms = sum(bool(_given(models, row)) for row in rows.tolist())
        sys.stdout.write(f"{place}: a signal in {alarms} of {len(rows)} conversations of the corpus\n")
    options.out.write_text(as_json(models), encoding="ascii")


if __name__ == "__main__":
    main()
