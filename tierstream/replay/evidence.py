"""What the record teaches: how long answers are, how often they fail, what judges cost, by model, tier and kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from tierstream.replay.answers import GROUPS, MOST_LOGIT, Answers, Names, Subjects
from tierstream.replay.regression import Flags, Floats, Ints, Layout, Moments, expit, logistic, ridge

_BINS: Final = 2 * int(MOST_LOGIT) + 1
"""Of the log odds, a step of 1 each."""
_NEED_STEP: Final = 0.25
_PSEUDO_ANSWERS: Final = 5.0
"""So many answers speak against a figure of few."""
_PSEUDO_LOOKS: Final = 5.0
_TOO_FEW_LOOKS: Final = 30


class Evidence:
    """Sums over the record by group, from which figures are made of all groups, or of all but one.

    Args:
        names: Numbers of names.
        subjects: The requests.
        answers: What they were answered.
        tiers: How many there were.
        sampled: For each answer, whether a judge might have looked for the sake of a sample alone.
    """

    def __init__(self, names: Names, subjects: Subjects, answers: Answers, tiers: int, sampled: Floats) -> None:
        self.names, self.subjects, self.answers, self.tiers = names, subjects, answers, tiers
        models, kinds = len(names.models), len(names.kinds)
        self._lengths = Layout(
            (0.01, 1.0, *(1.0 for _ in range(tiers))),
            (
                (models, 5.0),
                (kinds, 1.0),
                (models * kinds, 20.0),
                (len(names.features), 4.0),
                *((_BINS, 2.0) for _ in range(tiers)),
            ),
        )
        self._shares = Layout((0.01, 0.5), ((tiers, 0.5), (tiers * 2, 1.0), (tiers * kinds, 3.0), (models, 2.0)))
        self._group = subjects.group[answers.request]
        self._of = subjects.take(answers.request)
        self._good = (answers.failed == 0) & (answers.text > 0)
        self._moments = self._length_moments()
        self._checks = self._observed(answers.failed, np.ones(len(answers), dtype=bool))
        said = answers.verdict >= 0
        self._verdicts = self._observed(1 - answers.verdict, said & (answers.failed == 0))
        self._sums = self._group_sums(sampled)
        self.looks = int(said.sum())

    def fit(self, left_out: int | None = None) -> "Figures":
        """Make figures of the record, or of all of it but a group."""
        parts = [group for group in range(GROUPS) if group != left_out]
        moments = self._moments[parts[0]]
        for group in parts[1:]:
            moments = moments + self._moments[group]
        lengths = ridge(self._lengths, moments)
        sums = {name: values[parts].sum(axis=0) for name, values in self._sums.items()}
        good = self._good & (self._group != left_out if left_out is not None else True)
        rows = self._of
        guessed = self._raw_lengths(lengths, rows, self.answers.model)
        count = len(self.names.models)
        actual = np.bincount(self.answers.model[good], self.answers.text[good], count)
        told = np.bincount(self.answers.model[good], guessed[good], count)
        mean = actual.sum() / max(good.sum(), 1)
        usual = (actual.sum() + 1e-9) / (told.sum() + 1e-9)
        smear = (actual + _PSEUDO_ANSWERS * mean) / (told + _PSEUDO_ANSWERS * mean / usual) if mean else np.ones(count)
        bad = (self.answers.failed > 0) & (self._group != left_out if left_out is not None else True)
        failing = (self.answers.text[bad].sum() + mean) / (
            (guessed * smear[self.answers.model])[bad].sum() + mean + 1e-9
        )
        return Figures(
            evidence=self,
            lengths=lengths,
            smear=smear,
            failing=float(failing),
            checks=self._share_of(self._checks, parts),
            verdicts=self._share_of(self._verdicts, parts),
            sums=sums,
        )

    def _raw_lengths(self, coefficients: Floats, of: Subjects, model: Ints) -> Floats:
        numbers, codes = self._length_terms(of, model)
        found: Floats = np.exp(np.clip(self._lengths.dot(coefficients, numbers, codes), 0, 14))
        return found

    def _length_terms(self, of: Subjects, model: Ints) -> tuple[Floats, Ints]:
        """Return what explains how long an answer is.

        How hard the request is, whoever answers: else a model would seem wordy that is only asked what is hard.
        """
        numbers = np.concatenate([np.ones((len(model), 1)), of.tokens[:, None], of.logits / MOST_LOGIT], axis=1)
        pairs = model * len(self.names.kinds) + of.kind
        bins = np.round(of.logits + MOST_LOGIT).astype(np.int64)
        return numbers, np.concatenate([np.stack([model, of.kind, pairs, of.feature], axis=1), bins], axis=1)

    def _length_moments(self) -> list[Moments]:
        numbers, codes = self._length_terms(self._of, self.answers.model)
        values = np.log(np.maximum(self.answers.text, 1.0))
        found = []
        for group in range(GROUPS):
            rows = self._good & (self._group == group)
            found.append(Moments.of(self._lengths.dense(numbers[rows], codes[rows]), values[rows]))
        return found

    def share_terms(self, of: Subjects, tier: Ints, escalated: Ints, model: Ints) -> tuple[Floats, Ints]:
        """Return what explains that an answer fails."""
        logits = of.logits[np.arange(len(tier)), tier]
        numbers = np.stack([np.ones(len(tier)), np.round(logits / _NEED_STEP) * _NEED_STEP], axis=1)
        codes = np.stack([tier, tier * 2 + escalated, tier * len(self.names.kinds) + of.kind, model], axis=1)
        return numbers, codes

    def _observed(self, hits: Floats, rows: Flags) -> "_Observed":
        """Count equal observations once, by group."""
        a = self.answers
        numbers, codes = self.share_terms(self._of, a.tier, a.escalated, a.model)
        keys = np.concatenate([np.round(numbers[:, 1:] / _NEED_STEP).astype(np.int64), codes], axis=1)[rows]
        if not len(keys):
            return _Observed(np.zeros((0, self._shares.size)), np.zeros((GROUPS, 0)), np.zeros((GROUPS, 0)))
        _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        which = which.reshape(-1)
        dense = self._shares.dense(numbers[rows][first], codes[rows][first])
        place = self._group[rows] * len(first) + which
        size = GROUPS * len(first)
        count = np.bincount(place, minlength=size).reshape(GROUPS, -1).astype(np.float64)
        return _Observed(dense, count, np.bincount(place, hits[rows], size).reshape(GROUPS, -1).astype(np.float64))

    def _share_of(self, observed: "_Observed", parts: Sequence[int]) -> Floats:
        count, hits = observed.count[parts].sum(axis=0), observed.hits[parts].sum(axis=0)
        # A row that says next to nothing fails: without any failure there would be no top to be found.
        prior = np.zeros((1, self._shares.size))
        prior[0, 0] = 1.0
        rows = np.concatenate([observed.rows, prior])
        return logistic(self._shares, rows, np.append(count, 2.0), np.append(hits, 0.1))

    def _group_sums(self, sampled: Floats) -> dict[str, Floats]:
        a, models = self.answers, len(self.names.models)

        def by(codes: Ints, size: int, values: Floats) -> Floats:
            place = self._group * size + codes
            return np.bincount(place, values, GROUPS * size).reshape(GROUPS, size).astype(np.float64)

        rough = np.expm1(self._of.tokens)
        # Only what came first: a prompt that was escalated has a note in it.
        first = (a.escalated == 0).astype(np.float64)
        found = {
            "input": by(a.model, models, a.input * first),
            "rough": by(a.model, models, rough * first),
            "output": by(a.model, models, a.output),
            "text": by(a.model, models, a.text),
            "all_input": by(a.model, models, a.input),
            "cached": by(a.model, models, a.cached),
            "written": by(a.model, models, a.written),
            "answers": by(a.model, models, np.ones(len(a))),
            "sampled": by(a.tier, self.tiers, sampled),
            "sample_looks": by(a.tier, self.tiers, sampled * a.looked),
        }
        # What a judge reads besides the question and the answer.
        found["judge_frame"] = by(a.tier, self.tiers, a.judge_input - a.looked * (a.input + a.output))
        for name in ("looked", "judge_output", "judge_ms"):
            found[name] = by(a.tier, self.tiers, getattr(a, name))
        return found

    @property
    def first_model(self) -> int:
        """Where the coefficients of models begin, among those of lengths."""
        return len(self._lengths.numbers)

    @property
    def share_layout(self) -> Layout:
        """Of the coefficients of shares."""
        return self._shares


@dataclass(frozen=True, slots=True)
class _Observed:
    rows: Floats
    count: Floats
    hits: Floats


@dataclass(frozen=True, slots=True)
class Figures:
    """What follows from the record.

    Attributes:
        evidence: What it was made of.
        lengths: Coefficients of the logarithm of an answer's tokens.
        smear: By model: what the mean of answers is to the exponential of the mean logarithm.
        failing: How long an answer that fails a check is, to one that passes.
        checks: Coefficients of the share that fails a free check.
        verdicts: The same of answers that passed them, in the eyes of judges and users.
        sums: By model or tier.
    """

    evidence: Evidence
    lengths: Floats
    smear: Floats
    failing: float
    checks: Floats
    verdicts: Floats
    sums: dict[str, Floats]
    wordiness: float = 0.0
    """How far it is believed that a model which gives longer texts to like questions does so to the same one. It need
    not: dearer tiers are asked what takes more words."""

    def text_tokens(self, of: Subjects, model: Ints) -> Floats:
        """Return how long the texts of models are expected to be, in tokens, of requests that have no text yet."""
        return self.evidence._raw_lengths(self.lengths, of, model) * self.smear[model]  # noqa: SLF001

    def longer(self, before: Ints, model: int) -> Floats:
        """Return how much longer a model's text is than that of others on the same question."""
        at = self.evidence.first_model
        effects = self.lengths[at : at + len(self.evidence.names.models)]
        found: Floats = np.exp(self.wordiness * (effects[model] - effects[before]))
        return found

    def reasoning(self, model: int) -> float:
        """Return how many tokens a model is billed for one of text."""
        text = float(self.sums["text"][model])
        return float(self.sums["output"][model]) / text if text else 1.0

    def failed_checks(self, of: Subjects, tier: Ints, escalated: Ints, model: Ints) -> Floats:
        """Return which share of answers fails a free check."""
        return self._share(self.checks, of, tier, escalated, model)

    def found_bad(self, of: Subjects, tier: Ints, escalated: Ints, model: Ints) -> Floats:
        """Return which share of answers that passed the checks is bad in the eyes of who looks."""
        return self._share(self.verdicts, of, tier, escalated, model)

    def _share(self, coefficients: Floats, of: Subjects, tier: Ints, escalated: Ints, model: Ints) -> Floats:
        numbers, codes = self.evidence.share_terms(of, tier, escalated, model)
        return expit(self.evidence.share_layout.dot(coefficients, numbers, codes))

    def input_ratio(self, model: int) -> float:
        """Return how many tokens a model counts for one of the rough estimate."""
        told, rough = self.sums["input"], self.sums["rough"]
        usual = (told.sum() + 1.0) / (rough.sum() + 1.0)
        pseudo = _PSEUDO_ANSWERS * (rough.sum() / max(self.sums["answers"].sum(), 1.0))
        return float((told[model] + pseudo * usual) / (rough[model] + pseudo)) if rough[model] + pseudo else 1.0

    def cached_share(self, model: int) -> tuple[float, float]:
        """Return the shares of the input that were read from a cache, and written to it."""
        whole = float(self.sums["all_input"][model])
        if not whole:
            return 0.0, 0.0
        return float(self.sums["cached"][model]) / whole, float(self.sums["written"][model]) / whole

    def sample_share(self, tier: int) -> float | None:
        """Return the share of a tier's answers that a judge saw for a sample; None where none was open to it."""
        open_to_it = float(self.sums["sampled"].sum())
        if not open_to_it:
            return None
        usual = float(self.sums["sample_looks"].sum()) / open_to_it
        looks = float(self.sums["sample_looks"][tier]) + _PSEUDO_LOOKS * usual
        return looks / (float(self.sums["sampled"][tier]) + _PSEUDO_LOOKS)

    def judge(self, name: str, tier: int) -> float | None:
        """Return the mean of looks at a tier's answers, such as of `judge_output`; None where nobody looked."""
        looks = float(self.sums["looked"].sum())
        if not looks:
            return None
        usual = float(self.sums[name].sum()) / looks
        own = float(self.sums[name][tier]) + _PSEUDO_LOOKS * usual
        return own / (float(self.sums["looked"][tier]) + _PSEUDO_LOOKS)

    @property
    def judges_quality(self) -> bool:
        """Whether enough answers were looked at to say what nobody looked at is like."""
        return self.evidence.looks >= _TOO_FEW_LOOKS
