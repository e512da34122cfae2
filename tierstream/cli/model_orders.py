"""Orders about models of the classifier, as commands give them: publishing, activating, deleting."""

import base64
from datetime import timedelta
from typing import Final

import typer

from streams.config.settings import Settings
from streams.control.control_follower import read_control
from streams.control.control_state import ControlState
from streams.control.model_store import MissingModelError, ModelStore
from streams.control.rollout import Activation, Step, next_order, steps_of
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from streams.routing.classifier_loading import UnusableModelError, published_model
from tierstream.client.request_file import InputError
from tierstream.operations.model_versions import BUILT_IN, model_reports, steps_now, worker_models
from topics.base import from_millis
from topics.codec import encode
from topics.control import MODEL_MAX_BYTES, ModelFile, model_key, version_of
from topics.registry import CONTROL

_RECORD_OVERHEAD: Final = 1024
"""Of key, headers and batch around a value, bytes."""


def dedup_window(settings: Settings) -> timedelta:
    """Return how far back requests may be delivered again."""
    return timedelta(seconds=settings.delivery.dedup_window_s)


def model_record(file: bytes, name: str, settings: Settings, *, note: str | None, by: str) -> ModelFile:
    """Check a model file and make the record that publishes it.

    Args:
        file: Its bytes.
        name: What errors call it.
        settings: How large a record may be.
        note: Shown in the list.
        by: Who publishes it.

    Raises:
        InputError: It is none, or too large.
    """
    if len(file) > MODEL_MAX_BYTES:
        raise InputError(f"{name}: a model file has at most {MODEL_MAX_BYTES / 1e6:g} MB: train on fewer outcomes")
    try:
        model = published_model(file, name)
    except UnusableModelError as error:
        raise InputError(str(error)) from None
    record = ModelFile(
        version=version_of(file),
        file=base64.b64encode(file),
        classifier=model.version,
        outcomes=model.examples,
        note=note,
        by=by,
        at=utc_now(),
    )
    size = len(encode(record).value) + _RECORD_OVERHEAD
    if size > settings.kafka.record_max_bytes:
        raise InputError(
            f"{name}: its record has {size} bytes, more than kafka.record_max_bytes = {settings.kafka.record_max_bytes}"
        )
    return record


async def publish_model(settings: Settings, record: ModelFile) -> None:
    """Give a model file to all workers."""
    await require_topics(settings.kafka)
    async with Publisher(settings.kafka) as publisher:
        await publisher.publish([Output(CONTROL, record)])


async def read_state(settings: Settings) -> ControlState:
    """Read what `llm.control` says now."""
    await require_topics(settings.kafka)
    return await read_control(settings.kafka)


async def activate_model(settings: Settings, state: ControlState, version: str, after: float, *, by: str) -> Step:
    """Order a version, unless that would change nothing, and return from when on it decides.

    Args:
        settings: Of the deployment.
        state: What the topic says.
        version: To activate.
        after: Seconds until it takes force.
        by: Who orders it.

    Raises:
        InputError: It can't be loaded.
        typer.BadParameter: There is none.
    """
    await _require_usable(settings, state, version)
    now = utc_now()
    steps = steps_now(state, now, dedup_window(settings))
    delay = timedelta(seconds=after)
    if steps[-1].version == version and from_millis(steps[-1].since_ms) <= now + delay:
        return steps[-1]
    order = next_order(steps, version, delay, by=by, at=now)
    async with Publisher(settings.kafka) as publisher:
        [delivered] = await publisher.publish([Output(CONTROL, order)])
        # A process that never spoke of the order before this one has ended without taking its word back.
        gone = [worker.status.partition_key for worker in worker_models(state) if not worker.is_current]
        await publisher.withdraw(CONTROL, *gone)
    return steps_of(Activation(order, delivered.timestamp_ms))[-1]


async def roll_back_model(settings: Settings, after: float, *, by: str) -> Step:
    """Order the version before the one that was ordered last.

    Raises:
        InputError: There is none.
    """
    state = await read_state(settings)
    steps = steps_now(state, utc_now(), dedup_window(settings))
    if len(steps) == 1:
        raise InputError(f"{steps[0].version} has no version before it to go back to: `tierstream models activate …`")
    return await activate_model(settings, state, steps[-2].version, after, by=by)


async def delete_model(settings: Settings, version: str) -> None:
    """Take a published file back.

    Raises:
        InputError: Requests are, will be or may again be decided by it.
        typer.BadParameter: There is none.
    """
    state = await read_state(settings)
    if version not in state.models:
        raise unknown_version(state, version)
    for report in model_reports(state, (), utc_now(), dedup_window(settings)):
        if report.version == version and report.role is not None:
            raise InputError(
                f"{version} is {report.role}: requests are, will be or may again be decided by it; "
                "activate others first, and wait delivery.dedup_window_s where it is recent"
            )
    async with Publisher(settings.kafka) as publisher:
        await publisher.withdraw(CONTROL, model_key(version))


def unknown_version(state: ControlState, version: str) -> typer.BadParameter:
    """Say that there is no such version, and which ones there are."""
    known = ", ".join(sorted(state.models)) or "none: publish one with `tierstream models publish FILE`"
    return typer.BadParameter(f"there is no published model {version!r}: there are {known}", param_hint="VERSION")


async def _require_usable(settings: Settings, state: ControlState, version: str) -> None:
    """Check that this version of the program, and so probably the workers, can load the model."""
    if version in BUILT_IN:
        return
    place = state.models.get(version)
    if place is None:
        raise unknown_version(state, version)
    try:
        record = await ModelStore(settings.kafka).fetch(place)
        published_model(record.file, f"model {version}")
    except MissingModelError as error:
        raise InputError(f"model {version}: {error}: publish it again") from None
    except UnusableModelError as error:
        raise InputError(str(error)) from None
