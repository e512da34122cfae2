"""`tierstream dead-letters`: look at records that could not be served, send them again, or let them go."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from streams.config.settings import Settings
from streams.kafka.admin import require_topics
from tierstream.cli.connection import load_with_kafka, operator_name
from tierstream.cli.errors import FAILED, show_error
from tierstream.cli.help_text import examples
from tierstream.cli.moments import Since, parse_moment
from tierstream.cli.options import AsJson
from tierstream.cli.render.dead_letters import (
    bytes_as_json,
    description,
    letter_as_json,
    retry_as_json,
    show_retries,
    table,
)
from tierstream.cli.render.results import show_json
from tierstream.operations.dead_letter_log import Entry, LetterId, LetterState
from tierstream.operations.dead_letters import DeadLetterError, DeadLetters, Problem

_STDIO = "-"


def parse_letter(text: str) -> LetterId:
    """Read the id of a letter.

    Raises:
        typer.BadParameter: It is none.
    """
    try:
        return LetterId.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Stage = Annotated[str | None, typer.Option(metavar="NAME", help="Only letters of this stage.")]
Reason = Annotated[str | None, typer.Option(metavar="NAME", help="Only letters with this reason.")]
Letters = Annotated[
    list[LetterId] | None,
    typer.Argument(parser=parse_letter, metavar="[LETTER]...", help="partition:offset, as the list shows it."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command(
        "list",
        epilog=examples(
            "tierstream dead-letters list --since 1h", "tierstream dead-letters list --reason too_large --json"
        ),
    )(list_letters)
    group.command(
        epilog=examples("tierstream dead-letters show 2:17", "tierstream dead-letters show 2:17 --raw body.json")
    )(show)
    group.command(
        epilog=examples(
            "tierstream dead-letters retry 2:17 --edit body.json",
            "tierstream dead-letters retry --all --reason handler_error --dry-run",
        )
    )(retry)
    group.command(
        epilog=examples("tierstream dead-letters purge 2:17", "tierstream dead-letters purge --all --before 7d")
    )(purge)
    app.add_typer(group, name="dead-letters")


def list_letters(
    ctx: typer.Context,
    since: Since = None,
    stage: Stage = None,
    reason: Reason = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, the newest last, with what became of them: open, retried or purged."""
    entries = asyncio.run(_list(load_with_kafka(ctx), since))
    chosen = _only(entries, stage, reason)[-(limit or 0) :]
    if as_json:
        show_json({"letters": [letter_as_json(entry) for entry in chosen]})
    elif chosen:
        typer.echo("\n".join(table(chosen)))
    else:
        typer.echo("no dead letters")


def show(
    ctx: typer.Context,
    letter: Annotated[LetterId, typer.Argument(parser=parse_letter, help="partition:offset, as the list shows it.")],
    raw: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the original bytes there instead (- is stdout).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known about a letter: where it came from, why it failed, its headers and its bytes.

    Exit code 1 if there is no such letter, or if --raw could write a part of it only.
    """
    if raw is not None and as_json:
        raise typer.BadParameter("give either --raw or --json")
    settings = load_with_kafka(ctx)
    if raw is not None:
        asyncio.run(_write_raw(settings, letter, raw))
        return
    entry = asyncio.run(_load(settings, letter))
    if as_json:
        show_json({**letter_as_json(entry), **bytes_as_json(entry.letter)})
    else:
        typer.echo("\n".join(description(entry)))


def retry(
    ctx: typer.Context,
    letters: Letters = None,
    everything: Annotated[bool, typer.Option("--all", help="All open letters.")] = False,
    stage: Stage = None,
    reason: Reason = None,
    edit: Annotated[Path | None, typer.Option(metavar="FILE", help="Send these bytes instead, for one letter.")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also letters that were retried before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Send the original bytes again to where they came from, with their key and headers.

    A request that has its result by now goes through as its next revision; the earlier result stays. If one of the
    named letters can't be sent, none is; with --all the others are. Exit code 1 if any could not be sent.
    """
    _check_choice(letters, everything=everything, filters=(stage, reason))
    if edit is not None and (everything or len(letters or ()) != 1):
        raise typer.BadParameter("--edit goes with one letter")
    edited = edit.read_bytes() if edit is not None else None
    chosen = _Choice(letters, stage, reason, yes=yes or dry_run or not everything)
    asyncio.run(_retry(load_with_kafka(ctx), chosen, edited, again=again, dry_run=dry_run, as_json=as_json))


def purge(
    ctx: typer.Context,
    letters: Letters = None,
    everything: Annotated[bool, typer.Option("--all", help="All letters.")] = False,
    before: Annotated[
        datetime | None, typer.Option(parser=parse_moment, metavar="WHEN", help="With --all: older ones only.")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Mark letters as purged, and delete them where no open letter lies before them in their partition.

    What is deleted can't be read any more; the broker frees the disk when it drops the segment. Other letters are
    deleted with a later purge, once those before them are retried or purged, or else at the end of the retention.
    """
    _check_choice(letters, everything=everything, filters=(before,))
    asyncio.run(_purge(load_with_kafka(ctx), _Choice(letters, None, None, yes=yes), before, as_json=as_json))


class _Choice:
    """Which letters a command is about: named ones, or all that match."""

    def __init__(self, letters: list[LetterId] | None, stage: str | None, reason: str | None, *, yes: bool) -> None:
        self.letters = letters
        self.yes = yes
        self._filters = stage, reason

    async def entries(self, box: DeadLetters, states: Iterable[LetterState]) -> list[Entry]:
        """Return the named letters whatever their state, or all that match and have one of these states."""
        if self.letters:
            return await _found(box, self.letters)
        return [entry for entry in _only(await box.entries(), *self._filters) if entry.state in states]


def _check_choice(letters: list[LetterId] | None, *, everything: bool, filters: Sequence[object]) -> None:
    if bool(letters) == everything:
        raise typer.BadParameter("name letters, or give --all")
    if letters and any(value is not None for value in filters):
        raise typer.BadParameter("filters go with --all")


async def _list(settings: Settings, since: datetime | None) -> list[Entry]:
    await require_topics(settings.kafka)
    return await DeadLetters(settings).entries(since=since)


async def _load(settings: Settings, letter: LetterId) -> Entry:
    await require_topics(settings.kafka)
    box = DeadLetters(settings)
    [entry] = await _found(box, [letter])
    return await box.load(entry)


async def _found(box: DeadLetters, letters: list[LetterId]) -> list[Entry]:
    try:
        return await box.find(letters)
    except DeadLetterError as error:
        raise _failed(str(error)) from None


async def _write_raw(settings: Settings, letter: LetterId, target: str) -> None:
    loaded = (await _load(settings, letter)).letter
    problem = None
    try:
        value = (await DeadLetters(settings).original(loaded)).value
    except DeadLetterError as error:
        value, problem = loaded.value, f"incomplete: {error}"
    if target == _STDIO:
        typer.echo(value or b"", nl=False)
    else:
        Path(target).write_bytes(value or b"")  # noqa: ASYNC240 - nothing else runs in this loop
    if problem is not None:
        raise _failed(problem)


async def _retry(
    settings: Settings, choice: _Choice, edited: bytes | None, *, again: bool, dry_run: bool, as_json: bool
) -> None:
    await require_topics(settings.kafka)
    box = DeadLetters(settings)
    states = {LetterState.OPEN, LetterState.RETRIED} if again else {LetterState.OPEN}
    entries = await choice.entries(box, states)
    if refused := [entry for entry in entries if entry.state not in states]:
        raise _failed(
            "; ".join(f"dead letter {entry.id} was {entry.state} before{_way_on(entry)}" for entry in refused)
        )
    retries, problems = await box.plan(entries, edited=edited)
    if choice.letters and problems:
        raise _failed("; ".join(map(_problem, problems)))
    lines = [retry_as_json(retry, None) for retry in retries] if dry_run else []
    if not dry_run:
        _confirm(choice, f"Send {_count(retries)} again?", retries)
        async for done in box.send(retries, by=operator_name(), edited=edited):
            if isinstance(done, Problem):
                problems.append(done)
            else:
                lines.append(retry_as_json(done.retry, done.offset))
    if as_json:
        told = [{"letter": str(problem.entry.id), "message": problem.message} for problem in problems]
        show_json({"dry_run": dry_run, "retried": lines, "problems": told})
    else:
        show_retries(lines, dry_run=dry_run)
    if problems:
        raise _failed("; ".join(map(_problem, problems)))


async def _purge(settings: Settings, choice: _Choice, before: datetime | None, *, as_json: bool) -> None:
    await require_topics(settings.kafka)
    box = DeadLetters(settings)
    entries = await choice.entries(box, (LetterState.OPEN, LetterState.RETRIED))
    chosen = [entry for entry in entries if before is None or entry.letter.at < before]
    open_ones = sum(entry.state is LetterState.OPEN for entry in chosen)
    _confirm(choice, f"Purge {_count(chosen)}, {open_ones} of them never retried?", chosen)
    deleted = await box.purge(chosen, by=operator_name())
    gone = sum(entry.id.offset < deleted.get(entry.id.partition, 0) for entry in chosen)
    if as_json:
        ids = [str(entry.id) for entry in chosen]
        show_json({"purged": ids, "deleted": gone, "first_offsets": {str(p): at for p, at in sorted(deleted.items())}})
    else:
        typer.echo(f"purged {_count(chosen)}; {gone} deleted for good")


def _confirm(choice: _Choice, question: str, items: Sequence[object]) -> None:
    if items and not choice.yes:
        typer.confirm(question, abort=True, err=True)


def _failed(line: str) -> typer.Exit:
    show_error(line)
    return typer.Exit(FAILED)


def _problem(problem: Problem) -> str:
    return f"dead letter {problem.entry.id}: {problem.message}"


def _way_on(entry: Entry) -> str:
    return ": --again sends it once more" if entry.state is LetterState.RETRIED else ""


def _count(items: Sequence[object]) -> str:
    return f"{len(items)} dead letter{'' if len(items) == 1 else 's'}"


def _only(entries: Iterable[Entry], stage: str | None, reason: str | None) -> list[Entry]:
    return [e for e in entries if stage in {None, e.letter.stage} and reason in {None, e.letter.reason}]
