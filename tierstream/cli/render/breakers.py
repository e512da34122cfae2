"""How circuit breakers look on a terminal."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable
from tierstream.operations.breakers import TargetReport, WorkerReport
from topics.control import BreakerState, BreakerStatus

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def show_breakers(reports: Iterable[TargetReport], now: datetime) -> None:
    """Print a line for each target, one for each worker that has said something of it, and one for an order."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("breaker", "state", "for"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold")
    for report in reports:
        table.add_row(report.target, report.state.value, _for(report.worst, now), "")
        for worker in report.workers:
            table.add_row(f"  {printable(worker.status.worker)}", *_worker_cells(worker, now))
        if report.order is not None:
            table.add_row(
                "  order", report.order.order, _span(now - report.order.at), f"by {printable(report.order.by)}"
            )
    show_table(output(), table)


def show_noteworthy(reports: Iterable[TargetReport], now: datetime) -> None:
    """Print a line for each breaker."""
    console = output()
    for report in reports:
        parts = [f"breaker {report.target}: {report.state.value}"]
        if report.worst is not None and report.state != BreakerState.CLOSED:
            parts.append(f"for {_for(report.worst, now)}: {printable(report.worst.reason)}")
        if report.order is not None:
            parts.append(f"(ordered {report.order.order} by {printable(report.order.by)})")
        console.print(" ".join(parts))


def _worker_cells(worker: WorkerReport, now: datetime) -> tuple[str, str, str]:
    status = worker.status
    if worker.is_stale:
        return f"{status.state.value}?", _for(status, now), f"stale: nothing said for {_span(now - status.at)}"
    why = printable(status.reason)
    if status.until is not None and status.until > now:
        why += f"; probes in {_span(status.until - now)}"
    return status.state.value, _for(status, now), why


def _for(status: BreakerStatus | None, now: datetime) -> str:
    return _span(now - status.since) if status is not None else ""


def _span(span: timedelta) -> str:
    """Write a duration in its largest unit; clocks that differ make none negative."""
    seconds = max(span.total_seconds(), 0.0)
    if seconds < 2 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    if seconds < 2 * _DAY:
        return f"{seconds / _HOUR:.0f} h"
    return f"{seconds / _DAY:.0f} d"
