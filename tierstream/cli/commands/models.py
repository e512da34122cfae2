"""`tierstream models`: versions of the classifier's model, which workers take over while they run."""

import asyncio
import base64
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

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
from tierstream.cli.connection import load_with_kafka, operator_name
from tierstream.cli.errors import show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.models import show_activation, show_models, show_workers
from tierstream.cli.render.results import show_json
from tierstream.client.request_file import InputError
from tierstream.operations.model_versions import BUILT_IN, PublishedModel, model_reports, steps_now, worker_models
from topics.base import MAX_ID_LENGTH, from_millis
from topics.codec import encode
from topics.control import MODEL_MAX_BYTES, ModelFile, model_key, version_of
from topics.registry import CONTROL

_RECORD_OVERHEAD: Final = 1024
"""Of key, headers and batch around a value, bytes."""

Version = Annotated[str, typer.Argument(help="As the list shows it; also `shipped` and `configured`.")]
After = Annotated[
    float,
    typer.Option("--in", min=0, max=86_400, metavar="SECONDS", help="When it takes force; workers load it meanwhile."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=examples("tierstream models list", "tierstream models list --json"))(show_list)
    group.command(
        epilog=examples(
            "tierstream models publish model.npz --note 'March outcomes'",
            "tierstream models publish model.npz --activate --in 30",
        )
    )(publish)
    group.command(
        epilog=examples("tierstream models activate 3f9a12c04b7d", "tierstream models activate shipped --in 60")
    )(activate)
    group.command(epilog=examples("tierstream models rollback"))(rollback)
    group.command(epilog=examples("tierstream models show", "tierstream models show --json"))(show)
    group.command(epilog=examples("tierstream models delete 3f9a12c04b7d"))(delete)
    app.add_typer(group, name="models")


def show_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every version: its size, what it was trained on, and which one is in force since when."""
    settings = load_with_kafka(ctx)
    state, published = asyncio.run(_read_all(settings))
    reports = model_reports(state, published, utc_now(), _window(settings))
    if as_json:
        show_json({"models": [report.as_json() for report in reports]})
    else:
        show_models(reports)


def publish(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model file of `tierstream train`.")],
    note: Annotated[str | None, typer.Option(metavar="TEXT", help="Shown in the list.")] = None,
    activate: Annotated[bool, typer.Option("--activate", help="Also let it take force.")] = False,
    after: After = 5.0,
    as_json: AsJson = False,
) -> None:
    """Give a model file to all workers, on any host; it decides nothing until it is activated.

    Its version is the beginning of the SHA-256 of the file. Publishing a file again changes nothing but the note.
    """
    settings = load_with_kafka(ctx)
    record = _record_of(file, note, settings)
    asyncio.run(_publish(settings, record))
    published = PublishedModel.of(record)
    step = asyncio.run(_activate(settings, record.version, after)) if activate else None
    if as_json:
        show_json(
            {
                "version": published.version,
                "classifier": published.classifier,
                "bytes": published.size,
                "outcomes": published.outcomes,
                "active_since": from_millis(step.since_ms).isoformat() if step else None,
            }
        )
        return
    typer.echo(
        f"{file}: published as {published.version}, {published.outcomes} outcomes, {published.size / 1e6:.1f} MB"
    )
    if step is not None:
        show_activation(step, utc_now())
    else:
        typer.echo(f"It decides nothing yet: `tierstream models activate {published.version}`")


def activate(ctx: typer.Context, version: Version, after: After = 5.0, as_json: AsJson = False) -> None:
    """Let a version decide all requests that the broker takes from a moment on; no worker restarts.

    A worker that can't load it logs an error and stays with the version before; `tierstream models show` names it.
    """
    settings = load_with_kafka(ctx)
    _say(asyncio.run(_activate(settings, version, after)), as_json=as_json)


def rollback(ctx: typer.Context, after: After = 5.0, as_json: AsJson = False) -> None:
    """Go back to the version before the one that was activated last; twice undoes it."""
    settings = load_with_kafka(ctx)
    _say(asyncio.run(_roll_back(settings, after)), as_json=as_json)


def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show which versions decide since when, and what each worker has loaded."""
    settings = load_with_kafka(ctx)
    state = asyncio.run(_read(settings))
    reports = [report for report in model_reports(state, (), utc_now(), _window(settings)) if report.role is not None]
    workers = worker_models(state)
    if as_json:
        order = state.activation.order.model_dump(mode="json") if state.activation is not None else None
        show_json(
            {
                "versions": [
                    {"version": report.version, "role": report.role, "since": report.as_json()["since"]}
                    for report in reports
                ],
                "order": order,
                "workers": [worker.as_json() for worker in workers],
            }
        )
        return
    show_workers(reports, state.activation, workers)


def delete(ctx: typer.Context, version: Version, as_json: AsJson = False) -> None:
    """Remove a published version that no request is decided by any more, so that the topic does not grow."""
    settings = load_with_kafka(ctx)
    asyncio.run(_delete(settings, version))
    if as_json:
        show_json({"deleted": version})
    else:
        typer.echo(f"{version} deleted")


def _say(step: Step, *, as_json: bool) -> None:
    if as_json:
        show_json({"version": step.version, "active_since": from_millis(step.since_ms).isoformat()})
    else:
        show_activation(step, utc_now())


def _window(settings: Settings) -> timedelta:
    return timedelta(seconds=settings.delivery.dedup_window_s)


def _record_of(path: Path, note: str | None, settings: Settings) -> ModelFile:
    """Read and check a model file."""
    if note is not None and (len(note) > MAX_ID_LENGTH or not note.isprintable()):
        raise typer.BadParameter(f"at most {MAX_ID_LENGTH} printable characters", param_hint="--note")
    with path.open("rb") as opened:
        file = opened.read(MODEL_MAX_BYTES + 1)
    if len(file) > MODEL_MAX_BYTES:
        raise InputError(f"{path}: a model file has at most {MODEL_MAX_BYTES / 1e6:g} MB: train on fewer outcomes")
    try:
        model = published_model(file, str(path))
    except UnusableModelError as error:
        raise InputError(str(error)) from None
    record = ModelFile(
        version=version_of(file),
        file=base64.b64encode(file),
        classifier=model.version,
        outcomes=model.examples,
        note=note,
        by=operator_name(),
        at=utc_now(),
    )
    size = len(encode(record).value) + _RECORD_OVERHEAD
    if size > settings.kafka.record_max_bytes:
        raise InputError(
            f"{path}: its record has {size} bytes, more than kafka.record_max_bytes = {settings.kafka.record_max_bytes}"
        )
    return record


async def _publish(settings: Settings, record: ModelFile) -> None:
    await require_topics(settings.kafka)
    async with Publisher(settings.kafka) as publisher:
        await publisher.publish([Output(CONTROL, record)])


async def _read(settings: Settings) -> ControlState:
    await require_topics(settings.kafka)
    return await read_control(settings.kafka)


async def _read_all(settings: Settings) -> tuple[ControlState, list[PublishedModel]]:
    """Read the topic and every model in it; one that is damaged is warned of."""
    state = await _read(settings)
    store = ModelStore(settings.kafka)
    published = []
    for version, place in state.models.items():
        try:
            published.append(PublishedModel.of(await store.fetch(place)))
        except MissingModelError as error:
            show_warning(f"model {version}: {error}: publish it again, or delete it")
    return state, published


async def _activate(settings: Settings, version: str, after: float) -> Step:
    return await _order(settings, await _read(settings), version, after)


async def _roll_back(settings: Settings, after: float) -> Step:
    state = await _read(settings)
    steps = steps_now(state, utc_now(), _window(settings))
    if len(steps) == 1:
        raise InputError(f"{steps[0].version} has no version before it to go back to: `tierstream models activate …`")
    return await _order(settings, state, steps[-2].version, after)


async def _order(settings: Settings, state: ControlState, version: str, after: float) -> Step:
    """Order a version, unless that would change nothing, and return from when on it decides."""
    await _require_usable(settings, state, version)
    now = utc_now()
    steps = steps_now(state, now, _window(settings))
    delay = timedelta(seconds=after)
    if steps[-1].version == version and from_millis(steps[-1].since_ms) <= now + delay:
        return steps[-1]
    order = next_order(steps, version, delay, by=operator_name(), at=now)
    async with Publisher(settings.kafka) as publisher:
        [delivered] = await publisher.publish([Output(CONTROL, order)])
        # A process that never spoke of the order before this one has ended without taking its word back.
        gone = [worker.status.partition_key for worker in worker_models(state) if not worker.is_current]
        await publisher.withdraw(CONTROL, *gone)
    return steps_of(Activation(order, delivered.timestamp_ms))[-1]


async def _require_usable(settings: Settings, state: ControlState, version: str) -> None:
    """Check that this version of the program, and so probably the workers, can load the model."""
    if version in BUILT_IN:
        return
    place = state.models.get(version)
    if place is None:
        raise _unknown(state, version)
    try:
        record = await ModelStore(settings.kafka).fetch(place)
        published_model(record.file, f"model {version}")
    except MissingModelError as error:
        raise InputError(f"model {version}: {error}: publish it again") from None
    except UnusableModelError as error:
        raise InputError(str(error)) from None


async def _delete(settings: Settings, version: str) -> None:
    state = await _read(settings)
    if version not in state.models:
        raise _unknown(state, version)
    for report in model_reports(state, (), utc_now(), _window(settings)):
        if report.version == version and report.role is not None:
            raise InputError(
                f"{version} is {report.role}: requests are, will be or may again be decided by it; "
                "activate others first, and wait delivery.dedup_window_s where it is recent"
            )
    async with Publisher(settings.kafka) as publisher:
        await publisher.withdraw(CONTROL, model_key(version))


def _unknown(state: ControlState, version: str) -> typer.BadParameter:
    known = ", ".join(sorted(state.models)) or "none: publish one with `tierstream models publish FILE`"
    return typer.BadParameter(f"there is no published model {version!r}: there are {known}", param_hint="VERSION")
