"""`tierstream breakers`: look at circuit breakers, and order them open or closed."""

import asyncio
from typing import Annotated, Final, Literal

import typer

from streams.config.settings import Settings
from streams.control.control_follower import read_control
from streams.kafka.admin import require_topics
from streams.kafka.clock import utc_now
from streams.kafka.publisher import Output, Publisher
from tierstream.cli.connection import load_with_kafka, operator_name
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.breakers import show_breakers
from tierstream.cli.render.results import show_json
from tierstream.operations.breakers import TargetReport, known_targets, target_reports
from topics.control import BreakerOrder
from topics.registry import CONTROL

Target = Annotated[str, typer.Argument(help="`provider/model`, `tier:N` or `classify`, as the list shows it.")]
Order = Literal["open", "closed", "auto"]

_MEANS: Final[dict[Order, str]] = {
    "open": "lets no call through until `tierstream breakers auto {target}`",
    "closed": "lets every call through, whatever happens, until `tierstream breakers auto {target}`",
    "auto": "decides for itself again",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.command("list", epilog=examples("tierstream breakers list", "tierstream breakers list --json"))(show)
    group.command(
        "open", epilog=examples("tierstream breakers open groq/openai/gpt-oss-20b", "tierstream breakers open tier:1")
    )(order_open)
    group.command("close", epilog=examples("tierstream breakers close tier:2"))(order_closed)
    group.command("auto", epilog=examples("tierstream breakers auto groq/openai/gpt-oss-20b"))(order_auto)
    app.add_typer(group, name="breakers")


def show(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show each breaker: the worst state over all workers, what each worker says, and orders in force.

    A worker that should have repeated that a breaker is not closed, and has not for 90 s, is shown as stale.
    """
    reports = asyncio.run(breaker_reports(load_with_kafka(ctx)))
    if as_json:
        show_json({"targets": [report.as_json() for report in reports]})
    else:
        show_breakers(reports, utc_now())


def order_open(ctx: typer.Context, target: Target, as_json: AsJson = False) -> None:
    """Let no call through, in any worker: requests go to the next model or tier, or to the local classifier."""
    _order(ctx, target, "open", as_json=as_json)


def order_closed(ctx: typer.Context, target: Target, as_json: AsJson = False) -> None:
    """Let every call through, in any worker, however many fail."""
    _order(ctx, target, "closed", as_json=as_json)


def order_auto(ctx: typer.Context, target: Target, as_json: AsJson = False) -> None:
    """Take an order back: the breaker decides for itself again."""
    _order(ctx, target, "auto", as_json=as_json)


def _order(ctx: typer.Context, target: str, order: Order, *, as_json: bool) -> None:
    settings = load_with_kafka(ctx)
    given = asyncio.run(_give(settings, BreakerOrder(target=target, order=order, by=operator_name(), at=utc_now())))
    if as_json:
        show_json(given.model_dump(mode="json"))
    else:
        typer.echo(f"{target} {_MEANS[order].format(target=target)}")


async def breaker_reports(settings: Settings) -> list[TargetReport]:
    """Read what is known of each breaker now.

    Raises:
        TopicError: No broker answers, or the topics are not there.
    """
    await require_topics(settings.kafka)
    return target_reports(await read_control(settings.kafka), known_targets(settings), utc_now())


async def _give(settings: Settings, order: BreakerOrder) -> BreakerOrder:
    known = known_targets(settings)
    if order.target not in known:
        # An order about what was configured once can still be taken back.
        earlier = (await _orders_in_force(settings)) if order.order == "auto" else []
        if order.target not in earlier:
            raise typer.BadParameter(
                f"there is no breaker {order.target!r}: there are {', '.join([*known, *earlier])}", param_hint="TARGET"
            )
    await require_topics(settings.kafka)
    async with Publisher(settings.kafka) as publisher:
        await publisher.publish([Output(CONTROL, order)])
    return order


async def _orders_in_force(settings: Settings) -> list[str]:
    await require_topics(settings.kafka)
    orders = (await read_control(settings.kafka)).orders.values()
    return [order.target for order in orders if order.order != "auto"]
