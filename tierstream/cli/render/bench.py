"""How the figures of a benchmark look on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import show_json

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tierstream.bench.distribution import Distribution
    from tierstream.bench.durability import Durability
    from tierstream.bench.load_figures import LoadFigures
    from tierstream.bench.pipeline_report import PipelineReport
    from tierstream.bench.soak import SoakReport


def show_pipeline(report: "PipelineReport") -> None:
    """Print the loads of a run, then the stages and topics of the last one."""
    console = output(markup=True)
    machine = report.machine
    latency = "" if report.provider_latency_ms is None else f" of {report.provider_latency_ms:g} ms"
    console.print(f"{machine.cpus} CPUs, {machine.system}, Python {machine.python}, tierstream {machine.tierstream}")
    console.print(f"provider: {report.provider}{latency}; workload: {report.workload}; times in ms, p50 / p95 / p99\n")
    show_table(console, _loads(report))
    console.print()
    show_table(console, _processes(report.loads))
    own = [load for load in report.loads if load.stages]
    if own:
        _show_details(console, own[-1])
    _show_limit(console, report)
    if report.comparisons:
        _show_comparisons(console, report)
    if report.soak is not None:
        _show_soak(console, report.soak)
    if report.durability:
        _show_durability(console, report.durability)


def show_measured(figures: "BaseModel", *, as_json: bool) -> None:
    """Print figures, as lines or as JSON."""
    if as_json:
        show_json(figures.model_dump(mode="json"))
    else:
        _show_lines(figures)


def _show_lines(figures: "BaseModel") -> None:
    """Print figures as they are: a line each, those of a part below its name."""
    console = output()
    lines = list(_lines(figures.model_dump(mode="json")))
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        console.print(f"{name:<{width}}  {value}")


def _lines(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        shown = f"{above}{name.replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _lines(value, f"{shown} ")
        elif isinstance(value, list):
            for number, one in enumerate(value, start=1):
                yield from _lines(one, f"{shown} {number} ")
        else:
            yield shown, f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _loads(report: "PipelineReport") -> Table:
    table = _table("load", "requests/s", "results", "latency", "max", "added")
    for load in report.loads:
        worst = "-" if load.latency_ms is None else f"{load.latency_ms.max:.0f}"
        results = f"{load.results} of {load.sent}"
        if not load.complete:
            results += f", {load.missing} missing, {load.duplicates} doubled"
        rate = f"{load.achieved_per_s:.1f}"
        table.add_row(_name(load), rate, results, _spread(load.latency_ms), worst, _spread(load.added_ms))
    return table


def _name(load: "LoadFigures") -> str:
    return load.load if load.system == "tierstream" else f"{load.load}, {load.system}"


def _processes(loads: "Sequence[LoadFigures]") -> Table:
    """CPU for a request, a row a process, and the most memory of each; a column a load."""
    table = _table("CPU ms a request", *(_name(load) for load in loads), "MiB")
    for name in dict.fromkeys(name for load in loads for name in load.cpu_ms):
        spent = (f"{load.cpu_ms[name]:.2f}" if name in load.cpu_ms else "-" for load in loads)
        table.add_row(name, *spent, f"{max(load.rss_mib.get(name, 0) for load in loads):.0f}")
    table.add_row("without client and mock", *(f"{load.own_cpu_ms:.2f}" for load in loads), "")
    table.add_row("CPUs busy elsewhere", *(f"{load.other_cpus:.2f}" for load in loads), "")
    return table


def _show_details(console: Console, load: "LoadFigures") -> None:
    console.print(f"\nstages at {load.load}")
    stages = _table("stage", "steps", "queued", "own")
    for name, times in load.stages.items():
        stages.add_row(name, str(times.steps), _spread(times.queue_ms), _spread(times.own_ms))
    show_table(console, stages)
    console.print(f"\ntopics at {load.load}, for a request")
    topics = _table("topic", "records", "batches", "bytes")
    for name, written in load.topics.items():
        counts = (written.records, written.batches, written.bytes)
        topics.add_row(name, *(f"{count / max(1, load.sent):.2f}" for count in counts))
    show_table(console, topics)


def _show_limit(console: Console, report: "PipelineReport") -> None:
    if report.limit is None or report.ratio is None:
        return
    limit, ratio = report.limit, report.ratio
    console.print(
        f"\na plain aiokafka program: {limit.records_per_s:.0f} records/s, {limit.cpu_ms:.3f} ms of CPU a record; "
        f"the worker's CPU for a request is that of {ratio.worker_records:.1f} of its records"
    )


def _show_comparisons(console: Console, report: "PipelineReport") -> None:
    console.print(f"\ntierstream and {report.comparisons[0].peer}, means of the rounds; above 1 is better")
    table = _table("load", "requests/s", "ratio", "CPU ms: worker", "all ours", "peer", "ratio: worker", "all ours")
    for one in report.comparisons:
        table.add_row(
            one.load,
            f"{one.per_s:.1f} / {one.peer_per_s:.1f}",
            _times(one.throughput_ratio),
            f"{one.worker_cpu_ms:.2f}",
            f"{one.own_cpu_ms:.2f}",
            f"{one.peer_cpu_ms:.2f}",
            _times(one.worker_cpu_ratio),
            _times(one.own_cpu_ratio),
        )
    show_table(console, table)


def _show_soak(console: Console, soak: "SoakReport") -> None:
    console.print(
        f"\nsoak: {soak.per_s:.1f} requests/s, {soak.share:.0%} of saturation; "
        f"{soak.sent} sent, {soak.missing} missing, {soak.duplicates} doubled"
    )
    names = soak.samples[0].rss_mib if soak.samples else ()
    table = _table("at, s", "latency", *(f"{name} MiB" for name in names), "lag")
    for sample in soak.samples:
        memory = (f"{mib:.0f}" for mib in sample.rss_mib.values())
        table.add_row(f"{sample.at_s:.0f}", _spread(sample.latency_ms), *memory, str(sum(sample.lag.values())))
    show_table(console, table)


def _show_durability(console: Console, found: "Sequence[Durability]") -> None:
    console.print(f"\nkilled in the middle of a load of {found[0].rate:g}/s")
    columns = ("sent", "answered", "lost", "doubled", "calls", "repeated", "billed", "unbilled", "unknown")
    table = _table("system", *columns)
    for one in found:
        table.add_row(one.system, *(str(getattr(one, column)) for column in columns))
    show_table(console, table)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _spread(found: "Distribution | None") -> str:
    return "-" if found is None else f"{found.p50:.1f} / {found.p95:.1f} / {found.p99:.1f}"
