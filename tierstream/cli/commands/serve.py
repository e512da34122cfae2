"""`tierstream serve`: HTTP for clients of OpenAI's and Anthropic's APIs, and the keys that it lets in."""

from pathlib import Path
from typing import Annotated

import typer

from streams.config.settings import SettingsError
from tierstream.cli.connection import invocation, load_settings, with_kafka
from tierstream.cli.help_text import examples
from tierstream.cli.log_output import configure_logging
from tierstream.cli.render.results import show_json
from tierstream.event_loop import run_service


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(invoke_without_command=True)
    calls = (
        "tierstream serve",
        "KAFKA_BOOTSTRAP_SERVERS=kafka:9092 SERVE_KEYS=ann=$KEY tierstream serve --host 0.0.0.0 --port 8091",
    )
    group.callback(epilog=examples(*calls))(serve)
    keys = typer.Typer(no_args_is_help=True)
    keys.command("new", epilog=examples("tierstream serve keys new --name ann --user ann --feature support --rpm 60"))(
        new_key
    )
    group.command("openapi", epilog=examples("tierstream serve openapi > openapi.json"))(openapi)
    group.add_typer(keys, name="keys", help="The keys that the door lets in.")
    app.add_typer(group, name="serve")


def serve(
    ctx: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: the setting serve.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="0: any free one; default: the setting serve.port.")
    ] = None,
) -> None:
    """Serve OpenAI's and Anthropic's APIs in front of the topics until SIGTERM or Ctrl-C.

    It keeps nothing: start as many processes as you like. While Kafka does not answer, it waits for it. `tierstream up`
    starts it too.
    """
    if ctx.invoked_subcommand is not None:
        return
    verbose = invocation(ctx).verbose
    configure_logging(verbose, service=True)
    settings = with_kafka(load_settings(ctx))
    configure_logging(verbose, service=True, log_format=settings.operations.log_format)
    if host is not None:
        settings = settings.model_copy(update={"serve": settings.serve.model_copy(update={"host": host})})
    from tierstream.serve import server  # noqa: PLC0415 - brings the web server
    from tierstream.serve.surfaces import SURFACES  # noqa: PLC0415
    from tierstream.stack.ports import claim_port, reachable  # noqa: PLC0415
    from tierstream.stack.service_process import announce_ready  # noqa: PLC0415

    server.check(settings)
    wanted = settings.serve.port if port is None else port
    claimed = claim_port(wanted, service="serve", setting="port", section="serve")
    scheme = "http" if settings.serve.tls_cert is None else "https"

    def on_ready() -> None:
        announce_ready()
        typer.echo(f"the door is at {scheme}://{reachable(settings.serve.host)}:{claimed}/v1")

    run_service(server.serve(settings, SURFACES, claimed, on_ready))


def openapi() -> None:
    """Print the door's OpenAPI 3.1 document, which it serves at /openapi.json. Needs no broker."""
    from tierstream.serve.openapi.document import openapi_document  # noqa: PLC0415 - makes schemas of all models

    show_json(openapi_document())


def new_key(
    ctx: typer.Context,
    name: Annotated[str, typer.Option(help="Who has the key; begins the ids of its requests.")],
    user: Annotated[str | None, typer.Option(help="`user_id` of its requests.")] = None,
    feature: Annotated[str | None, typer.Option(help="`feature` of its requests.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of its requests; may be given again.")] = None,
    rpm: Annotated[int | None, typer.Option(min=1, help="Requests a minute, in each process of the door.")] = None,
    min_tier: Annotated[int | None, typer.Option(min=1, help="Lowest tier of its requests.")] = None,
    max_tier: Annotated[int | None, typer.Option(min=1, help="Highest tier of its requests.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="Where its hash goes; default: the setting serve.keys_file.")
    ] = None,
) -> None:
    """Make a key, add its hash to the file of keys, and print the key, which nobody can do again."""
    from pydantic import ValidationError  # noqa: PLC0415 - for this alone

    from tierstream.serve.keys import KeyEntry, append_key, hash_of  # noqa: PLC0415
    from tierstream.serve.keys import new_key as made_up  # noqa: PLC0415

    path = file or load_settings(ctx).serve.keys_file
    if path is None:
        raise SettingsError("no file for the key: set serve.keys_file, or name one with --file")
    key = made_up()
    try:
        entry = KeyEntry(
            name=name,
            sha256=hash_of(key),
            user=user,
            feature=feature,
            tags=tuple(tag or ()),
            rpm=rpm,
            min_tier=min_tier,
            max_tier=max_tier,
        )
    except ValidationError as error:
        field = error.errors(include_input=False)[0]
        raise SettingsError(f"--{str(field['loc'][0]).replace('_', '-')}: {field['msg']}") from None
    append_key(path, entry)
    typer.echo(key)
