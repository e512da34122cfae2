"""What `tierstream bench month` has done about models of the classifier: as the commands of an operator do it."""

import asyncio
from datetime import datetime
from typing import Final

from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.request_classifier.model import LEVELS
from tierstream.bench.month_report import TrainingRound
from tierstream.cli.learning_round import classifier_of, learn_once, roll_back_if_worse
from tierstream.cli.model_orders import dedup_window, model_record, read_state
from tierstream.cli.promotions import promote, propose, step
from tierstream.client.request_file import InputError
from tierstream.operations.model_versions import steps_now
from tierstream.training.candidate import model_file
from topics.learned import Promotion

_BY: Final = "operator"
_WHY: Final = "planted: thresholds far too high"
_TOO_HIGH: Final = 0.99
"""Hardly any request is as likely to need more than a tier."""
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

    async def plant(self, settings: Settings) -> str:
        """Activate by hand a model whose thresholds send nearly everything to the first tier."""
        model = RequestClassifier.shipped().with_thresholds((_TOO_HIGH,) * (LEVELS - 1))
        record = model_record(model_file(model), "the planted model", settings, note=_WHY, by=_BY)
        page = await _page(settings, record.version, model.version)
        await promote(settings, await propose(settings, record, page), _ACTIVATION_S, by=_BY, reason=_WHY)
        return page.version

    async def look_back(self, settings: Settings) -> Promotion | None:
        """Roll back what has turned out worse."""
        return await roll_back_if_worse(settings)


async def _page(settings: Settings, version: str, classifier: str) -> Promotion:
    """Return a page, without which nobody would look back at the model; it was neither trained nor measured."""
    state, now = await read_state(settings), utc_now()
    before = steps_now(state, now, dedup_window(settings))[-1].version
    return Promotion(
        version=version,
        classifier=classifier,
        before=before,
        before_classifier=(await classifier_of(settings, state, before)).version,
        period_since=now,
        period_until=now,
        labels=(),
        trained_on=0,
        held_back=0,
        missing=0,
        figures=(),
        steps=(step("proposed", _WHY, by=_BY),),
    )
