"""How the page of a model looks that was trained on own traffic: on a terminal, and as HTML that prints well."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import typer
from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable
from topics.base import Timestamp
from topics.learned import Promotion, PromotionFigure, PromotionStep

_FIGURES: Final = {
    "expected_usd_per_1000": "cost of 1,000 requests, wrong answers included, USD",
    "too_low_share": "sent to a tier that is known to be too low",
    "too_high_share": "sent higher than a tier that is known to do",
}
_STATES: Final = {
    "proposed": "proposed",
    "promoted": "promoted",
    "rejected": "rejected",
    "rolled_back": "rolled back",
    "refused": "refused",
}

_HTML: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Model {version}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #111; background: #fff; max-width: 46rem; margin: 2rem auto; }}
h1 {{ font-size: 1.5rem; margin-bottom: 0; }}
h2 {{ font-size: 1.1rem; margin: 1.6rem 0 0.4rem; }}
p {{ margin: 0.3rem 0; }}
table {{ border-collapse: collapse; width: 100%; break-inside: avoid; }}
th, td {{ text-align: left; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #bbb; vertical-align: top; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
code {{ font-family: ui-monospace, monospace; }}
@page {{ size: A4; margin: 18mm; }}
@media print {{ body {{ margin: 0; max-width: none; font-size: 11pt; }} h2 {{ break-after: avoid; }} }}
</style>
</head>
<body>
<h1>Model <code>{version}</code>: {state}</h1>
{body}
</body>
</html>
"""


def promotion_json(page: Promotion) -> dict[str, Any]:
    """Return a page as a JSON object; `state` is that of its last step."""
    return {"state": page.state, **page.model_dump(mode="json")}


def show_promotion(page: Promotion) -> None:
    """Print a page."""
    typer.echo(f"{page.version}: {_STATES[page.state]}")
    for line in _facts(page):
        typer.echo(line)
    for title, columns, rows in _tables(page):
        typer.echo(f"\n{title}")
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*map(printable, row))
        show_table(output(), table)


def promotion_html(page: Promotion) -> str:
    """Return a page as HTML that needs no other file."""
    parts = [f"<p>{escape(line)}</p>" for line in _facts(page)]
    for title, columns, rows in _tables(page):
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        parts.append(f"<h2>{escape(title)}</h2>\n<table><tr>{head}</tr>{body}</table>")
    return _HTML.format(version=page.version, state=_STATES[page.state], body="\n".join(parts))


def show_learning(steps: Iterable[tuple[str, PromotionStep]]) -> None:
    """Print what was done with models, a line each."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("when", "version", "what", "by"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for version, one in steps:
        table.add_row(_moment(one.at), version, _STATES[one.state], printable(one.by), printable(one.reason))
    if table.row_count:
        show_table(output(), table)
    else:
        typer.echo("nothing was proposed, promoted or rolled back")


def _facts(page: Promotion) -> list[str]:
    last = page.steps[-1]
    return [
        f"{_moment(last.at)} by {printable(last.by)}: {printable(last.reason)}",
        f"{printable(page.classifier)} in decisions; compared with {page.before}, {printable(page.before_classifier)}",
        f"labels of {_moment(page.period_since)} to {_moment(page.period_until)}",
        f"{page.trained_on} requests trained on, {page.held_back} held back to measure, {page.missing} not to be had",
        f"of those held back {page.moved} go to another tier, {page.untested} of them to or from one without labels",
    ]


def _tables(page: Promotion) -> list[tuple[str, Sequence[str], list[Sequence[str]]]]:
    return [
        (
            "Figures on held-back requests",
            ("", "candidate", "before", "difference, 99 % interval"),
            [_figure(one) for one in page.figures],
        ),
        (
            "Labels",
            ("source", "labels", "beyond their user's bound"),
            [(one.source, str(one.labels), str(one.left_out)) for one in page.labels],
        ),
        (
            "History",
            ("when", "what", "by", "why"),
            [(_moment(one.at), _STATES[one.state], one.by, one.reason) for one in page.steps],
        ),
    ]


def _figure(found: PromotionFigure) -> Sequence[str]:
    show = "{:.1%}" if found.name.endswith("_share") else "{:.4f}"
    interval = "" if found.low is None or found.high is None else f"{found.low:+.4f} to {found.high:+.4f}"
    name = _FIGURES.get(found.name, found.name)
    return name, show.format(found.candidate), show.format(found.active), interval


def _cell(text: str) -> str:
    is_number = (text[:1].isdigit() and " UTC" not in text) or text[:1] in {"+", "-"}
    return f"<td{' class=number' if is_number else ''}>{escape(text)}</td>"


def _moment(at: Timestamp) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
