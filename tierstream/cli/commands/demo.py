"""`tierstream demo`: the main job on the embedded stack, with figures from the ledger at its end."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live

from streams.config.settings import Settings, SettingsError
from tierstream.cli.commands.stack import new_stack
from tierstream.cli.connection import load_settings
from tierstream.cli.console import output, show_table
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.progress import progress_console
from tierstream.cli.render.ledger import tier_table
from tierstream.cli.render.results import show_json
from tierstream.client.request_run import RunReport
from tierstream.stack.state import Addresses, addresses

if TYPE_CHECKING:
    from tierstream.demo.demo_run import DemoFigures
    from tierstream.stack.stack import Stack


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(epilog=examples("tierstream demo", "tierstream demo --requests 300 --json"))(demo)


def demo(
    ctx: typer.Context,
    requests: Annotated[int, typer.Option(min=1, max=100_000, help="How many requests to send.")] = 500,
    rate: Annotated[float, typer.Option(min=0.1, help="Requests a second.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Decides which requests of the corpus are sent.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Send a company's typical traffic through the stack and show what routing saved.

    Uses the stack that runs here, or starts one and stops it at the end. All providers are simulated, so it costs
    nothing: FAQ chats, document extraction, code, support and data analysis, with labels that say which tier each
    request needs. Exit code 1 if a result is missing or doubled.
    """
    figures = asyncio.run(_run(ctx, requests, rate, seed))
    if as_json:
        show_json(figures.model_dump(mode="json"))
    else:
        _show(figures)
    if figures.results != figures.requests or figures.duplicates:
        raise typer.Exit(FAILED)


async def _run(ctx: typer.Context, requests: int, rate: float, seed: int) -> "DemoFigures":
    from tierstream.demo.demo_run import run_demo  # noqa: PLC0415 - the clients take a second to import
    from tierstream.stack.deployment import with_addresses  # noqa: PLC0415

    settings = load_settings(ctx)
    async with running_stack(ctx, settings) as found:
        if found.simulator is None:
            raise SettingsError("the running stack uses real providers: stop it first, the demo starts a simulated one")
        typer.echo(f"simulated providers: {', '.join(found.simulated)}", err=True)
        report = RunReport()
        with Live(get_renderable=lambda: _progress(report, requests), console=progress_console(), transient=True):
            return await run_demo(
                with_addresses(settings, found),
                requests=requests,
                rate=rate,
                seed=seed,
                simulator=found.simulator,
                report=report,
            )


@asynccontextmanager
async def running_stack(ctx: typer.Context, settings: Settings) -> AsyncIterator[Addresses]:
    """Use the stack that runs, or run one for as long as the context lasts."""
    running = addresses(settings.stack.data_dir.absolute())
    if running is not None:
        yield running
        return
    for provider in settings.providers.values():
        # With its key in the environment a provider would be a real one, and the demo would cost money.
        os.environ.pop(provider.api_key_env, None)
    async with started_stack(ctx, settings) as started:
        yield started


@asynccontextmanager
async def started_stack(ctx: typer.Context, settings: Settings) -> AsyncIterator[Addresses]:
    """Run a stack for as long as the context lasts."""
    typer.echo("starting the embedded stack", err=True)
    stack = new_stack(ctx, settings)
    if not await stack.start():
        raise KeyboardInterrupt
    try:
        if stack.addresses is None:
            raise RuntimeError("a started stack has addresses")
        async with _ended_by(stack):
            yield stack.addresses
    finally:
        await stack.stop()


@asynccontextmanager
async def _ended_by(stack: "Stack") -> AsyncIterator[None]:
    """Interrupt the body when a service can't be kept running (StackError) or a stop signal comes."""
    body = asyncio.current_task()
    watching = asyncio.create_task(stack.wait())
    watching.add_done_callback(lambda done: body.cancel() if body and not done.cancelled() else None)
    try:
        yield
    except asyncio.CancelledError:
        if not watching.done() or watching.cancelled():
            raise
        watching.result()
        raise KeyboardInterrupt from None
    finally:
        watching.cancel()


def _progress(report: RunReport, requests: int) -> str:
    return (
        f"sent {report.produced} of {requests}, results {report.results}, "
        f"by tier {dict(sorted(report.tiers.items()))}, ${report.cost_usd:.4f}"
    )


def _show(figures: "DemoFigures") -> None:
    console = output(markup=True)
    console.print(f"{figures.results} results of {figures.requests} requests, {figures.duplicates} duplicates\n")
    rows = [
        (name, tier.requests, tier.share, tier.cost_usd, tier.latency_ms, tier.provider_ms, tier.own_ms)
        for name, tier in figures.by_tier.items()
    ]
    show_table(console, tier_table(rows))
    console.print()
    console.print(
        f"cost      ${figures.cost_usd:.5f}; the same tokens on {figures.frontier_model}: "
        f"${figures.frontier_cost_usd:.5f}; saved [bold]{figures.saved_share:.1%}[/bold]"
    )
    console.print(
        f"quality   {figures.quality:.1%} right answers; all on the top tier: {figures.frontier_quality:.1%} "
        f"(by the labels of the corpus, simulated providers)"
    )
    console.print(
        f"routing   first tier too low for {figures.misrouted.too_low}, higher than needed for "
        f"{figures.misrouted.too_high}; {figures.escalations} escalations, {figures.promotions} promotions, "
        f"{figures.validations} judged"
    )
    console.print(f"latency   p50 {figures.latency_ms.p50:.0f} ms, p95 {figures.latency_ms.p95:.0f} ms, over all tiers")
    console.print("\nWhere to look next (start the stack with `tierstream up`; the data is kept):")
    console.print(f"  tierstream trace {figures.example}      the hops of one request, with times and cost")
    console.print(f"  tierstream report summary --tag {figures.run}")
    console.print("  tierstream send 'Why is the sky blue?' --wait")
