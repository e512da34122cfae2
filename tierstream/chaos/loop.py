"""The loop under faults: judges that sample, a shadow and a canary, and how much of it the results of a run show."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.config.settings import Settings
from streams.config.settings_candidates import CanarySettings, ShadowSettings
from streams.learning.canary import canary_of
from tierstream.demo.corpus import script_entries
from topics.results import Result, ResultStatus

_TIER: Final = 1
"""Whose requests meet the candidates: most requests start there."""
_SHADOW_SHARE: Final = 0.2
_SHADOW_USD_PER_DAY: Final = "100"
"""Little enough that some comparisons are unaffordable."""
_CANARY_SHARE: Final = 0.1
_SAMPLE_RATE: Final = 0.2
_DIFFERS_EACH: Final = 3


def loop_variables(settings: Settings) -> dict[str, str]:
    """Choose what of the loop the settings leave out, as environment variables for all processes of a stack.

    The candidates are models of the second tier, so that every deployment can call them; a critical answer without a
    judge rests, and the next tier sees the answer that was not good enough.
    """
    variables = {}
    candidates = [model for model in settings.tiers[_TIER].models if model not in settings.tiers[_TIER - 1].models]
    chain = settings.validation.chain
    if not settings.validation.sample_rate and chain:
        variables["TIERSTREAM_VALIDATION__SAMPLE_RATE"] = str(_SAMPLE_RATE)
        variables["TIERSTREAM_VALIDATION__WITHOUT_JUDGE"] = "park"
        variables["TIERSTREAM_ESCALATION__CONTEXT"] = "answer"
    if not settings.shadow and candidates and any(judge.model != candidates[0].model for judge in chain):
        shadow = ShadowSettings(
            name="chaos", tier=_TIER, model=candidates[0], share=_SHADOW_SHARE, budget_usd_per_day=_SHADOW_USD_PER_DAY
        )
        variables["TIERSTREAM_SHADOW"] = _json(shadow)
    if not settings.canary and candidates:
        canary = CanarySettings(name="chaos", tier=_TIER, model=candidates[-1], share=_CANARY_SHARE)
        variables["TIERSTREAM_CANARY"] = _json(canary)
    return variables


def loop_script(settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield the corpus as the simulator's script; to some prompts the shadows' candidates answer something else.

    Most answers of strong models are the same text, and of such a comparison no judge has to be asked.
    """
    candidates = {shadow.model.model for shadow in settings.shadow}
    for number, entry in enumerate(script_entries()):
        differs = candidates and number % _DIFFERS_EACH == 0
        answers = {"answers": dict.fromkeys(candidates, f"{entry['answer']} Anything else?")} if differs else {}
        yield {**entry, **answers}


def _json(section: ShadowSettings | CanarySettings) -> str:
    return json.dumps([section.model_dump(mode="json", exclude_unset=True)])


@dataclass
class LoopReport:
    """How many results of a run have met which part of the loop."""

    met: Counter[str] = field(default_factory=Counter)

    def note(self, result: Result) -> None:
        """Take note of a result."""
        whys = [line.why for line in result.route]
        parts: Mapping[str, bool] = {
            "judged": any(line.stage == "validate" for line in result.route),
            "escalated": any("escalated from" in why for why in whys),
            "canary": any(canary_of(why) is not None for why in whys),
            "degraded": result.status is ResultStatus.DEGRADED,
        }
        self.met.update(part for part, has_met in parts.items() if has_met)

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        return {part: self.met[part] for part in ("judged", "escalated", "canary", "degraded")}
