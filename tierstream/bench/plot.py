"""Figures as pictures: what each load cost and how long it took, how a long run went, and what a router learnt."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tierstream.bench.load_figures import TIERSTREAM, LoadFigures
from tierstream.bench.month_report import MonthReport
from tierstream.bench.pipeline_report import PipelineReport
from tierstream.bench.soak import SoakReport
from tierstream.stack.errors import StackError
from tierstream.training.replay_curves import ReplayCurves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PERCENTILES: Final = ("p50", "p95", "p99")
_INCHES: Final = (11.0, 4.5)
_DPI: Final = 120
_STEPS: Final = {"promoted": "green", "planted": "purple", "rolled_back": "red"}
_RUNS: Final = {"off": "loop off", "on": "loop on", "budget": "under a budget"}


def require_plotting() -> None:
    """Find out whether figures can be drawn, before anything is measured for them.

    Raises:
        StackError: The library is not installed; says what to do.
    """
    _new_figure(1)


def draw(report: PipelineReport, file: Path) -> None:
    """Draw a report: its long run where it has one, else its loads.

    Args:
        report: With one load at least.
        file: Its ending says of which format, such as `.png` or `.svg`.

    Raises:
        StackError: The library is not installed.
        OSError: The file can't be written.
    """
    figure = _drawn_loads(report) if report.soak is None else _drawn_soak(report.soak)
    figure.savefig(file, dpi=_DPI)


def draw_replay(curves: ReplayCurves, file: Path) -> None:
    """Draw how a replay went over time, means over its seeds.

    Args:
        curves: What is drawn.
        file: Its ending says of which format.

    Raises:
        StackError: The library is not installed.
        OSError: The file can't be written.
    """
    figure, (reward, cost, shares) = _new_figure(3)
    reward.plot(curves.at, curves.rewards, label="router")
    reward.plot(curves.at, curves.no_skill, linestyle="--", label="no-skill mix")
    reward.plot(curves.at, curves.oracle, linestyle=":", label="oracle")
    _finish(reward, "mean reward", f"reward of the last {curves.window} requests")
    reward.set_ylim(bottom=curves.lowest_reward, top=1.0)
    cost.plot(curves.at, curves.costs, label="mean cost so far")
    cost.axhline(curves.budget_usd, linestyle="--", color="black", label="budget")
    _finish(cost, "dollars a request", "spending")
    shares.stackplot(curves.at, *curves.shares.values(), labels=list(curves.shares))
    _finish(shares, "share", f"models of the last {curves.window} requests")
    for axes in (reward, cost, shares):
        axes.set_xlabel("requests")
        if curves.change_at is not None:
            axes.axvline(curves.change_at, color="grey", linewidth=0.8)
    figure.savefig(file, dpi=_DPI)


def draw_month(report: MonthReport, file: Path) -> None:
    """Draw quality and cost by day in each run, and where the world or the classifier's model changed.

    Args:
        report: What is drawn.
        file: Its ending says of which format.

    Raises:
        StackError: The library is not installed.
        OSError: The file can't be written.
    """
    figure, (quality, cost) = _new_figure(2)
    for run in report.runs:
        days = [day for day in run.days if day.requests]
        at, name = [day.day for day in days], _RUNS[run.name]
        [line] = quality.plot(at, [day.right / day.requests for day in days], label=name)
        if run.learned.revisions:
            in_the_end = [day.right_in_the_end / day.requests for day in days]
            quality.plot(at, in_the_end, ":", color=line.get_color(), label=f"{name}, after retries")
        cost.plot(at, [float(day.cost_usd) * 1000 / day.requests for day in days], label=name)
    for axes in (quality, cost):
        _mark_month(axes, report)
    _finish(quality, "share", "right answers by day")
    quality.set_ylim(0.4, 1.0)
    _finish(cost, "dollars", "cost of 1,000 requests by day")
    figure.savefig(file, dpi=_DPI)


def _mark_month(axes: "Axes", report: MonthReport) -> None:
    axes.set_xlabel("day")
    for change in report.changes:
        axes.axvline(change.day - 0.5, color="grey", linewidth=0.8)
    named = set[str]()
    for step in report.on.steps:
        name = "planted" if step.version == report.on.planted and step.state == "promoted" else step.state
        if (colour := _STEPS.get(name)) is not None:
            label = None if name in named else f"{name.replace('_', ' ')}, loop on"
            axes.axvline(step.day + 0.5, color=colour, linewidth=1.0, linestyle=":", label=label)
            named.add(name)


def _drawn_loads(report: PipelineReport) -> "Figure":
    figure, (latency, cpu) = _new_figure(2)
    # By number, for with a peer each load stands there twice.
    places, names = range(len(report.loads)), [_name(load) for load in report.loads]
    for percentile in _PERCENTILES:
        values = [getattr(load.latency_ms, percentile, float("nan")) for load in report.loads]
        latency.plot(places, values, marker="o", label=percentile)
    _finish(latency, "ms", f"latency, {report.workload}", scale="log")
    _stack_cpu(cpu, report.loads)
    _finish(cpu, "ms of CPU", "CPU a request, by process")
    for axes in (latency, cpu):
        axes.set_xticks(places, names)
    return figure


def _stack_cpu(axes: "Axes", loads: Sequence[LoadFigures]) -> None:
    below = [0.0] * len(loads)
    for process in dict.fromkeys(process for load in loads for process in load.cpu_ms):
        values = [load.cpu_ms.get(process, 0.0) for load in loads]
        axes.bar(range(len(loads)), values, bottom=below, label=process)
        below = [one + other for one, other in zip(below, values, strict=True)]


def _drawn_soak(soak: SoakReport) -> "Figure":
    figure, (latency, memory, lag) = _new_figure(3)
    at = [sample.at_s / 60 for sample in soak.samples]
    for percentile in ("p50", "p99"):
        values = [getattr(sample.latency_ms, percentile, float("nan")) for sample in soak.samples]
        latency.plot(at, values, label=percentile)
    _finish(latency, "ms", f"latency at {soak.per_s:.0f} requests/s")
    for process in dict.fromkeys(process for sample in soak.samples for process in sample.rss_mib):
        memory.plot(at, [sample.rss_mib.get(process, float("nan")) for sample in soak.samples], label=process)
    _finish(memory, "MiB", "resident memory")
    lag.plot(at, [sum(sample.lag.values()) for sample in soak.samples], label="all groups")
    _finish(lag, "records", "consumer lag")
    for axes in (latency, memory, lag):
        axes.set_xlabel("minutes")
    return figure


def _finish(axes: "Axes", unit: str, title: str, *, scale: Literal["linear", "log"] = "linear") -> None:
    axes.set_ylabel(unit)
    axes.set_title(title)
    if scale == "log":
        axes.set_yscale(scale)
    else:
        # Cut off at the bottom, what is flat would look as if it grew.
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.tick_params(axis="x", labelrotation=30)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")


def _name(load: LoadFigures) -> str:
    return load.load if load.system == TIERSTREAM else f"{load.load}\n{load.system}"


def _new_figure(columns: int) -> "tuple[Figure, Any]":
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise StackError("--plot needs matplotlib: pip install 'tierstream[bench]'") from None
    # Without pyplot, which would look for a display.
    figure = Figure(figsize=_INCHES, layout="constrained")
    return figure, figure.subplots(1, columns)
