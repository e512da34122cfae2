"""`tierstream models`: versions of the classifier's model, which workers take over while they run."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from streams.config.settings import Settings
from streams.control.control_state import ControlState
from streams.control.model_store import MissingModelError, ModelStore
from streams.control.rollout import Step
from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_with_kafka, operator_name
from tierstream.cli.errors import show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.model_orders import (
    activate_model,
    dedup_window,
    delete_model,
    model_record,
    publish_model,
    read_state,
    roll_back_model,
)
from tierstream.cli.options import AsJson
from tierstream.cli.promotions import approve_promotion, page_of, reject_promotion
from tierstream.cli.render.models import show_activation, show_models, show_workers
from tierstream.cli.render.promotions import promotion_html, promotion_json, show_promotion
from tierstream.cli.render.results import show_json
from tierstream.operations.model_versions import PublishedModel, model_reports, worker_models
from topics.base import MAX_ID_LENGTH, from_millis
from topics.control import MODEL_MAX_BYTES, ModelFile
from topics.learned import Promotion

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
    group.command(epilog=examples("tierstream models approve 3f9a12c04b7d"))(approve)
    group.command(epilog=examples("tierstream models reject 3f9a12c04b7d --reason 'wait for the release'"))(reject)
    group.command(
        epilog=examples(
            "tierstream models show --json",
            "tierstream models show 3f9a12c04b7d",
            "tierstream models show 3f9a12c04b7d --html page.html",
        )
    )(show)
    group.command(epilog=examples("tierstream models delete 3f9a12c04b7d"))(delete)
    app.add_typer(group, name="models")


def show_list(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show every version: its size, what it was trained on, and which one is in force since when."""
    settings = load_with_kafka(ctx)
    state, published = asyncio.run(_read_all(settings))
    reports = model_reports(state, published, utc_now(), dedup_window(settings))
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
    asyncio.run(publish_model(settings, record))
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
    _say(asyncio.run(roll_back_model(settings, after, by=operator_name())), as_json=as_json)


def approve(ctx: typer.Context, version: Version, after: After = 5.0, as_json: AsJson = False) -> None:
    """Let a proposed model decide: one that `tierstream learn` has trained and found better."""
    settings = load_with_kafka(ctx)
    _say(asyncio.run(approve_promotion(settings, version, after, by=operator_name())), as_json=as_json)


def reject(
    ctx: typer.Context,
    version: Version,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for its page.")] = "no reason given",
    as_json: AsJson = False,
) -> None:
    """Refuse a proposed model: its file is taken back, its page stays."""
    if len(reason) > MAX_ID_LENGTH or not reason.isprintable():
        raise typer.BadParameter(f"at most {MAX_ID_LENGTH} printable characters", param_hint="--reason")
    settings = load_with_kafka(ctx)
    page = asyncio.run(reject_promotion(settings, version, reason, by=operator_name()))
    if as_json:
        show_json(promotion_json(page))
    else:
        typer.echo(f"{version} rejected")


def show(
    ctx: typer.Context,
    version: Annotated[
        str | None,
        typer.Argument(metavar="[VERSION]", help="Of a model of `tierstream learn`: show its page."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With VERSION: write the page there, to print or to send.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show which versions decide since when, and what each worker has loaded; or the page of one version."""
    if html is not None and version is None:
        raise typer.BadParameter("--html needs a VERSION: it writes the page of one")
    settings = load_with_kafka(ctx)
    state = asyncio.run(read_state(settings))
    if version is not None:
        _show_page(page_of(state, version), html, as_json=as_json)
        return
    reports = [
        report for report in model_reports(state, (), utc_now(), dedup_window(settings)) if report.role is not None
    ]
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


def _show_page(page: Promotion, html: Path | None, *, as_json: bool) -> None:
    if html is not None:
        html.write_text(promotion_html(page), encoding="utf-8")
    if as_json:
        show_json(promotion_json(page))
    elif html is None:
        show_promotion(page)
    else:
        typer.echo(f"{html}: written")


def delete(ctx: typer.Context, version: Version, as_json: AsJson = False) -> None:
    """Remove a published version that no request is decided by any more, so that the topic does not grow."""
    settings = load_with_kafka(ctx)
    asyncio.run(delete_model(settings, version))
    if as_json:
        show_json({"deleted": version})
    else:
        typer.echo(f"{version} deleted")


def _say(step: Step, *, as_json: bool) -> None:
    if as_json:
        show_json({"version": step.version, "active_since": from_millis(step.since_ms).isoformat()})
    else:
        show_activation(step, utc_now())


def _record_of(path: Path, note: str | None, settings: Settings) -> ModelFile:
    """Read and check a model file."""
    if note is not None and (len(note) > MAX_ID_LENGTH or not note.isprintable()):
        raise typer.BadParameter(f"at most {MAX_ID_LENGTH} printable characters", param_hint="--note")
    with path.open("rb") as opened:
        file = opened.read(MODEL_MAX_BYTES + 1)
    return model_record(file, str(path), settings, note=note, by=operator_name())


async def _read_all(settings: Settings) -> tuple[ControlState, list[PublishedModel]]:
    """Read the topic and every model in it; one that is damaged is warned of."""
    state = await read_state(settings)
    store = ModelStore(settings.kafka)
    published = []
    for version, place in state.models.items():
        try:
            published.append(PublishedModel.of(await store.fetch(place)))
        except MissingModelError as error:
            show_warning(f"model {version}: {error}: publish it again, or delete it")
    return state, published


async def _activate(settings: Settings, version: str, after: float) -> Step:
    return await activate_model(settings, await read_state(settings), version, after, by=operator_name())
