"""Deciding a file of requests: each line by itself, so that a bad one does not lose the others."""

import gzip
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import typer
from pydantic_core import to_json

from streams.config.eligible_models import NoModelError
from streams.config.settings import Settings
from streams.routing.router import Draft
from tierstream.cli.dry_routing import DryRouter
from tierstream.cli.errors import FAILED, show_error, show_warning
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.decision import decision_json, show_decided_line, show_shares, show_undecided_line
from tierstream.client.request_file import InputError, UnknownFields, open_lines, parse_line, random_id
from topics.request_ids import find_request_id
from topics.requests import Request

STDIN: Final = "-"
_LABEL: Final = "label"
"""What a labelled request has besides the fields of a request."""
_LINES_A_STEP: Final = 200
"""From one look at the progress to the next."""


@dataclass
class _Tally:
    tiers: Counter[int] = field(default_factory=Counter)
    failed: int = 0
    unknown: UnknownFields = field(default_factory=UnknownFields)


def route_file(settings: Settings, name: str, *, as_json: bool, explain: bool) -> None:
    """Decide each line of a file, plain or gzip, and print the decisions in its order.

    Args:
        settings: As a worker would have them.
        name: The file; `-` is stdin.
        as_json: Print one JSON object a line.
        explain: Add to it what moved the scores.

    Raises:
        InputError: There is no request in it, or it is broken gzip.
        OSError: It can't be read.
        typer.Exit: Some of them could not be decided.
    """
    place = "stdin" if name == STDIN else name
    tally = _Tally()
    # On a terminal the lines themselves show how far it is.
    with progress_bar("deciding", "interrupted: the rest is undecided", hidden=sys.stdout.isatty()) as progress:
        router = DryRouter(settings)
        with _opened(name) as (lines, share):
            for number, text in enumerate(lines, 1):
                if text.strip():
                    _decide_line(settings, router, tally, text, number, place, as_json, explain)
                if number % _LINES_A_STEP == 0:
                    progress(share())
    total = tally.tiers.total() + tally.failed
    if not total:
        raise InputError(f"{place}: there is no request in it")
    if not as_json:
        show_shares(settings, tally.tiers)
    if ignored := tally.unknown.describe():
        show_warning(f"{place}: fields that nobody reads: {ignored}")
    if tally.failed:
        show_error(f"{place}: {tally.failed} of {total} requests could not be decided")
        raise typer.Exit(FAILED)


def _decide_line(
    settings: Settings,
    router: DryRouter,
    tally: _Tally,
    text: bytes,
    number: int,
    place: str,
    as_json: bool,
    explain: bool,
) -> None:
    """Print what becomes of a line, and count it."""
    at = f"{place} line {number}"
    try:
        line = parse_line(text, number, at, random_id, settings.kafka.request_max_bytes)
    except InputError as error:
        _show_undecided(tally, find_request_id(text, Request.REQUEST_ID_AT), str(error), as_json)
        return
    fields = tuple(name for name in line.unknown_fields if name != _LABEL)
    tally.unknown.add(replace(line, unknown_fields=fields))
    try:
        draft = router.draft(line.request)
    except (InputError, NoModelError) as error:
        _show_undecided(tally, line.request.request_id, f"{at}: {error}", as_json)
        return
    tally.tiers[draft.decision.tier] += 1
    if as_json:
        _show_json_line(draft.request.request_id, _fields(router, draft, explain))
    else:
        show_decided_line(settings, draft)


def _fields(router: DryRouter, draft: Draft, explain: bool) -> dict[str, Any]:
    return decision_json(draft, router.strongest_evidence(draft.request) if explain else None)


def _show_undecided(tally: _Tally, request_id: str | None, problem: str, as_json: bool) -> None:
    tally.failed += 1
    if as_json:
        _show_json_line(request_id, {"error": problem})
    else:
        show_undecided_line(request_id, problem)


def _show_json_line(request_id: str | None, fields: dict[str, Any]) -> None:
    typer.echo(to_json({"request_id": request_id, **fields}))


@contextmanager
def _opened(name: str) -> Iterator[tuple[Iterable[bytes], Callable[[], float]]]:
    """Open the lines, and something that says which share of them has been read."""
    if name == STDIN:
        yield sys.stdin.buffer, lambda: 0.0
        return
    path = Path(name)
    size = path.stat().st_size or 1
    with open_lines(path) as lines:
        read: Any = lines.fileobj if isinstance(lines, gzip.GzipFile) else lines
        yield lines, lambda: read.tell() / size
