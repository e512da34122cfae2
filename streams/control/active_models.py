"""Takes the models that operators activate into memory before they take force, while the worker goes on working."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final, Literal

from aiokafka.errors import KafkaError

from streams.config.settings import Settings
from streams.control.control_state import ControlState
from streams.control.model_store import MissingModelError, ModelStore
from streams.control.rollout import CONFIGURED, Activation, Step, millis, needed, steps_of
from streams.kafka.clock import Clock
from streams.routing.classifier import Classifier
from streams.routing.classifier_loading import UnusableModelError, published_classifier, shipped_classifier
from streams.routing.versions import ClassifierVersions
from topics.control import ModelStatus

log = logging.getLogger(__name__)

_RETRY_S: Final = 5.0


class ActiveModels:
    """Keeps a worker's classifiers as the activations say.

    A model that can't be loaded changes nothing: the version before it goes on deciding.

    Args:
        versions: What the router decides by; its first version is the configured classifier.
        configured: That classifier.
        settings: How far back requests may be delivered again, and what the router makes of scores.
        store: Where published models are.
        clock: Current moment.
        worker: Name of this process.
        report: Told what became of each activation.
    """

    def __init__(
        self,
        versions: ClassifierVersions,
        configured: Classifier,
        *,
        settings: Settings,
        store: ModelStore,
        clock: Clock,
        worker: str,
        report: Callable[[ModelStatus], None],
    ) -> None:
        self._versions = versions
        self._loaded: dict[str, Classifier] = {CONFIGURED: configured}
        self._settings = settings
        self._store = store
        self._clock = clock
        self._worker = worker
        self._report = report
        self._done: Activation | None = None
        """The last activation all of whose versions are loaded."""

    async def follow(self, state: ControlState) -> None:
        """Load what the latest activation needs, and let it take force at its time.

        Called again with the same activation it tries again what is not loaded yet. While the broker can't be reached
        it waits.
        """
        activation = state.activation
        if activation is None or activation == self._done:
            return
        window = timedelta(seconds=self._settings.delivery.dedup_window_s)
        oldest_ms = millis(self._clock() - window)
        steps = needed(steps_of(activation), oldest_ms)
        problems = [(step, problem) for step in steps if (problem := await self._load(step, state)) is not None]
        self._take(steps)
        self._tell(activation, problems)

    async def _load(self, step: Step, state: ControlState) -> str | None:
        """Load a version unless it is; return what is wrong with it."""
        if step.version in self._loaded:
            return None
        try:
            self._loaded[step.version] = await self._classifier(step.version, state)
        except (MissingModelError, UnusableModelError) as error:
            return " ".join(str(error).split())
        return None

    async def _classifier(self, version: str, state: ControlState) -> Classifier:
        if version == "shipped":
            return await asyncio.to_thread(shipped_classifier, self._settings)
        place = state.models.get(version)
        if place is None:
            raise MissingModelError("it was never published, or deleted")
        while True:
            try:
                found = await self._store.fetch(place)
                break
            except KafkaError as error:
                log.warning("model %s could not be fetched, trying again in %g s: %r", version, _RETRY_S, error)
                await asyncio.sleep(_RETRY_S)
        # Reading takes some 50 ms, for which no request should have to wait.
        return await asyncio.to_thread(published_classifier, self._settings, found.file, f"model {version}")

    def _take(self, steps: tuple[Step, ...]) -> None:
        """Let the loaded versions decide, each from its time on, and forget those that are not needed.

        The oldest one takes the place of all that was there, so that every worker comes to the same.
        """
        for number, step in enumerate(steps):
            if step.version in self._loaded:
                self._versions.activate(self._loaded[step.version], step.since_ms if number else 0)
        kept = {CONFIGURED} | {step.version for step in steps}
        self._loaded = {version: one for version, one in self._loaded.items() if version in kept}

    def _tell(self, activation: Activation, problems: list[tuple[Step, str]]) -> None:
        latest = activation.latest
        for step, problem in problems:
            log.error("model %s can't be loaded, the one before it goes on deciding: %s", step.version, problem)
        if not problems:
            self._done = activation
        failed = [problem for step, problem in problems if step.version == latest.version]
        if failed:
            self._say(activation, "failed", failed[0])
            return
        name = self._loaded[latest.version].version
        log.info("model %s decides from %d on, as %s", latest.version, latest.since_ms, name)
        self._say(activation, "loaded", name)

    def _say(self, activation: Activation, state: Literal["loaded", "failed", "ignored"], detail: str) -> None:
        self._report(
            ModelStatus(
                worker=self._worker,
                version=activation.order.version,
                ordered_at=activation.order.at,
                state=state,
                detail=detail,
                at=self._clock(),
            )
        )
