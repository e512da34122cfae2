"""`tierstream feedback`: say what was wrong, or right, with a result."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.config.settings import Settings
from tierstream.cli.connection import load_with_kafka
from tierstream.cli.errors import FAILED, show_error, show_warning
from tierstream.cli.follow import run_until_interrupted
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.results import name_some, printable, show_answer, show_json
from tierstream.client.feedback import Reply, give, parse_feedback, read_feedback, replies
from tierstream.client.request_file import InputError, open_lines
from topics.feedback import Feedback, FeedbackKind

_STDIN = "-"
_OPTIONS = {"user_id": "--user", "request_id": "REQUEST_ID", "kind": "KIND", "correction": "--correction-file"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            "tierstream feedback 7f3a… thumbs_up",
            "tierstream feedback 7f3a… rating --rating 2 --user ann --comment 'Too long.'",
            "tierstream feedback 7f3a… wrong --retry --wait",
            "tierstream feedback --input feedback.jsonl",
        )
    )(feedback)


def feedback(
    ctx: typer.Context,
    request_id: Annotated[str | None, typer.Argument(metavar="REQUEST_ID", help="Of the result.")] = None,
    kind: Annotated[FeedbackKind | None, typer.Argument(metavar="KIND", help=f"{', '.join(FeedbackKind)}.")] = None,
    revision: Annotated[int | None, typer.Option(min=0, help="Of the result; default: 0.")] = None,
    rating: Annotated[int | None, typer.Option(min=1, max=5, help="With kind rating: 1, bad, to 5, good.")] = None,
    user: Annotated[str | None, typer.Option(help="Who says so.")] = None,
    comment: Annotated[str | None, typer.Option(metavar="TEXT", help="In words.")] = None,
    correction_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With kind human_corrected: the answer as it should have been."),
    ] = None,
    retry: Annotated[
        bool | None,
        typer.Option("--retry/--no-retry", help="Ask a more capable tier; default: as the deployment does by kind."),
    ] = None,
    input_file: Annotated[
        str | None, typer.Option("--input", metavar="FILE", help="Feedback as JSON, one a line (- is stdin).")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for what comes of it; a new answer is printed.")] = False,
    timeout: Annotated[float, typer.Option(min=0, metavar="S", help="How long to wait with --wait.")] = 150.0,
    as_json: AsJson = False,
) -> None:
    """Give feedback on a result, or a file of feedback, and have the request answered anew where that is asked for.

    Everything is checked first: if one line of a file is wrong, nothing is sent. Without --wait it is only sent, and
    nobody has looked whether there is such a result. With --wait, exit code 1 if there is none, or no new answer.
    """
    fields = {
        "request_id": request_id,
        "kind": kind.value if kind is not None else None,
        "revision": revision,
        "rating": rating,
        "user_id": user,
        "comment": comment,
        "retry": retry,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    if input_file is not None and (fields or correction_file):
        raise typer.BadParameter("--input goes with --wait, --timeout and --json only: the lines say the rest")
    if input_file is None and (request_id is None or kind is None):
        raise typer.BadParameter("give REQUEST_ID and KIND, or --input FILE")
    settings = load_with_kafka(ctx)
    limit = settings.kafka.request_max_bytes
    if input_file is not None:
        said = _read_input(input_file, limit)
    else:
        if correction_file is not None:
            fields["correction"] = _read_text(correction_file)
        said = [_from_options(fields, limit)]
    run_until_interrupted(_give(settings, said, wait_s=timeout if wait else None, as_json=as_json))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None


def _from_options(fields: dict[str, Any], limit: int) -> Feedback:
    try:
        return parse_feedback(fields, "feedback", limit)[0]
    except InputError as error:
        name, colon, problem = str(error).removeprefix("feedback: ").partition(": ")
        raise InputError(f"{_OPTIONS.get(name, f'--{name}')}{colon}{problem}") from None


def _read_input(name: str, limit: int) -> list[Feedback]:
    place = "stdin" if name == _STDIN else name
    said: list[Feedback] = []
    unknown: dict[str, int] = {}

    def take(lines: Any) -> None:  # noqa: ANN401 - lines of bytes
        for number, one, ignored in read_feedback(lines, place, limit):
            said.append(one)
            for field in ignored:
                unknown.setdefault(field, number)

    if name == _STDIN:
        take(sys.stdin.buffer)
    else:
        with open_lines(Path(name)) as lines:
            take(lines)
    if not said:
        raise InputError(f"{place}: there is no feedback in it")
    if unknown:
        named = ", ".join(f"{field} (line {number})" for field, number in unknown.items())
        show_warning(f"{place}: fields that nobody reads: {named}")
    return said


async def _give(settings: Settings, said: list[Feedback], *, wait_s: float | None, as_json: bool) -> None:
    given = await give(settings, said)
    if wait_s is None:
        ids = list(dict.fromkeys(one.request_id for one in said))
        if as_json:
            show_json({"request_ids": ids})
        else:
            typer.echo("\n".join(ids))
        return
    missing, failed = list(given), False
    async for reply in replies(settings, given, wait_s):
        missing.remove(reply.given)
        _show(reply, as_json=as_json)
        failed |= not reply.is_matched or (reply.result is not None and reply.result.content is None)
    if missing:
        names = name_some([one.said.request_id for one in missing])
        show_error(f"nothing came of it within {wait_s:g} s: {names} (`tierstream trace ID` looks again)")
    if missing or failed:
        raise typer.Exit(FAILED)


def _show(reply: Reply, *, as_json: bool) -> None:
    said, hop = reply.given.said, reply.hop
    if as_json:
        result = reply.result.model_dump(mode="json") if reply.result is not None else None
        about = {"request_id": said.request_id, "revision": said.revision, "kind": said.kind.value}
        show_json({**about, "outcome": hop.outcome, "detail": hop.detail, "result": result})
        return
    of = f", of tier {hop.tier}, {hop.model}" if hop.tier is not None else ""
    typer.echo(f"{said.request_id} revision {said.revision}{of}: {printable(hop.detail or hop.outcome)}", err=True)
    if reply.result is not None:
        show_answer(reply.result, as_json=False)
