"""`python -m tierstream.simulator`: the provider simulator as a process of its own."""

from pathlib import Path
from typing import Annotated

import typer

from tierstream.event_loop import run_service
from tierstream.simulator.answers import Script, ScriptError
from tierstream.simulator.behaviour import ConfigError, load_config
from tierstream.simulator.server import serve

_EXIT_USAGE = 2


def main(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = 0,
    config: Annotated[Path | None, typer.Option(help="TOML file of providers and behaviours.")] = None,
    script: Annotated[list[Path] | None, typer.Option(help="JSONL file of answers, plain or .gz; repeatable.")] = None,
    usage_log: Annotated[Path | None, typer.Option(help="JSONL file to append served calls to.")] = None,
    time_scale: Annotated[float | None, typer.Option(help="Factor on all latencies; 0 answers at once.", min=0)] = None,
) -> None:
    """Stand in for the providers on a loopback port, without keys or bills."""
    try:
        chosen = load_config(config)
        if time_scale is not None:
            chosen = chosen.model_copy(update={"time_scale": time_scale})
        answers = Script.load(script or [])
        run_service(
            serve(
                chosen,
                answers,
                host=host,
                port=port,
                usage_log=usage_log,
                announce=lambda url: typer.echo(f"provider simulator listens on {url}"),
            )
        )
    except (ConfigError, ScriptError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"can't start the simulator: {error.strerror or error}; choose another --port or --usage-log")


def _fail(message: str) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(_EXIT_USAGE)


if __name__ == "__main__":
    typer.run(main)
