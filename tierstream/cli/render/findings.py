"""How findings look on a terminal."""

from collections.abc import Iterator

from analytics.findings.model import Finding, Value
from analytics.reports.findings import FindingsReport
from tierstream.cli.console import output
from tierstream.cli.render.results import printable


def show_findings(found: FindingsReport) -> None:
    """Print a paragraph for each finding: what to do first, then what it rests on."""
    console = output()
    console.print(
        f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC: ${found.spent_usd:.2f} spent, "
        f"{found.candidates} questions asked of the figures"
    )
    if not found.findings:
        console.print(f"nothing to do that is {found.min_confidence:.0%} sure")
    for finding in found.findings:
        console.print()
        for line in _lines(finding):
            console.print(printable(line))


def _lines(finding: Finding) -> Iterator[str]:
    low, high = finding.usd_month_low, finding.usd_month_high
    yield f"${finding.usd_month:.2f} a month  {finding.title}"
    yield f"  do        {finding.advice}"
    yield f"  worth     ${low:.2f} to ${high:.2f} a month (95 %), {_confidence(finding.confidence)} sure"
    yield f"  figures   {', '.join(f'{name} {_figure(name, value)}' for name, value in finding.figures.items())}"
    for one in finding.evidence:
        yield f"  look at   tierstream trace {one.request_id}  ({one.why})"
    yield f"  id        {finding.id}"


def _confidence(confidence: float) -> str:
    """A rounded 100 % would be more than is known."""
    return f"{confidence:.1%}" if confidence < 0.9995 else "more than 99.9 %"  # noqa: PLR2004 - where it rounds up


def _figure(name: str, value: Value) -> str:
    match value:
        case float() if name.endswith("share"):
            return f"{value:.1%}"
        case float() if "usd" in name:
            return f"${value:.4f}"
        case float():
            return f"{value:.1f}"
        case _:
            return str(value)
