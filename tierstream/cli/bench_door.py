"""`tierstream bench door`: what HTTP adds to a request over Kafka, and what it costs beside another proxy."""

import asyncio
from typing import Annotated

import typer

from tierstream.cli.bench_loads import PeerChoice, loads_of, read_rates, tell
from tierstream.cli.bench_stack import on_stack
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.bench import show_measured

DOOR_EXAMPLES = examples("tierstream bench door", "tierstream bench door --rates 20,saturation --peer litellm --json")


def door(
    ctx: typer.Context,
    rates: Annotated[
        str,
        typer.Option(
            callback=read_rates,
            metavar="RATE,…",
            help="Loads: requests a second, or `saturation`, one after the other.",
        ),
    ] = "20,saturation",
    duration: Annotated[float, typer.Option(min=1, help="Seconds of each load.")] = 15.0,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests without an answer at saturation.")] = 128,
    peer: Annotated[
        PeerChoice | None,
        typer.Option(help="Put the same loads on LiteLLM's proxy too, which calls the same provider."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the same loads on a stack over Kafka and over HTTP, and show what the door adds to latency and CPU.

    Exit code 1 if an answer is missing.
    """
    from tierstream.bench.door import measure_door  # noqa: PLC0415 - the clients take a second to import
    from tierstream.bench.litellm_install import installed_litellm  # noqa: PLC0415

    loads = loads_of(rates)
    programs = None if peer is None else asyncio.run(installed_litellm(tell))
    found = on_stack(ctx, lambda stack: measure_door(stack, loads, duration, in_flight, programs, tell))
    show_measured(found, as_json=as_json)
    if not found.complete:
        raise typer.Exit(FAILED)
