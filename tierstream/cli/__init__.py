"""The command line. A command group is one file in `commands` and one line in `_COMMANDS`."""

from pathlib import Path
from typing import Annotated

import typer

from tierstream.cli.root import Listed, RootGroup
from tierstream.interrupts import interrupt_again

_COMMANDS = (
    Listed(
        "up",
        "stack",
        "Start what has no address yet: Kafka, ClickHouse, simulated providers and workers; Ctrl-C stops them.",
    ),
    Listed("down", "stack", "Stop a stack that runs in the background, or what a killed one left behind."),
    Listed(
        "status",
        "stack",
        "Show the parts of the stack, and breakers that are not closed; exit code 1 unless all parts run.",
    ),
    Listed("demo", "demo", "Send a company's typical traffic through the stack and show what routing saved."),
    Listed("send", "send", "Send a request, or a file of requests, and print the request ids."),
    Listed("results", "results", "Read published results; one line each."),
    Listed("route", "route", "Show which tier a request would go to, without sending it."),
    Listed("run", "run", "Send all requests of a file and write one result a line, in the order in which they come."),
    Listed(
        "feedback",
        "feedback",
        "Give feedback on a result, or a file of feedback, and have the request answered anew where that is asked for.",
    ),
    Listed("trace", "trace", "Show the hops of a request: where it went, how long each step took and what it cost."),
    Listed("report", "report", "Figures from the ledger."),
    Listed("dashboard", "dashboard", "Serve the pages of the ledger on this machine until SIGTERM or Ctrl-C."),
    Listed(
        "serve",
        "serve",
        "Serve OpenAI's and Anthropic's APIs in front of the topics until SIGTERM or Ctrl-C.",
    ),
    Listed(
        "verify",
        "verify",
        "Prove the invariants: compare requests, results, journal, dead letters and ledger, record by record.",
    ),
    Listed("dead-letters", "dead_letters", "Records that could not be served."),
    Listed("breakers", "breakers", "Circuit breakers of models and tiers."),
    Listed("budgets", "budgets", "What is spent of each budget, whether the ledger agrees, and recent alerts."),
    Listed(
        "submissions",
        "submissions",
        "Show batches of providers: calls in each, the provider's id of it, and when it is given up.",
    ),
    Listed("canary", "canary", "Candidates that serve a share of a tier's requests."),
    Listed(
        "train",
        "train",
        "Train the classifier, from labelled requests or from labelled outcomes of a weaker and a stronger model.",
    ),
    Listed("score", "train", "Score prompts: how much each needs the stronger model, from 0 to 1."),
    Listed(
        "evaluate", "evaluate", "Evaluate a classifier, conversation signals or checks of answers on labelled ones."
    ),
    Listed(
        "calibrate",
        "calibrate",
        "Pick from which score a prompt or request goes to a stronger tier, for a quality or the least cost.",
    ),
    Listed("models", "models", "Versions of the classifier's model: publish, activate, roll back."),
    Listed("learn", "learn", "What a deployment learns from its own traffic: train, watch, and replay under a budget."),
    Listed(
        "replay",
        "replay",
        "Run recorded requests through another policy, without a call: what would change, and what it would cost.",
    ),
    Listed("topics", "topics", "Create, check and describe the topics."),
    Listed("config", "config", "Look at the settings."),
    Listed("worker", "worker", "Run stages until SIGTERM or Ctrl-C."),
    Listed("sink", "sink", "Write results, calls and hops to ClickHouse until SIGTERM or Ctrl-C."),
    Listed("simulator", "simulator", "Stand in for the providers on a loopback port, without keys or bills."),
    Listed(
        "chaos",
        "chaos",
        "Run load through a simulated stack while workers, broker, ClickHouse and providers are killed and stopped.",
    ),
    Listed("bench", "bench", "Measure throughput, latency and CPU on a stack of its own."),
)


class _Commands(RootGroup):
    listed = _COMMANDS


app = typer.Typer(
    name="tierstream",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - for this alone

        typer.echo(f"tierstream {version('tierstream')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="Settings file; default: $TIERSTREAM_CONFIG, else ./tierstream.toml."
        ),
    ] = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Log more to stderr; twice for everything.")
    ] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Cost-aware LLM routing as an event stream over Kafka.

    Exit codes: 0 done; 1 what was asked for did not succeed; 2 wrong usage, settings or environment.
    """
    # The command's module is loaded by now.
    from tierstream.cli.connection import Invocation  # noqa: PLC0415
    from tierstream.cli.log_output import configure_logging  # noqa: PLC0415
    from tierstream.cli.progress import configure_progress  # noqa: PLC0415

    interrupt_again()
    configure_logging(verbose)
    configure_progress(quiet=quiet)
    ctx.obj = Invocation(config_file, verbose)
