"""How evaluations and thresholds look on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.training.cross_validation import ControlSlice
    from tierstream.training.evaluation import Interval, Lead, MetricIntervals, Metrics
    from tierstream.training.routing_report import Slice
    from tierstream.training.threshold import Thresholds

_METRICS = {"apgr": "APGR", "cpt50": "CPT(50 %)", "cpt80": "CPT(80 %)", "share95": "calls at 95 % quality"}
_CURVE_WIDTH = 50


def show_slices(slices: Sequence["Slice"]) -> None:
    """Print a table and a curve for each slice."""
    console = output()
    for found in slices:
        quality = f"weaker model {found.weak:.1%} right, stronger {found.strong:.1%}"
        title = f"{printable(found.name)}: {found.outcomes} outcomes, {quality}"
        if not found.routers:
            console.print(Text(f"{title}: the stronger model is no better, there is nothing to route"))
            continue
        # As text: a name from a file is no markup.
        show_table(console, _table(found, Text(title)))
        console.print(_curve(found))


def show_control(slices: Sequence["ControlSlice"], control: str) -> None:
    """Print what was reached with labels that can't help."""
    table = Table(title=f"trained on {control} labels, judged by the true ones", title_justify="left")
    for name in ("slice", "outcomes", "APGR", "lowest", "highest", "repeats", "has to be"):
        table.add_column(name, justify="left" if name == "slice" else "right")
    wanted = "0.5, but for chance" if control == "shuffled" else "below 0.5"
    for found in slices:
        figures = (
            [f"{value:.3f}" for value in (sum(found.apgr) / len(found.apgr), min(found.apgr), max(found.apgr))]
            if found.apgr
            else ["-"] * 3
        )
        table.add_row(Text(printable(found.name)), str(found.outcomes), *figures, str(len(found.apgr)), wanted)
    show_table(output(), table)


def show_thresholds(picked: "Thresholds", target: float, costs: Mapping[str, float], refs: tuple[str, str]) -> None:
    """Print the thresholds with what they lead to, for a weaker and a stronger model."""
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
    table.add_row(f"all to {refs[1]}", "", "100.0%", "", "100.0%", "", f"{all_strong:.2f}", "")
    table.add_row(f"all to {refs[0]}", "", "0.0%", "", "", "", f"{costs['all_weak']:.2f}", "")
    show_table(output(), table)


def _table(found: "Slice", title: Text) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("router", no_wrap=True)
    for label in _METRICS.values():
        table.add_column(label, justify="right")
    table.add_column("lead in APGR", justify="right")
    for row in found.routers:
        table.add_row(row.router, *_cells(row.metrics, row.intervals), _lead(row.model_lead))
    for paper in found.paper:
        shares = (f"{share:.1%}" for share in (paper.cpt50, paper.cpt80))
        table.add_row(f"paper: {paper.router}", f"{paper.apgr:.3f}", *shares, "", "")
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


def _lead(found: "Lead | None") -> str:
    if found is None:
        return ""
    return f"{found.apgr:+.3f} [{found.interval.low:+.3f}, {found.interval.high:+.3f}] {found.verdict}"


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
