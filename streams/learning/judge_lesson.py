"""How often judges look at whose answers, learned from what they found."""

from collections.abc import Sequence
from datetime import datetime

from streams.learning.evidence import ref_of, tried
from streams.learning.judge_sampling import JudgeSampling, SamplingBounds
from streams.learning.lesson import Lesson
from topics.base import Record
from topics.learned import JudgeRates
from topics.results import Result
from topics.tasks import JUDGES


class JudgeLesson(Lesson):
    """Feeds the sampling, and publishes its rates where they have changed."""

    def __init__(self, bounds: SamplingBounds) -> None:
        self._sampling = JudgeSampling(bounds)
        self._said: JudgeRates | None = None
        self._is_new = False

    def on_result(self, result: Result) -> None:
        """Take in the answers of a request, and the verdicts on them."""
        kind = result.query_type or ""
        for call in tried(result.route):
            if not call.is_answer:
                continue
            cell = (call.attempt.tier, ref_of(call.attempt), kind)
            self._sampling.observe_answer(*cell, call.attempt.cost_usd)
            self._is_new = True
            for judged in call.judged:
                if call.verdict is not None:
                    critical = judged.why == JUDGES
                    self._sampling.observe_verdict(*cell, call.verdict == 0, judged.cost_usd, critical=critical)

    def conclusions(self, now: datetime) -> Sequence[Record]:
        """Return the rates, where they differ from those that were published last."""
        if not self._is_new:
            return ()
        self._is_new = False
        rates = self._sampling.rates(now)
        if self._said is not None and rates.model_copy(update={"at": self._said.at}) == self._said:
            return ()
        self._said = rates
        return (rates,)
