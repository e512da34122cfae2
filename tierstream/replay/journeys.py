"""Where requests that go another way would go, tier by tier: what the record says of each step, else what is likely."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.config.settings import Settings
from streams.config.settings_sections import ModelSettings
from tierstream.replay.answers import Subjects
from tierstream.replay.decide import Replayed
from tierstream.replay.evidence import Evidence, Figures
from tierstream.replay.plan import Plan, TierPlan
from tierstream.replay.record import RecordedCall, Visit
from tierstream.replay.regression import Flags, Floats, Ints
from topics.requests import DataClass

_LOOK_FRAME, _LOOK_OUTPUT = 300.0, 60.0
"""Tokens of a judge besides question and answer, where the record has no look."""
_ENOUGH: Final = 30
_RARE: Final = 0.01
_TINY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Own:
    """What the record says of a request on a tier of the other policy, where it was there; nan: nothing."""

    usd: Floats
    failed: Floats
    looked: Floats
    verdict: Floats
    output: Floats
    ms: Floats


@dataclass(frozen=True, slots=True)
class Course:
    """What is expected of requests; a row each.

    Attributes:
        usd: What they cost.
        variance: Of that, for what chance does with each: whether it fails, and how long its answers are.
        first_fails: How likely the first answer is found bad.
        ends_badly: How likely no good answer is found.
        is_wrong: How likely a bad answer goes out that nobody looked at.
    """

    usd: Floats
    variance: Floats
    first_fails: Floats
    ends_badly: Floats
    is_wrong: Floats


@dataclass(frozen=True, slots=True)
class _Step:
    usd: Floats
    variance: Floats
    failed: Floats
    moves_on: Floats
    is_wrong: Floats


class Journeys:
    """Requests on their way through the tiers of another policy.

    Args:
        plan: What it changes.
        tiers: Of it.
        requests: Those that go another way.
        visits: What became of each.
        subjects: What is known of each.
        evidence: Of the whole record.
        tokenizers: Tokens of the same texts by tokenizer, for models that the record has nothing of.
    """

    def __init__(
        self,
        plan: Plan,
        tiers: Sequence[TierPlan],
        requests: Sequence[Replayed],
        visits: Sequence[Sequence[Visit]],
        subjects: Subjects,
        evidence: Evidence,
        tokenizers: dict[str, float],
    ) -> None:
        self._plan, self._tiers, self._subjects, self._evidence = plan, tiers, subjects, evidence
        self._tokenizers = tokenizers
        self._numbers = {name: number for number, name in enumerate(evidence.names.models)}
        decisions = [one.then.decision for one in requests]
        self.start = np.array([d.tier - 1 if d else -1 for d in decisions], dtype=np.int64)
        self._ceiling = np.array([d.ceiling - 1 if d else -2 for d in decisions], dtype=np.int64)
        self._validates = np.array([bool(d and d.validate_answer) for d in decisions], dtype=bool)
        before = [one.again.decision for one in requests]
        self._validated = np.array([bool(d and d.validate_answer) for d in before], dtype=bool)
        top = plan.base.validation.judge_top_tier
        # Below the ceiling a rule has a judge look, at the ceiling where the settings say so.
        self._had_ceiling = np.array([(d.ceiling if top else d.ceiling - 1) if d else 0 for d in before])
        self._first = np.array([one.models for one in requests], dtype=np.int64).reshape(len(requests), len(tiers))
        self._asked = [one.record.asked_ms for one in requests]
        self._middle_ms = self._asked[len(self._asked) // 2] if self._asked else 0
        self._rough = np.array([one.tokens for one in requests], dtype=np.float64)
        self._own = [self._own_of(number, tier, requests, visits) for number, tier in enumerate(tiers, 1)]
        self._before(visits)
        self._rates = {
            (k, place): self._rates_of(k, place) for k, tier in enumerate(tiers) for place in range(len(tier.models))
        }
        self._judge_rates = {
            (k, place): self._judges_of(model, [one.data_class for one in requests])
            for k, tier in enumerate(tiers)
            for place, model in enumerate(tier.models)
        }
        self.extrapolated = self._without_evidence() | np.array([_loses_its_rule(one) for one in requests], dtype=bool)

    def course(self, figures: Figures) -> Course:
        """Return what is expected by figures."""
        size = len(self.start)
        usd, variance, badly, wrong, first = (np.zeros(size) for _ in range(5))
        for k in reversed(range(len(self._tiers) if size else 0)):
            step = self._step(figures, k)
            is_here = (self.start <= k) & (k <= self._ceiling)
            is_last = k == self._ceiling
            p = step.moves_on
            # Two ways it may go on from here, each with what is still uncertain of it.
            above = np.where(is_last, 0.0, usd)
            variance = np.where(
                is_here, step.variance + p * (1 - p) * above**2 + np.where(is_last, 0.0, p * variance), variance
            )
            usd = np.where(is_here, step.usd + p * above, usd)
            badly = np.where(is_here, np.where(is_last, step.failed, p * badly), badly)
            wrong = np.where(is_here, step.is_wrong + np.where(is_last, 0.0, p * wrong), wrong)
            first = np.where(self.start == k, step.failed, first)
        refused = self.start < 0
        return Course(usd, variance, np.where(refused, 0.0, first), np.where(refused, 1.0, badly), wrong)

    def provider_ms(self, figures: Figures, rng: np.random.Generator) -> Floats:
        """Draw how long each would wait for providers, in milliseconds, chance included."""
        size = len(self.start)
        found, is_here = np.zeros(size), self.start >= 0
        for k, tier in enumerate(self._tiers if size else ()):
            active = is_here & (self.start <= k)
            step, model = self._step(figures, k), self._model(k, 0)
            drawn = self._speed(model, self._length(figures, np.full(size, model)) * figures.reasoning(model), rng)
            ms = np.where(np.isnan(self._own[k].ms), drawn, self._own[k].ms)
            looks = self._look_share(figures, k) * (figures.judge("judge_ms", tier.recorded - 1) or 0.0)
            found += np.where(active, ms + looks, 0.0)
            goes_on = (rng.random(size) < step.moves_on) & (k < self._ceiling)
            is_here &= (self.start > k) | goes_on
        return found

    def _step(self, figures: Figures, k: int) -> _Step:
        """Say what is expected of a tier, for all requests, whether they get there or not."""
        tier, own, size = self._tiers[k], self._own[k], len(self.start)
        r = np.full(size, tier.recorded - 1)
        escalated = (self.start < k).astype(np.int64)
        usd, variance, checks, bad, look_usd = (np.zeros(size) for _ in range(5))
        nobody = self._first[:, k] < 0
        for place in range(len(tier.models)):
            weight = np.where(self._first[:, k] == 0, tier.shares[place], self._first[:, k] == place)
            if not weight.any():
                continue
            model = np.full(size, self._model(k, place))
            fails = figures.failed_checks(self._subjects, r, escalated, model)
            cost, length, spread = self._price(figures, k, place, model, fails)
            length = np.where(np.isnan(own.output), length, own.output)
            usd += weight * cost
            look_usd += weight * self._look_usd(figures, k, place, length)
            variance += weight * spread
            checks += weight * fails
            bad += weight * figures.found_bad(self._subjects, r, escalated, model)
        is_known = ~np.isnan(own.usd)
        usd, variance = np.where(is_known, own.usd, usd), np.where(is_known, 0.0, variance)
        checks = np.where(is_known, own.failed, _on_other_tiers(checks, self._failed, tier.recorded))
        bad = np.where(own.verdict >= 0, 1 - own.verdict, _on_other_tiers(bad, self._bad, tier.recorded))
        looks = self._look_share(figures, k)
        seen = (1 - checks) * looks
        usd = usd + seen * look_usd
        failed = checks + seen * bad
        return _Step(
            usd=np.where(nobody, 0.0, usd),
            variance=np.where(nobody, 0.0, variance),
            failed=np.where(nobody, 0.0, failed),
            moves_on=np.where(nobody, 1.0, failed),
            is_wrong=np.where(nobody, 0.0, (1 - checks) * (1 - looks) * bad),
        )

    def _price(self, figures: Figures, k: int, place: int, model: Ints, fails: Floats) -> tuple[Floats, Floats, Floats]:
        """Return the cost of a call, the tokens of its answer, and the variance of the cost."""
        length = self._length(figures, model)
        length = length * (1 - fails) + length * figures.failing * fails
        ratio = figures.input_ratio(int(model[0])) * self._token_factor(k, place)
        known = self._first_model >= 0
        ratios = np.array([figures.input_ratio(number) for number in range(len(self._numbers))])
        counted = self._first_input * ratio / ratios[np.maximum(self._first_model, 0)]
        tokens = np.where(known, counted, self._rough * ratio)
        cached, written = figures.cached_share(int(model[0]))
        fresh_rate, output_rate, cached_rate, written_rate = self._rates[k, place]
        mixed = (1 - cached - written) * fresh_rate + cached * cached_rate + written * written_rate
        answer = length * figures.reasoning(int(model[0])) * output_rate / 1e6
        # Lengths of answers vary about as much as they are long.
        return tokens * mixed / 1e6 + answer, length, (0.5 * answer) ** 2

    def _length(self, figures: Figures, model: Ints) -> Floats:
        """Return how long a good text is expected to be: as the request's own was, else as those of its like."""
        usual = figures.text_tokens(self._subjects, model)
        own = self._good_text * figures.longer(np.maximum(self._good_model, 0), int(model[0]))
        return np.where(self._good_model >= 0, own, usual)

    def _look_share(self, figures: Figures, k: int) -> Floats:
        settings, tier = self._plan.then, self._tiers[k]
        if not settings.validation.chain:
            return np.zeros(len(self.start))
        must = self._validates & ((k < self._ceiling) | settings.validation.judge_top_tier)
        before, share = _sample_shares(figures, tier, self._plan.base, settings)
        own = self._own[k].looked
        # Samples are picked by the request: one that is larger has in it who was in the smaller one.
        again = np.where(own == 1, min(share / before, 1.0), max(share - before, 0.0) / (1 - before))
        was_open = ~np.isnan(own) & ~(self._validated & (tier.recorded <= self._had_ceiling))
        return np.where(must, 1.0, np.where(was_open, again, share))

    def _look_usd(self, figures: Figures, k: int, place: int, output: Floats) -> Floats:
        """Return what a look at answers of a model costs: of the judge who is asked first about them."""
        r, rates = self._tiers[k].recorded - 1, self._judge_rates[k, place]
        frame, answer = figures.judge("judge_frame", r), figures.judge("judge_output", r)
        told = self._first_or_rough + output + (_LOOK_FRAME if frame is None else frame)
        return (np.maximum(told, 0.0) * rates[0] + (_LOOK_OUTPUT if answer is None else answer) * rates[1]) / 1e6

    def _model(self, k: int, place: int) -> int:
        """Return the number of a model, or, where the record has none of its answers, of one that stands for it."""
        ref, answers = self._tiers[k].models[place].ref, self._evidence.answers
        number = self._numbers[ref]
        if np.any(answers.model == number) or not len(answers):
            return number
        near = np.abs(answers.tier - (self._tiers[k].recorded - 1))
        found = answers.model[near == near.min()]
        return int(np.bincount(found).argmax())

    def _token_factor(self, k: int, place: int) -> float:
        """Return how many more tokens a model counts than the one that stands for it."""
        model = self._tiers[k].models[place]
        stands = self._evidence.names.models[self._model(k, place)]
        if stands == model.ref:
            return 1.0
        known = {one.ref: one for settings in (self._plan.then,) for _, one in settings.models()}
        other = known.get(stands)
        if other is None:
            return 1.0
        mine, its = (self._tokenizers.get(self._plan.tokenizer(one), 0.0) for one in (model, other))
        return mine / its if mine and its else 1.0

    def _rates_of(self, k: int, place: int) -> tuple[Floats, Floats, Floats, Floats]:
        ref = self._tiers[k].models[place].ref
        rows = []
        for asked_ms, tokens in zip(self._asked, self._rough, strict=True):
            rates = self._plan.prices.rates(ref, asked_ms, int(tokens))
            if rates is None:
                rows.append((0.0, 0.0, 0.0, 0.0))
                continue
            written = rates.input if rates.cache_write is None else rates.cache_write
            rows.append((float(rates.input), float(rates.output), float(rates.cached), float(written)))
        columns = np.array(rows, dtype=np.float64).reshape(len(rows), 4).T
        return columns[0], columns[1], columns[2], columns[3]

    def _judges_of(self, model: ModelSettings, classes: Sequence[DataClass]) -> tuple[Floats, Floats]:
        rates = {one: self._plan.judge_rates(model, one, self._middle_ms) for one in DataClass}
        columns = np.array([rates[one] for one in classes], dtype=np.float64).reshape(len(classes), 2).T
        return columns[0], columns[1]

    def _own_of(
        self, number: int, tier: TierPlan, requests: Sequence[Replayed], visits: Sequence[Sequence[Visit]]
    ) -> Own:
        refs = {model.ref for model in tier.models}
        rows = []
        for one, found in zip(requests, visits, strict=True):
            visit = next((visit for visit in found if visit.tier == tier.recorded), None)
            if visit is None or visit.answer is None or visit.answer.ref not in refs:
                rows.append((np.nan,) * 6)
                continue
            asked = [call for call in visit.spent if call.purpose == "infer"]
            usd = sum(self._plan.cost(call, one.record.asked_ms) for call in asked)
            if one.then.tier == number:
                usd -= self._note_usd(visit.answer, found, one.record.asked_ms)
            verdict = np.nan if visit.verdict is None else float(visit.verdict)
            ms = sum(call.provider_ms for call in asked)
            looked = float(any(call.purpose == "judge" for call in visit.spent))
            rows.append((usd, float(visit.failed_check), looked, verdict, float(visit.answer.text), ms))
        return Own(*np.array(rows, dtype=np.float64).reshape(len(rows), 6).T)

    def _note_usd(self, answer: RecordedCall, visits: Sequence[Visit], asked_ms: int) -> float:
        """Return what an escalated prompt cost for the note in it: a request that starts there has none."""
        first = next(visit.answer for visit in visits if visit.answer is not None)
        rates = self._plan.prices.rates(answer.ref, asked_ms, answer.input, batch=answer.in_batch)
        longer = answer.input - first.input if first.attempt != answer.attempt else 0
        return max(longer, 0) * float(rates.input) / 1e6 if rates is not None else 0.0

    def _before(self, visits: Sequence[Sequence[Visit]]) -> None:
        """Note the first answer of each request, which tells the length of its prompt, and its last good one."""
        first, good = [], []
        for found in visits:
            answered = [visit for visit in found if visit.answer is not None]
            passed = [visit for visit in answered if not visit.failed]
            first.append(_noted(answered[0]) if answered else None)
            good.append(_noted(passed[-1]) if passed else None)
        self._failed = _by_tier(visits, self._evidence.tiers, lambda visit: visit.failed_check)
        self._bad = _by_tier(visits, self._evidence.tiers, _was_bad)
        numbers = self._numbers
        self._first_model = np.array([numbers[one[0]] if one else -1 for one in first], dtype=np.int64)
        self._first_input = np.array([one[1] if one else 0.0 for one in first])
        self._first_or_rough = np.where(self._first_model >= 0, self._first_input, self._rough)
        self._good_model = np.array([numbers[one[0]] if one else -1 for one in good], dtype=np.int64)
        self._good_text = np.array([one[2] if one else 0.0 for one in good])

    def _without_evidence(self) -> Flags:
        """Find the requests whose like was hardly ever answered by the model that they would start with."""
        answers, found = self._evidence.answers, np.zeros(len(self.start), dtype=bool)
        kinds = self._evidence.subjects.kind[answers.request]
        logits = self._evidence.subjects.logits[answers.request]
        for k, tier in enumerate(self._tiers):
            r = tier.recorded - 1
            on_tier = (answers.tier == r) & (answers.model == self._numbers[tier.models[0].ref])
            count = np.bincount(kinds[on_tier], minlength=len(self._evidence.names.kinds))
            few = count[self._subjects.kind] < _ENOUGH
            if on_tier.any():
                low, high = np.quantile(logits[on_tier, r], (_RARE, 1 - _RARE))
                few |= (self._subjects.logits[:, r] < low) | (self._subjects.logits[:, r] > high)
            found |= (self.start == k) & few & np.isnan(self._own[k].usd)
        return found

    def _speed(self, model: int, output: Floats, rng: np.random.Generator) -> Floats:
        """Draw how long a model takes for answers of some length."""
        answers = self._evidence.answers
        rows = (answers.model == model) & ~np.isnan(answers.ms)
        ms, tokens = answers.ms[rows], answers.output[rows]
        if not len(ms):
            return np.zeros(len(output))
        slope = float(np.cov(tokens, ms)[0, 1] / max(tokens.var(), 1e-9)) if len(ms) > _ENOUGH else 0.0
        slope = max(slope, 0.0)
        base = max(float(ms.mean() - slope * tokens.mean()), 0.0)
        ratios = ms / np.maximum(base + slope * tokens, 1e-9)
        return (base + slope * output) * rng.choice(ratios, len(output))


def _loses_its_rule(one: Replayed) -> bool:
    """Whether a rule held a request up that no longer does: the record has its like on the higher tier alone."""
    decision = one.then.decision
    return decision is not None and decision.tier < one.was.tier and one.was.rule not in {"", decision.rule}


def _on_other_tiers(likely: Floats, found: Floats, recorded: int) -> Floats:
    """Say how likely answers are bad, where the same request is known to be answered well or badly elsewhere.

    What a weaker tier answers well a stronger one does too, and what fails on a stronger one fails on a weaker one.

    Args:
        likely: Where nothing is known.
        found: (requests, recorded tiers) 1 for bad, 0 for good, nan where there is no answer.
        recorded: The tier.
    """
    fails_above = (found[:, recorded:] == 1).any(axis=1)
    passes_below = (found[:, : recorded - 1] == 0).any(axis=1)
    return np.where(fails_above, 1.0, np.where(passes_below, 0.0, likely))


def _by_tier(visits: Sequence[Sequence[Visit]], tiers: int, is_bad: Callable[[Visit], bool | None]) -> Floats:
    """Return (requests, tiers) 1 for a bad answer, 0 for a good one, nan where nothing is known."""
    found = np.full((len(visits), tiers), np.nan)
    for row, own in enumerate(visits):
        for visit in own:
            if visit.answer is not None and (bad := is_bad(visit)) is not None:
                found[row, visit.tier - 1] = float(bad)
    return found


def _was_bad(visit: Visit) -> bool | None:
    return None if visit.verdict is None else not visit.verdict


def _noted(visit: Visit) -> tuple[str, float, float]:
    if visit.answer is None:
        raise ValueError("nobody answered")
    return visit.answer.ref, float(visit.answer.input), float(visit.answer.text)


def _sample_shares(figures: Figures, tier: TierPlan, base: Settings, then: Settings) -> tuple[float, float]:
    """Return the share of a tier's answers that judges saw for a sample, and what it would be; neither is 0 or 1."""
    before, after = base.validation.sample_rate, then.validation.sample_rate
    recorded = figures.sample_share(tier.recorded - 1)
    share = after if not before or recorded is None else recorded * after / before
    old, new = (min(max(one, _TINY), 1 - _TINY) for one in (recorded or 0.0, share))
    return old, new
