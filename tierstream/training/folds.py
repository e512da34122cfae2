"""Folds for cross-validation that keep together what would give the answer away."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from tierstream.training.evaluation import Ints

_WORD = re.compile(r"\w+")
_SHINGLE: Final = 10
"""Words in a row that two prompts have in common if they quote the same passage."""
_READ_WORDS: Final = 2_000
"""Of each prompt."""
_LARGEST_GROUP: Final = 12
"""More prompts than that do not share a passage: they share a template."""


def passage_groups(prompts: Sequence[str]) -> Ints:
    """Number the prompts so that those which quote the same passage have the same number: (prompts,).

    The same prompt has the same number however often it occurs.
    """
    distinct = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    sharing: dict[str, list[int]] = defaultdict(list)
    for prompt, number in distinct.items():
        words = _WORD.findall(prompt.lower())[:_READ_WORDS]
        starts = range(max(1, len(words) - _SHINGLE + 1))
        # Unlike a set, a dict keeps the order, and with it the groups are the same in every process.
        for shingle in dict.fromkeys(" ".join(words[i : i + _SHINGLE]) for i in starts):
            sharing[shingle].append(number)
    groups = {number: [number] for number in range(len(distinct))}
    group_of = list(range(len(distinct)))
    for members in sharing.values():
        if len(members) > _LARGEST_GROUP:
            continue
        for other in members[1:]:
            one, two = group_of[members[0]], group_of[other]
            # Chains of pairs would otherwise join a whole template.
            if one == two or len(groups[one]) + len(groups[two]) > _LARGEST_GROUP:
                continue
            for number in groups[two]:
                group_of[number] = one
            groups[one] += groups.pop(two)
    return number_consecutively([group_of[distinct[prompt]] for prompt in prompts])


def number_consecutively(labels: Sequence[object]) -> Ints:
    """Replace labels by numbers from 0: (labels,)."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.intp)


def deal_groups(groups: Ints, folds: int, seed: int) -> Ints:
    """Deal whole groups to folds at random: the fold of each member, (members,)."""
    generator = np.random.default_rng(seed)
    return (generator.permutation(int(groups.max()) + 1) % folds)[groups]


def deal_subjects(subjects: Sequence[str], folds: int, seed: int) -> Ints:
    """Deal whole subjects to folds of about the same size: the fold of each member, (members,)."""
    generator = np.random.default_rng(seed)
    sizes: dict[str, int] = defaultdict(int)
    for subject in subjects:
        sizes[subject] += 1
    names = sorted(sizes)
    generator.shuffle(names)
    filled = [0] * folds
    fold_of = {}
    for name in sorted(names, key=lambda name: -sizes[name]):
        fold_of[name] = int(np.argmin(filled))
        filled[fold_of[name]] += sizes[name]
    return np.array([fold_of[subject] for subject in subjects], dtype=np.intp)
