"""`tierstream route`: which tier a request would go to and why, without sending it."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.config.eligible_models import NoModelError
from streams.config.settings import Settings
from tierstream.cli.connection import load_settings
from tierstream.cli.dry_routing import DryRouter
from tierstream.cli.errors import FAILED, show_error, show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.piped_prompt import piped_prompt
from tierstream.cli.render.decision import decision_json, headline, show_explained
from tierstream.cli.render.results import show_json
from tierstream.cli.route_file import STDIN, route_file
from tierstream.client.request_file import InputError, parse_request, random_id, read_lines
from topics.requests import DataClass, Impact, Request, ServiceClass, Tolerance


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            'tierstream route "Do you ship to Norway?"',
            'tierstream route --explain --role ceo "Are our projections ok?"',
            "echo Hello | tierstream route --user ann",
            "tierstream route --json - < request.json",
            "tierstream route --input requests.jsonl.gz",
            "tierstream route --input requests.jsonl --json > decisions.jsonl",
        )
    )(route)


def route(
    ctx: typer.Context,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT|-]", help="The prompt; default: stdin; -: a request as JSON there."),
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="A file with the prompt.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message before it.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asks.")] = None,
    feature: Annotated[str | None, typer.Option(help="For which feature of the product.")] = None,
    query_type: Annotated[str | None, typer.Option(help="What kind of request it is; default: guessed.")] = None,
    role: Annotated[str | None, typer.Option(help="Role of the user, such as ceo.")] = None,
    impact: Annotated[Impact | None, typer.Option(help="What a wrong answer costs.")] = None,
    tolerance: Annotated[Tolerance | None, typer.Option(help="How much error the work bears.")] = None,
    data_class: Annotated[DataClass | None, typer.Option(help="Which providers may see the text.")] = None,
    service_class: Annotated[ServiceClass | None, typer.Option(help="How long the requester waits.")] = None,
    self_validating: Annotated[
        bool, typer.Option("--self-validating", help="The requester checks the answer itself.")
    ] = False,
    min_tier: Annotated[int | None, typer.Option(min=1, help="Lowest tier to use.")] = None,
    max_tier: Annotated[int | None, typer.Option(min=1, help="Highest tier to use.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="PROVIDER/MODEL", help="The one model that has to answer.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given several times.")] = None,
    input_file: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="Requests as JSON, one a line (- is stdin).")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show scores, what moved them, thresholds and rules.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
) -> None:
    """Show which tier a request would go to, without sending it.

    The same rules, limits, classifier and models decide as in a worker with these settings. Nothing leaves
    this machine and neither broker nor provider is needed: where a worker would ask a language model, it is said so.

    With --input each line of a file, plain or gzip, is decided by itself: with --json one object a line, else in
    columns, with the share of each tier at the end. A line that can't be decided is named in its place, and the others
    are decided. Of a labelled request the label is not looked at.

    Exit code 1 if no model may serve the request, or a line of the file could not be decided; 2 if the request, the
    options or the settings can't be used.
    """
    context = {
        "user_role": role,
        "business_impact": impact,
        "error_tolerance": tolerance,
        "data_class": data_class,
        "self_validating": self_validating or None,
    }
    fields: dict[str, Any] = {
        "user_id": user,
        "feature": feature,
        "query_type": query_type,
        "service_class": service_class,
        "min_tier": min_tier,
        "max_tier": max_tier,
        "model": model,
        "tags": tag,
        "context": {name: value for name, value in context.items() if value is not None},
    }
    fields = {name: value for name, value in fields.items() if value}
    if input_file is not None:
        if fields or prompt is not None or system is not None or file is not None:
            raise typer.BadParameter("--input goes with --json and --explain only: the lines say the rest")
        if explain and not as_json:
            raise typer.BadParameter("--explain shows one request: with --input give --json too")
        route_file(load_settings(ctx), input_file, as_json=as_json, explain=explain)
        return
    settings = load_settings(ctx)
    _route_one(settings, _one_request(settings, fields, prompt, file, system), explain=explain, as_json=as_json)


def _one_request(
    settings: Settings, fields: dict[str, Any], prompt: str | None, file: Path | None, system: str | None
) -> Request:
    limit = settings.kafka.request_max_bytes
    if prompt == STDIN:
        if fields or system is not None or file is not None:
            raise typer.BadParameter("- goes with --explain and --json only: the request says the rest")
        return _read_request(limit)
    before = [{"role": "system", "content": system}] if system is not None else []
    fields["messages"] = [*before, {"role": "user", "content": _prompt(prompt, file)}]
    return parse_request(fields, "request", random_id, limit)[0]


def _route_one(settings: Settings, request: Request, *, explain: bool, as_json: bool) -> None:
    router = DryRouter(settings)
    try:
        draft = router.draft(request)
    except NoModelError as error:
        show_error(str(error))
        raise typer.Exit(FAILED) from None
    if as_json:
        show_json(decision_json(draft, router.strongest_evidence(request) if explain else None))
    elif explain:
        show_explained(settings, draft, router.strongest_evidence(request))
    else:
        typer.echo(headline(settings, draft))


def _prompt(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise typer.BadParameter("give the prompt once: as an argument or with --file")
    try:
        content = file.read_text(encoding="utf-8") if file is not None else text
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8") from None
    if content is None:
        content = piped_prompt("as an argument, with --file, or on stdin")
    if not content.strip():
        raise typer.BadParameter("the prompt is empty")
    return content


def _read_request(limit: int) -> Request:
    # All of stdin as one line: a request that was formatted to be read has many.
    document = sys.stdin.buffer.read()
    line = next(read_lines([document], "stdin", random_id, limit), None)
    if line is None:
        raise InputError("stdin: there is no request in it")
    if line.unknown_fields:
        show_warning(f"stdin: fields that nobody reads: {', '.join(line.unknown_fields)}")
    return line.request
