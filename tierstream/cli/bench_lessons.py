"""What `tierstream bench month` has done about models of the classifier: as the commands of an operator do it."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from streams.learning.tier_targets import BoundaryTarget
from tierstream.bench.month_report import TrainingRound
from tierstream.cli.learning_round import classifier_of, learn_once, roll_back_if_worse
from tierstream.cli.model_orders import dedup_window, model_record, read_state
from tierstream.cli.promotions import promote, propose, step
from tierstream.client.request_file import InputError
from tierstream.operations.model_versions import steps_now
from tierstream.training import TrainingError
from tierstream.training.candidate import base_model, model_file
from tierstream.training.fit_requests import add_traffic
from tierstream.training.own_traffic import LabelledTraffic, OwnTraffic, read_own_traffic
from topics.learned import Promotion

_BY: Final = "operator"
_WHY: Final = "planted: it learned the opposite of its labels"
_ACTIVATION_S: Final = 2.0


class OperatorLessons:
    """Trains, plants and looks back."""

    async def train(self, settings: Settings, since: datetime, after_day: int) -> TrainingRound:
        """Run a round of learning; one with too little to learn from is an outcome too."""
        try:
            page = (await asyncio.to_thread(learn_once, settings, since)).page
        except InputError as error:
            return TrainingRound(after_day=after_day, state="not trained", reason=str(error))
        return TrainingRound(
            after_day=after_day,
            version=page.version,
            state=page.state,
            reason=page.steps[-1].reason,
            labels={one.source: one.labels for one in page.labels},
            held_back=page.held_back,
            moved=page.moved,
            untested=page.untested,
        )

    async def plant(self, settings: Settings, since: datetime) -> str | None:
        """Activate a model by hand that learned the opposite; None where there is too little to learn from."""
        traffic = await read_own_traffic(settings, since, utc_now())
        try:
            file, classifier = await asyncio.to_thread(_bad_model, settings, traffic.requests)
        except TrainingError:
            return None
        record = model_record(file, "the planted model", settings, note=_WHY, by=_BY)
        page = await _page(settings, record.version, classifier, traffic)
        await promote(settings, await propose(settings, record, page), _ACTIVATION_S, by=_BY, reason=_WHY)
        return page.version

    async def look_back(self, settings: Settings) -> Promotion | None:
        """Roll back what has turned out worse."""
        return await roll_back_if_worse(settings)


def _bad_model(settings: Settings, traffic: Sequence[LabelledTraffic]) -> tuple[bytes, str]:
    """Train on the opposite of labels; return the model's file, and its name in decisions."""
    opposite = [tuple(BoundaryTarget(enough=one.more, more=one.enough) for one in of.targets) for of in traffic]
    model = add_traffic([one.request for one in traffic], opposite, base_model(settings))
    return model_file(model), model.version


async def _page(settings: Settings, version: str, classifier: str, traffic: OwnTraffic) -> Promotion:
    """Return a page, without which nobody would look back at the model; it was not measured."""
    state = await read_state(settings)
    before = steps_now(state, utc_now(), dedup_window(settings))[-1].version
    return Promotion(
        version=version,
        classifier=classifier,
        before=before,
        before_classifier=(await classifier_of(settings, state, before)).version,
        period_since=traffic.since,
        period_until=traffic.until,
        labels=traffic.labels,
        trained_on=len(traffic.requests),
        held_back=0,
        missing=traffic.missing,
        figures=(),
        steps=(step("proposed", _WHY, by=_BY),),
    )
