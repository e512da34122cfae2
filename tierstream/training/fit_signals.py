"""Fits the model of the signals of conversations: `python -m tierstream.training.fit_signals`, from a checkout.

It prints what models that were fitted without a writer's conversations say of those, chooses the threshold by it, and
prints how often the fitted model sees a signal in conversations that were kept back.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from streams.config.setting_types import Signal
from streams.routing import conversation_signals
from streams.routing.conversation_features import Seen, see
from streams.routing.conversation_signals import BUCKETS, MODEL_FILE, SignalModel, SignalReader, columns_of
from tierstream.training.estimators import Sparse, fit_logistic, sparse_rows
from tierstream.training.evaluation import Array
from tierstream.training.labelled_conversations import LabelledConversation, read_conversations
from tierstream.training.labelled_requests import read_labelled
from tierstream.training.signal_report import SignalGroup, report
from topics.messages import Message

FILES: Final = ("tuning.jsonl", "training.jsonl")
PRECISION: Final = 0.9
"""Of any signal, in conversations of writers that the model doesn't know."""
PHRASED_BY: Final = "tuning"
"""The writer of the turns of phrase too, whose conversations therefore flatter and choose no threshold."""
MOST_ALARMS: Final = 0.015
"""Share of the corpus' conversations, unseen too, that may be given a signal: in traffic hardly any has one."""
_C: Final = 1.0
"""Inverse of the penalty."""
_PLAIN_WEIGHT: Final = 1.0
"""What a conversation of the corpus counts."""

Conversations = Sequence[LabelledConversation]
Plain = Sequence[Sequence[Message]]
Unknown = tuple[SignalModel, LabelledConversation]


def fit(conversations: Conversations, plain: Plain, threshold: float = 0.5) -> SignalModel:
    """Fit the model; the same conversations give the same one.

    Args:
        conversations: With and without signals.
        plain: Messages of others that count as having no signal.
        threshold: Of any signal.
    """
    seen = [found for messages in (*_messages(conversations), *plain) if (found := see(messages)) is not None]
    form = np.array([one.form for one in seen])
    center, scale = form.mean(axis=0), form.std(axis=0)
    scale[scale == 0] = 1.0
    rows = _rows(seen, (form - center) / scale)
    weight = np.concatenate((np.ones(len(conversations)), np.full(len(plain), _PLAIN_WEIGHT)))
    labels = np.zeros((len(seen), 1 + len(Signal)), dtype=np.intp)
    labels[: len(conversations)] = [[bool(one.labels), *(s in one.labels for s in Signal)] for one in conversations]
    fitted = [fit_logistic(rows, column, weight, _C) for column in labels.T]
    weights = np.array([found for found, _ in fitted]).T
    of_form = weights[BUCKETS:] / scale[:, None]
    intercept = np.array([found for _, found in fitted]) - center @ of_form
    return SignalModel.of(intercept, of_form, weights[:BUCKETS], threshold)


def of_unknown_writers(conversations: Conversations, plain: Plain) -> tuple[list[Unknown], list[float]]:
    """Tell what models say of writers they were not fitted to.

    Returns:
        Each conversation with the model that was fitted without its writer's; and the probability of any signal in each
        of the others, of which each of these models was fitted without a part.
    """
    found: list[Unknown] = []
    alarms: list[float] = []
    writers = sorted({writer_of(one) for one in conversations})
    # Parts of one piece: what one writer wrote stands together.
    cuts = np.linspace(0, len(plain), len(writers) + 1).astype(int).tolist()
    for writer, begin, end in zip(writers, cuts, cuts[1:], strict=False):
        known = [one for one in conversations if writer_of(one) != writer]
        model = fit(known, [*plain[:begin], *plain[end:]])
        found += [(model, one) for one in conversations if writer_of(one) == writer]
        reader = SignalReader(model)
        alarms += [reader.probabilities(messages)[0] for messages in plain[begin:end]]
    return found, alarms


def writer_of(conversation: LabelledConversation) -> str:
    """Return who wrote it: its id begins with that."""
    return conversation.id.partition("-")[0]


def threshold_of(found: Sequence[Unknown], alarms: Sequence[float]) -> float:
    """Return the least probability from which on `PRECISION` and `MOST_ALARMS` hold."""
    found = [(model, one) for model, one in found if writer_of(one) != PHRASED_BY]
    readers = {id(model): SignalReader(model) for model, _ in found}
    scores = np.array([readers[id(model)].probabilities(one.messages)[0] for model, one in found])
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum([bool(found[row][1].labels) for row in order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(right >= PRECISION)
    precise = float(scores[order[reached[-1]]]) if len(reached) else 0.99
    return round(max(precise, float(np.quantile(alarms, 1 - MOST_ALARMS))), 2)


def plain_messages(path: Path) -> list[Sequence[Message]]:
    """Return the messages of all conversations among labelled requests."""
    return [request.messages for request in read_labelled([path]) if see(request.messages) is not None]


def _messages(conversations: Conversations) -> list[Sequence[Message]]:
    return [conversation.messages for conversation in conversations]


def _rows(seen: Sequence[Seen], form: Array) -> Sparse:
    pairs = [[*columns_of(one)] for one in seen]
    columns = [np.array([column for column, _ in one], dtype=np.intp) for one in pairs]
    return sparse_rows(columns, [np.array([value for _, value in one]) for one in pairs], BUCKETS, form)


def judge(found: Sequence[Unknown], threshold: float) -> list[SignalGroup]:
    """Return the figures of all writers together, then of each, whose name is the language of the group."""
    readers = {id(model): SignalReader(replace(model, threshold=threshold)) for model, _ in found}
    given = [readers[id(model)].given(one.messages) for model, one in found]
    return report([one.model_copy(update={"language": writer_of(one)}) for _, one in found], given, 0, 0)


def described(groups: Sequence[SignalGroup]) -> str:
    """Return a line for each signal and writer."""
    lines = []
    for group in groups:
        for name, figures in group.figures.items():
            precision, recall = (0.0 if one is None else one.value for one in (figures.precision, figures.recall))
            writer = group.language or "all"
            lines.append(f"{writer}, {name}: precision {precision:.1%}, recall {recall:.1%} of {figures.labelled}\n")
    return "".join(lines)


def main() -> None:
    """Fit, print what is to be known, and write the file that ships."""
    folder = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=Path, default=folder / "conversations")
    parser.add_argument("--corpus", type=Path, default=folder / "corpus")
    parser.add_argument("--out", type=Path, default=Path(conversation_signals.__file__).with_name(MODEL_FILE))
    options = parser.parse_args()
    conversations = [one for name in FILES for one in read_conversations(options.conversations / name)]
    plain = plain_messages(options.corpus / "training.jsonl")
    unknown, alarms = of_unknown_writers(conversations, plain)
    threshold = threshold_of(unknown, alarms)
    sys.stdout.write(f"threshold {threshold}\n{described(judge(unknown, threshold))}")
    model = fit(conversations, plain, threshold)
    reader = SignalReader(model)
    for place, rows in (("trained on", plain), ("kept back", plain_messages(options.corpus / "kept_back.jsonl"))):
        strike = sum(bool(reader.given(messages)) for messages in rows)
        sys.stdout.write(f"{place}: a signal in {strike} of {len(rows)} conversations of the corpus\n")
    model.write(options.out)


if __name__ == "__main__":
    main()
