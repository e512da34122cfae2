"""One round of learning from own traffic, and the look whether a promoted model has turned out worse."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from analytics.clickhouse import open_client
from analytics.ledger_window import LedgerWindow
from streams.config.settings import Settings
from streams.control.control_state import ControlState
from streams.control.model_store import MissingModelError, ModelStore
from streams.kafka.admin import cluster_id
from streams.kafka.clock import utc_now
from streams.learning.failure_shares import Cell, Worsening, worsening
from streams.routing.classifier import Classifier
from streams.routing.classifier_loading import (
    UnusableModelError,
    configured_classifier,
    published_classifier,
    shipped_classifier,
)
from tierstream.cli.model_orders import dedup_window, model_record, read_state
from tierstream.cli.promotions import LEARN, keep_page, promote_now, propose, roll_back_promotion, step
from tierstream.client.request_file import InputError
from tierstream.operations.model_versions import steps_now
from tierstream.training import TrainingError
from tierstream.training.candidate import Measured, measure, model_file, train_candidate
from tierstream.training.own_traffic import OwnTraffic, read_own_traffic
from topics.base import from_millis
from topics.control import ModelFile, ModelVersion
from topics.learned import Promotion, PromotionFigure

Progress = Callable[[float], None]

_READING: Final = 0.2
"""Share of a round that is reading."""


@dataclass(frozen=True, slots=True)
class Round:
    """What came of a round.

    Attributes:
        page: Of the candidate, its state the last of its steps.
        is_kept: Whether `llm.control` has it; not where nothing is to be published.
    """

    page: Promotion
    is_kept: bool


def learn_once(settings: Settings, since: datetime | None = None, on_progress: Progress = lambda _: None) -> Round:
    """Train a candidate on labels, measure it on what was held back, and promote, propose or refuse it.

    Nothing is published before the end. An interrupt in between leaves nothing behind.

    Args:
        settings: Of the deployment.
        since: From when on labels count; None: `learning.period_s` ago.
        on_progress: Called with the share that is done.

    Raises:
        InputError: There is too little to learn from, or the settings have other tiers than the model.
        SettingsError: The configured model can't be used.
        ClickHouseUnavailable: ClickHouse can't be used.
        aiokafka.errors.KafkaError: The broker can't be reached.
    """
    traffic, version, active = asyncio.run(_found(settings, since, lambda done: on_progress(done * _READING)))
    train, held = traffic.split(settings.learning.held_share)
    try:
        candidate = train_candidate(settings, train, lambda done: on_progress(_READING + (0.95 - _READING) * done))
    except TrainingError as error:
        raise InputError(f"labels since {traffic.since:%Y-%m-%d %H:%M}: {error}{_hint(traffic)}") from None
    measured = measure(settings, held, candidate, active)
    note = f"own traffic since {traffic.since:%Y-%m-%d}"
    record = model_record(model_file(candidate), "the candidate", settings, note=note, by=LEARN)
    page = _page(record, traffic, len(train), version, active, measured)
    on_progress(1.0)
    return asyncio.run(_publish(settings, record, page, measured))


async def look_back(settings: Settings) -> tuple[Promotion, Worsening | None] | None:
    """Return the promotion that is in force, and whether answers fail more often since; None: none is in force."""
    state = await read_state(settings)
    now = utc_now()
    steps = steps_now(state, now, dedup_window(settings))
    page = state.promotions.get(steps[-1].version)
    since = from_millis(steps[-1].since_ms)
    if page is None or page.state != "promoted" or len(steps) == 1 or since > now:
        return None
    before = (await classifier_of(settings, state, steps[-2].version)).version
    period = timedelta(seconds=settings.learning.period_s)
    found = worsening(
        await _failures(settings, before, since - period, now),
        await _failures(settings, page.classifier, since, now),
        settings.learning.worse_by,
    )
    return page, found


async def roll_back_if_worse(settings: Settings) -> Promotion | None:
    """Roll back what was promoted and has turned out worse; return its page, or None where nothing was done."""
    found = await look_back(settings)
    if found is None or found[1] is None:
        return None
    page, worse = found
    done = await roll_back_promotion(settings, page, str(worse))
    return done[1] if done is not None else None


async def classifier_of(settings: Settings, state: ControlState, version: str) -> Classifier:
    """Load a version as a worker does.

    Raises:
        InputError: It can't be loaded.
    """
    if version == "configured":
        return configured_classifier(settings)
    if version == "shipped":
        return shipped_classifier(settings)
    place = state.models.get(version)
    if place is None:
        raise InputError(f"model {version}, which decides, was deleted: publish it again")
    try:
        record = await ModelStore(settings.kafka).fetch(place)
        return published_classifier(settings, record.file, f"model {version}")
    except (MissingModelError, UnusableModelError) as error:
        raise InputError(f"model {version}, which decides: {error}") from None


async def _found(
    settings: Settings, since: datetime | None, on_progress: Progress
) -> tuple[OwnTraffic, ModelVersion, Classifier]:
    until = utc_now()
    since = since or until - timedelta(seconds=settings.learning.period_s)
    state = await read_state(settings)
    version = steps_now(state, utc_now(), dedup_window(settings))[-1].version
    active = await classifier_of(settings, state, version)
    return await read_own_traffic(settings, since, until, on_progress), version, active


async def _publish(settings: Settings, record: ModelFile, page: Promotion, measured: Measured) -> Round:
    state = await read_state(settings)
    known = state.promotions.get(page.version)
    if known is not None:
        # The same labels have made the same model, of which it was decided what becomes of it.
        return Round(known, is_kept=True)
    if settings.learning.promote == "off":
        return Round(page, is_kept=False)
    if not measured.is_better:
        await keep_page(settings, page)
        return Round(page, is_kept=True)
    proposed = await propose(settings, record, page)
    if settings.learning.promote == "auto":
        proposed = await promote_now(settings, proposed, measured.reason)
    return Round(proposed, is_kept=True)


async def _failures(settings: Settings, classifier: str, since: datetime, until: datetime) -> list[Cell]:
    cluster = await cluster_id(settings.kafka)
    async with open_client(settings.clickhouse.url or "") as client:
        window = LedgerWindow(client, settings.clickhouse.database, since, until)
        rows = await window.rows("learning_failures", cluster=cluster, classifier=classifier)
    names = ("decided", "failed", "judged", "refuted", "complaints")
    return [Cell(**{name: row[name] for name in names}) for row in rows]


def _page(
    record: ModelFile, traffic: OwnTraffic, trained_on: int, version: ModelVersion, active: Classifier, found: Measured
) -> Promotion:
    compared = found.comparison
    usd, low, high = compared.usd, compared.low, compared.high
    return Promotion(
        version=record.version,
        classifier=record.classifier,
        before=version,
        before_classifier=active.version,
        period_since=traffic.since,
        period_until=traffic.until,
        labels=traffic.labels,
        trained_on=trained_on,
        held_back=compared.requests,
        missing=traffic.missing,
        moved=compared.moved,
        untested=compared.untested,
        figures=(
            PromotionFigure(name="expected_usd_per_1000", candidate=usd[0], active=usd[1], low=low, high=high),
            PromotionFigure(name="too_low_share", candidate=compared.too_low[0], active=compared.too_low[1]),
            PromotionFigure(name="too_high_share", candidate=compared.too_high[0], active=compared.too_high[1]),
        ),
        steps=(step("proposed" if found.is_better else "refused", found.reason),),
    )


def _hint(traffic: OwnTraffic) -> str:
    """Say why labels that there are were of no use."""
    told = []
    if traffic.missing:
        told.append(f"{traffic.missing} requests with labels are past the retention of Kafka, or can't be read")
    if traffic.of_other_models:
        told.append(f"{traffic.of_other_models} labels are about models that their tier no longer has")
    return f" ({', '.join(told)})" if told else ""
