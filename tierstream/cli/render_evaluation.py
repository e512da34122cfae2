"""How evaluations and thresholds look on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from streams.routing.evaluation import Interval, MetricIntervals, Metrics
    from streams.routing.threshold import Thresholds
    from tierstream.routing_report import Slice

_METRICS = {"apgr": "APGR", "cpt50": "CPT(50 %)", "cpt80": "CPT(80 %)", "share95": "calls at 95 % quality"}
_CURVE_WIDTH = 50


def show_slices(slices: Sequence["Slice"]) -> None:
    """Print a table and a curve for each slice."""
    console = Console(width=None if Console().is_terminal else 140)
    for found in slices:
        title = (
            f"{found.name}: {found.outcomes} outcomes, weaker model {found.weak:.1%} right, stronger {found.strong:.1%}"
        )
        if not found.routers:
            console.print(Text(f"{title}: the stronger model is no better, there is nothing to route"))
            continue
        console.print(_table(found, title))
        console.print(_curve(found))


def show_thresholds(picked: "Thresholds", target: float, costs: Mapping[str, float]) -> None:
    """Print the thresholds with what they lead to."""
    table = Table(title=f"for {target:.1%} of the stronger model's quality", title_justify="left")
    for name in ("threshold", "score", "strong calls", "needed [95 %]", "quality", "[95 %]", "USD per 1,000", "saved"):
        table.add_column(name, justify="left" if name == "threshold" else "right")
    all_strong = costs["all_strong"]
    for name, found in (("expected", picked.expected), ("cautious", picked.cautious)):
        table.add_row(
            name,
            f"{found.score:.4f}",
            f"{found.strong_share:.1%}",
            _span(found.share_interval),
            f"{found.quality:.1%}",
            _span(found.quality_interval),
            f"{costs[name]:.2f}",
            f"{1 - costs[name] / all_strong:.1%}" if all_strong else "-",
        )
    table.add_row("all strong", "", "100.0%", "", "100.0%", "", f"{all_strong:.2f}", "")
    table.add_row("all weak", "", "0.0%", "", "", "", f"{costs['all_weak']:.2f}", "")
    Console(width=None if Console().is_terminal else 140).print(table)


def _table(found: "Slice", title: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("router", no_wrap=True)
    for label in _METRICS.values():
        table.add_column(label, justify="right")
    for row in found.routers:
        table.add_row(row.router, *_cells(row.metrics, row.intervals))
    for paper in found.paper:
        table.add_row(f"paper: {paper.router}", f"{paper.apgr:.3f}", f"{paper.cpt50:.1%}", f"{paper.cpt80:.1%}", "-")
    return table


def _cells(metrics: "Metrics", intervals: "MetricIntervals | None") -> list[str]:
    cells = []
    for name in _METRICS:
        value = getattr(metrics, name)
        text = f"{value:.3f}" if name == "apgr" else f"{value:.1%}"
        if intervals is not None:
            found = getattr(intervals, name)
            text += f" [{found.low:.3f}, {found.high:.3f}]" if name == "apgr" else f" {_span(found)}"
        cells.append(text)
    return cells


def _curve(found: "Slice") -> Table:
    """Draw the part of the gap that is recovered at each share of strong calls."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("strong calls", justify="right")
    table.add_column("gap recovered by the model", width=_CURVE_WIDTH)
    for row in found.routers:
        table.add_column(row.router, justify="right")
    for step in range(len(found.routers[0].metrics.pgr)):
        recovered = [row.metrics.pgr[step] for row in found.routers]
        bar = Bar(1.0, 0, min(max(recovered[0], 0.0), 1.0), width=_CURVE_WIDTH)
        table.add_row(f"{step * 10} %", bar, *(f"{value:.0%}" for value in recovered))
    return table


def _span(found: "Interval") -> str:
    return f"[{found.low:.1%}, {found.high:.1%}]"
