"""How good the signals of conversations are: precision and recall, in all and by language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.config.setting_types import Signal
from tierstream.training.evaluation import Array, resample
from tierstream.training.folds import passage_groups
from tierstream.training.labelled_conversations import LabelledConversation
from tierstream.training.request_report import Figure, mean

Bools = NDArray[np.bool_]

ANY: Final = "any"
"""Whether there is a signal, whichever: what the shipped rule asks for."""


@dataclass(frozen=True, slots=True)
class SignalFigures:
    """How good one signal is; None: there is nothing to tell it by.

    Attributes:
        labelled: Conversations that have it.
        given: Conversations that it is given for.
        precision: Share of the given ones that have it.
        recall: Share of those that have it for which it is given.
    """

    labelled: int
    given: int
    precision: Figure | None
    recall: Figure | None


@dataclass(frozen=True, slots=True)
class SignalGroup:
    """Some of the conversations.

    Attributes:
        language: Of them; empty: they are all of them.
        conversations: How many.
        figures: By signal, and of `ANY`.
    """

    language: str
    conversations: int
    figures: Mapping[str, SignalFigures]


def report(
    conversations: Sequence[LabelledConversation], given: Sequence[frozenset[Signal]], draws: int, seed: int
) -> list[SignalGroup]:
    """Judge signals by labels: in all first, then by language.

    Args:
        conversations: At least one.
        given: The signals that were found in each.
        draws: For the 95 % bootstrap intervals; 0: none.
        seed: Of the draws.
    """
    # Those that end with the same text are drawn together, or they would count as evidence of each other.
    groups = passage_groups([conversation.last for conversation in conversations])
    weights = np.array([np.ones(len(conversations)), *resample(groups, draws, seed)])
    languages = np.array([conversation.language for conversation in conversations])
    labels = [conversation.labels for conversation in conversations]
    pairs = {name: (_having(labels, name), _having(given, name)) for name in (*Signal, ANY)}
    return [
        SignalGroup(
            language,
            len(rows),
            {str(name): _figures(has[rows], says[rows], weights[:, rows]) for name, (has, says) in pairs.items()},
        )
        for language, rows in _sorted_rows(languages)
    ]


def _sorted_rows(languages: NDArray[np.str_]) -> list[tuple[str, NDArray[np.intp]]]:
    found = [("", np.arange(len(languages)))]
    found += [(str(name), np.flatnonzero(languages == name)) for name in np.unique(languages) if name]
    return found


def _having(found: Sequence[frozenset[Signal]], name: str) -> Bools:
    return np.array([bool(signals) if name == ANY else name in signals for signals in found])


def _figures(has: Bools, says: Bools, weights: Array) -> SignalFigures:
    return SignalFigures(
        labelled=int(has.sum()),
        given=int(says.sum()),
        precision=mean(weights[:, says], has[says]),
        recall=mean(weights[:, has], says[has]),
    )
