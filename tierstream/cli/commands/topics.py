"""`tierstream topics`: create them, check them, and describe them to other services."""

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.config.settings import Settings
from streams.kafka.admin import check_topics, create_topics, topic_config
from tierstream.cli.connection import load_settings, load_with_kafka
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.results import show_json
from topics.asyncapi import asyncapi_document, described_topics, json_schemas


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command(epilog=examples("tierstream topics create"))(create)
    group.command(epilog=examples("tierstream topics check || tierstream topics create"))(check)
    group.command(epilog=examples("tierstream topics docs --out docs/topics"))(docs)
    app.add_typer(group, name="topics")


def create(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Create the topics that are missing. Existing ones are left as they are."""
    created = asyncio.run(create_topics(load_with_kafka(ctx)))
    if as_json:
        show_json({"created": created})
    elif created:
        typer.echo("\n".join(f"created {name}" for name in created))
    else:
        typer.echo("all topics exist")


def check(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Compare the topics on the cluster with the settings; a line for each difference, exit code 1 if there is one."""
    problems = asyncio.run(check_topics(load_with_kafka(ctx)))
    if as_json:
        show_json({"problems": problems})
    else:
        typer.echo("\n".join(problems) if problems else "the topics are as they should be")
    if problems:
        raise typer.Exit(FAILED)


def docs(
    ctx: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write asyncapi.json and schemas/*.json there; default: AsyncAPI to stdout."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the topics between the stages, on which nobody else may rely.")
    ] = False,
) -> None:
    """Generate the AsyncAPI 3.0 document and the JSON Schemas of the public topics. Needs no broker."""
    settings = load_settings(ctx)
    document, schemas = _describe(settings, internal=everything)
    if out is None:
        show_json(document)
        return
    files = {out / "asyncapi.json": document} | {
        out / "schemas" / f"{name}.json": schema for name, schema in schemas.items()
    }
    (out / "schemas").mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        typer.echo(f"wrote {path}")


def _describe(settings: Settings, *, internal: bool) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    specs = described_topics(settings.top_tier, internal=internal)
    document = asyncapi_document(
        specs,
        prefix=settings.kafka.prefix,
        version=version("tierstream"),
        topic_configs={spec.name: topic_config(spec, settings) for spec in specs},
    )
    return document, json_schemas(specs)
