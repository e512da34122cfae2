"""The record as columns of numbers: requests, and the answers that they got."""

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tierstream.replay.decide import Replayed
from tierstream.replay.record import RecordedCall, Visit
from tierstream.replay.regression import Floats, Ints

GROUPS: Final = 20
"""Of requests, by the hash of their id: each is left out once, and what that changes says how sure a figure is."""
MOST_LOGIT: Final = 6.0
"""Log odds beyond it are as if they were it."""
_FEATURES: Final = 40
"""Those of more are taken together."""
_OTHER: Final = ""


@dataclass(frozen=True, slots=True)
class Names:
    """Numbers for names, from 0 on."""

    models: tuple[str, ...]
    kinds: tuple[str, ...]
    features: tuple[str, ...]

    @classmethod
    def of(cls, replayed: Sequence[Replayed], models: Iterable[str]) -> "Names":
        """Number what occurs, and models besides."""
        seen = {call.ref for one in replayed for call in one.record.calls}
        features = Counter(one.record.feature for one in replayed)
        return cls(
            tuple(sorted(seen | set(models))),
            tuple(sorted({one.query_type for one in replayed})),
            (_OTHER, *(name for name, _ in features.most_common(_FEATURES) if name)),
        )


@dataclass(frozen=True, slots=True)
class Subjects:
    """What is known of requests before anybody answers; a row each.

    Attributes:
        kind: Number of the query type.
        feature: Number of the feature.
        logits: (requests, tiers) Log odds of needing more than a tier, as recorded; of the top tier those of the one
            below it: the harder a request is, the rather it fails there too.
        tokens: Logarithm of the rough length of the prompt.
        group: Which it is left out with.
    """

    kind: Ints
    feature: Ints
    logits: Floats
    tokens: Floats
    group: Ints

    @classmethod
    def of(cls, replayed: Sequence[Replayed], names: Names, tiers: int) -> "Subjects":
        """Describe requests."""
        kinds = {name: number for number, name in enumerate(names.kinds)}
        features = {name: number for number, name in enumerate(names.features)}
        return cls(
            kind=np.array([kinds[one.query_type] for one in replayed], dtype=np.int64),
            feature=np.array([features.get(one.record.feature, 0) for one in replayed], dtype=np.int64),
            logits=np.array([_logits(one.was.scores, tiers) for one in replayed]).reshape(len(replayed), tiers),
            tokens=np.log1p(np.array([one.tokens for one in replayed], dtype=np.float64)),
            group=np.array([group_of(one.record.request_id) for one in replayed], dtype=np.int64),
        )

    def take(self, rows: Ints) -> "Subjects":
        """Return some of them, in this order."""
        return Subjects(self.kind[rows], self.feature[rows], self.logits[rows], self.tokens[rows], self.group[rows])


def group_of(request_id: str) -> int:
    """Return the group of a request, always the same."""
    return zlib.crc32(request_id.encode()) % GROUPS


def _logits(scores: Sequence[float], tiers: int) -> list[float]:
    found = []
    for tier in range(1, tiers + 1):
        need = min(max(sum(scores[min(tier, len(scores) - 1) :]), 0.0), 1.0) if scores else 0.5
        odds = math.log(max(need, 1e-6) / max(1 - need, 1e-6))
        found.append(min(max(odds, -MOST_LOGIT), MOST_LOGIT))
    return found


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers on record; a row each. Of `request`, `tier` and `model` each is the number, tiers from 0 on.

    Attributes:
        escalated: Whether the request had been on another tier before.
        failed: Whether a free check found something wrong.
        verdict: 1 a judge or a user found it good, 0 bad, -1 nobody said.
        looked: Whether a judge looked.
        judge_ms: How long that took.
        text: Tokens of the answer that one can read: those of `output` without reasoning.
    """

    request: Ints
    tier: Ints
    model: Ints
    escalated: Ints
    failed: Floats
    verdict: Floats
    looked: Floats
    judge_input: Floats
    judge_output: Floats
    judge_ms: Floats
    input: Floats
    output: Floats
    text: Floats
    cached: Floats
    written: Floats
    ms: Floats
    usd: Floats

    @classmethod
    def of(cls, visits: Sequence[Sequence[Visit]], said: Sequence[dict[int, float]], names: Names) -> "Answers":
        """List the answers of requests."""
        models = {name: number for number, name in enumerate(names.models)}
        rows = [
            (number, visit.tier - 1, models[visit.answer.ref], int(place > 0), *_facts(visit, visit.answer, users))
            for number, (found, users) in enumerate(zip(visits, said, strict=True))
            for place, visit in enumerate(found)
            if visit.answer is not None
        ]
        columns = np.array(rows, dtype=np.float64).reshape(len(rows), 17).T
        return cls(*(column.astype(np.int64) for column in columns[:4]), *columns[4:])

    def __len__(self) -> int:
        return len(self.request)


def _facts(visit: Visit, answer: RecordedCall, users: dict[int, float]) -> tuple[float, ...]:
    judges = [call for call in visit.spent if call.purpose == "judge"]
    verdict = -1.0 if visit.verdict is None else float(visit.verdict)
    if verdict < 0 and visit.tier in users:
        verdict = float(users[visit.tier] >= 0.5)  # noqa: PLR2004 - rather good than bad
    return (
        float(visit.failed_check),
        verdict,
        float(bool(judges)),
        float(sum(call.input for call in judges)),
        float(sum(call.output for call in judges)),
        sum(call.provider_ms for call in judges),
        float(answer.input),
        float(answer.output),
        float(answer.text),
        float(answer.cached),
        float(answer.cache_written),
        np.nan if answer.in_batch else answer.provider_ms,
        float(answer.cost_usd),
    )
