"""How results look on a terminal: one line each, or whole; JSON where it is asked for."""

import json
from collections.abc import Sequence
from typing import Any

import typer

from tierstream.client.request_run import RunReport
from topics.messages import ToolCall
from topics.results import Result

_EXCERPT = 60
_NAMED = 5


def show_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a JSON document."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def show_result(result: Result, *, as_json: bool) -> None:
    """Print a result as one line: JSON, or columns with the beginning of the answer."""
    if as_json:
        typer.echo(result.model_dump_json())
        return
    typer.echo(f"{result.request_id:<36}  {headline(result)}  {_excerpt(result)}".rstrip())


def headline(result: Result) -> str:
    """Return status, tier, model, cost and latency in columns."""
    where = f"T{result.tier} {result.provider}/{result.model}" if result.tier is not None else "-"
    if result.revision:
        where += f", revision {result.revision}"
    return f"{result.status.value:<8}  {where:<32}  ${result.cost_usd:.6f}  {result.latency_ms:>6.0f} ms"


def show_answer(result: Result, *, as_json: bool) -> None:
    """Print the whole answer to stdout and what it took to stderr."""
    if as_json:
        typer.echo(result.model_dump_json())
        return
    if result.content or (result.content is not None and not result.tool_calls):
        typer.echo(printable(result.content))
    for call in result.tool_calls:
        typer.echo(call_line(call))
    reason = "".join(f"  {printable(text)}" for text in (result.reason, result.said) if text is not None)
    if result.error is not None:
        reason = f"  {result.error.code}: {printable(result.error.message)}"
    typer.echo(f"{headline(result)}{reason}", err=True)


def show_report(report: RunReport, *, as_json: bool, **more: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print what a run came to; `more` joins the JSON."""
    figures = {**report.as_json(), **more}
    if as_json:
        show_json(figures)
        return
    latency = figures["latency_ms"]
    rows = [
        ("results", f"{report.results} of {report.requests} ({report.duplicates} duplicates)"),
        ("by status", _counts(figures["by_status"])),
        ("by tier", _counts({f"T{tier}": count for tier, count in figures["by_tier"].items()})),
        ("cost", f"${report.cost_usd:.6f}"),
        ("latency", "-" if latency["p50"] is None else f"p50 {latency['p50']:.0f} ms, p95 {latency['p95']:.0f} ms"),
        ("took", f"{report.elapsed_s:.1f} s"),
    ]
    for name, value in rows:
        typer.echo(f"{name:<10} {value}")


def name_some(ids: Sequence[str]) -> str:
    """Name the first few ids, and how many more there are."""
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def printable(text: str) -> str:
    """Drop control characters, with which an answer could take over the terminal; keep line breaks and tabs."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def call_line(call: ToolCall) -> str:
    """Return a call that a model wants made as one line."""
    return printable(f"→ {call.function.name}({' '.join(call.function.arguments.split())})")


def _excerpt(result: Result) -> str:
    text = result.content if result.content is not None else result.error.message if result.error is not None else ""
    line = " ".join([*printable(text).split(), *map(call_line, result.tool_calls)])
    return line if len(line) <= _EXCERPT else f"{line[: _EXCERPT - 1]}…"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "-"
