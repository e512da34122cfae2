"""How figures from the ledger look on a terminal."""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from analytics.reports.ledger import LedgerReport, ListedCall, Reconciliation
    from analytics.reports.summary import Percentiles, Summary
    from analytics.reports.trace import Trace

TierRow = tuple[str, int, float, Decimal | float, "Percentiles | None", "Percentiles | None", "Percentiles | None"]
"""Tier, requests, share, cost in US dollars, and the spans: whole latency, waiting for providers, our own time."""


def tier_table(rows: Iterable[TierRow]) -> Table:
    """Lay the tiers out, narrow enough for 80 columns; spans are p50 / p95 in milliseconds, where there are any."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("tier", "requests", "share", "cost", "latency, ms", "provider, ms", "own, ms"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, requests, share, cost, *spans in rows:
        cells = ["-" if span is None else f"{span.p50:.0f} / {span.p95:.0f}" for span in spans]
        table.add_row(name, str(requests), f"{share:.1%}", f"${cost:.5f}", *cells)
    return table


def show_ledger(found: "LedgerReport") -> None:
    """Print calls, money and the calls that an operator should look at."""
    console = output()
    statuses = ", ".join(f"{status} {count}" for status, count in found.statuses.items())
    console.print(f"{found.requests} requests{_read(found)}: {statuses or '-'}")
    table = Table(title="paid calls")
    for column in ("purpose", "model", "outcome"):
        table.add_column(column)
    for column in ("calls", "cost"):
        table.add_column(column, justify="right")
    for group in found.calls:
        model = f"{group.provider}/{group.model}"
        table.add_row(group.purpose, model, group.outcome, str(group.calls), f"${group.cost_usd:.6f}")
    show_table(console, table)
    _show_money(console, found.money)
    for call in found.listed:
        console.print(_line(call))


def _read(found: "LedgerReport | Summary") -> str:
    """Say what was read where it was not the ledger itself."""
    if found.built_at is None:
        return ""
    day = "%Y-%m-%d %H:%M"
    return f" from {found.since:{day}} to {found.until:{day}} UTC, as of {found.built_at:{day}}"


def _show_money(console: Console, money: "Reconciliation") -> None:
    lines = (
        ("results say", money.results_cost_usd),
        ("calls cost", money.calls_cost_usd),
        ("  in a route", money.routed_cost_usd),
        ("  duplicate", money.duplicate_cost_usd),
        ("  in no route", money.unrouted_cost_usd),
        ("  no result yet", money.unsettled_cost_usd),
        ("  in the shadow", money.shadow_cost_usd),
        ("unexplained", money.unexplained_usd),
        ("unknown, estimated", money.unknown_estimate_usd),
    )
    for name, cost in lines:
        console.print(f"{name:<20}${cost:.12f}")


def _line(call: "ListedCall") -> str:
    cost = "of unknown cost" if call.cost_usd is None else f"${call.cost_usd:.6f}"
    parts = (
        f"{call.outcome} call {call.call_id}",
        f"request {printable(call.request_id)}",
        f"{call.stage}, {call.provider}/{call.model}",
        f"started {call.started_at:%Y-%m-%d %H:%M:%S}",
        f"one of {call.attempt_calls} of its attempt" if call.attempt_calls > 1 else "the only one of its attempt",
        f"about {cost}" if call.is_estimated and call.cost_usd is not None else cost,
    )
    return "; ".join((*parts, "may still run") if call.may_run else parts)


def show_trace(found: "Trace") -> None:
    """Print the hops of a request in order, then its results."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("at, ms", "took", "queued"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("stage", "outcome", "tier", "cost"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    for hop in found.hops:
        table.add_row(
            f"+{hop.start_ms:.0f}",
            f"{hop.duration_ms:.1f}",
            f"{hop.queue_ms:.1f}",
            hop.stage,
            hop.outcome,
            str(hop.tier or ""),
            f"${hop.cost_usd:.6f}" if hop.cost_usd is not None else "",
            printable(", ".join(filter(None, (hop.model, hop.rule or hop.detail or hop.classifier)))),
        )
    console = output()
    console.print(f"request {found.request_id}, arrived {found.arrived_at:%Y-%m-%d %H:%M:%S.%f} UTC\n")
    show_table(console, table)
    for result in found.results:
        error = f" ({result.error_code})" if result.error_code else ""
        revision = f" of revision {result.revision}" if result.revision else ""
        console.print(
            f"result{revision}: {result.status}{error}, ${result.cost_usd:.6f}, {result.latency_ms:.0f} ms, of which "
            f"{result.provider_ms:.0f} ms waiting for providers"
        )
    if not found.results:
        console.print("no result yet")


def show_summary(found: "Summary", frontier: str) -> None:
    """Print cost, share and latency by tier; `frontier` is the model that costs are compared with."""
    console = output()
    if not found.requests:
        console.print("no requests settled in this window")
        return
    console.print(f"{found.requests} requests{_read(found)}")
    rows = [
        (str(tier.tier or "none"), tier.requests, tier.share, tier.cost_usd, tier.latency, tier.provider, tier.own)
        for tier in found.tiers
    ]
    show_table(console, tier_table(rows))
    console.print("status    " + ", ".join(f"{status} {count}" for status, count in found.statuses.items()))
    saved = f"; saved {found.saved_share:.1%}" if found.saved_share is not None else ""
    console.print(f"cost      ${found.total_cost_usd:.6f}; on {frontier}: ${found.frontier_cost_usd:.6f}{saved}")
    calls = ", ".join(f"{purpose.purpose} {purpose.calls} (${purpose.cost_usd:.6f})" for purpose in found.purposes)
    console.print(f"calls     {calls}; {found.unknown_calls} of unknown outcome")
    for line in (*_sharing(found), *_departures(found)):
        console.print(line)
    console.print(
        f"routing   {found.escalations} escalations, {found.promotions} promotions, {found.validations} judged"
    )
    if feedback := found.feedback:
        kinds = ", ".join(f"{kind} {count}" for kind, count in feedback.kinds.items())
        console.print(
            f"feedback  {feedback.matched} on results ({kinds or '-'}), {feedback.unmatched} unmatched; "
            f"{feedback.retried} answered anew"
        )
    if found.top_users:
        users = ", ".join(f"{user.user_id or 'none'} {user.share:.0%}" for user in found.top_users[:5])
        console.print(f"users     {users} of the cost")


def _sharing(found: "Summary") -> Iterable[str]:
    sharing = found.sharing
    if sharing.shared_calls:
        yield (
            f"sharing   {sharing.shared_calls} calls answered {sharing.shared_calls + sharing.saved_calls} requests; "
            f"saved {sharing.saved_calls} calls, ${sharing.saved_cost_usd:.6f}"
        )


def _departures(found: "Summary") -> Iterable[str]:
    """Tell of batches and streams, where there are any."""
    for tier in found.departures:
        parts = []
        if tier.batch_size > 1 or tier.batch_wait_ms > 0:
            parts.append(f"batches of {tier.batch_size:.1f} on average, which waited {tier.batch_wait_ms:.1f} ms")
        if tier.first_token_p50_ms is not None:
            parts.append(f"first text of {tier.streamed} streams after {tier.first_token_p50_ms:.0f} ms (p50)")
        if parts:
            yield f"tier {tier.tier:<5}{'; '.join(parts)}"
