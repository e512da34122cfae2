"""`tierstream config`: what the settings come to, and whether a worker could run with them."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

import typer
from rich import box
from rich.table import Table

from streams.calls.pricing import PriceBook, UnknownPriceError
from streams.config.eligible_models import EligibleModels
from streams.config.model_catalogue import ModelTable
from streams.config.settings import Settings
from streams.kafka.clock import utc_now
from streams.validation.judges import without_other_family
from tierstream.cli.connection import load_settings
from tierstream.cli.console import output, show_table
from tierstream.cli.errors import FAILED
from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.render.results import show_json
from tierstream.operations.settings_files import file_problems

_HIDDEN = "***"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True)
    group.callback()(_config)
    group.command(
        epilog=examples("tierstream config check", "tierstream --config prod.toml config check --require-keys")
    )(check)
    app.add_typer(group, name="config")


def _config() -> None:
    """Look at the settings."""


@dataclass
class Findings:
    """What a check found."""

    problems: list[str] = field(default_factory=list)
    """Each would stop a worker, or has a model in a chain that never answers."""
    warnings: list[str] = field(default_factory=list)


def check(
    ctx: typer.Context,
    require_keys: Annotated[
        bool, typer.Option("--require-keys", help="A missing key is a problem: no provider may be simulated.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the settings as they were put together, with keys, prices and what is known of the models.

    Exit code 1 if a worker could not run or a model is retired. Keys are looked up, never shown. Needs neither a broker
    nor a provider, so a CI job can run it with --json.
    """
    settings = load_settings(ctx)
    findings = Findings(problems=file_problems(settings), warnings=_useless(settings))
    providers = _providers(settings, os.environ, findings, require_keys=require_keys)
    models = _models(settings, findings)
    about_models = _known(settings, findings)
    if as_json:
        show_json(
            {
                "settings": resolved(settings),
                "providers": providers,
                "models": models,
                "findings": about_models,
                "problems": findings.problems,
                "warnings": findings.warnings,
            }
        )
    else:
        _show(settings, providers, models, findings)
    if findings.problems:
        raise typer.Exit(FAILED)


def resolved(settings: Settings) -> dict[str, Any]:
    """Return all values of the settings, with passwords in URLs hidden."""
    values: dict[str, Any] = settings.model_dump(mode="json")
    if settings.clickhouse.url is not None:
        values["clickhouse"]["url"] = without_password(settings.clickhouse.url)
    for name, provider in settings.providers.items():
        if provider.base_url is not None:
            values["providers"][name]["base_url"] = without_password(provider.base_url)
    return values


def without_password(url: str) -> str:
    """Hide what may be a secret in a URL: its password, and what follows the question mark."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{colon and colon + _HIDDEN}{at}{host}"
    return urlunsplit((parts.scheme, netloc, parts.path, parts.query and _HIDDEN, ""))


def _providers(
    settings: Settings, environ: Mapping[str, str], findings: Findings, *, require_keys: bool
) -> list[dict[str, Any]]:
    used = {model.provider for _, model in settings.models()}
    rows = []
    for name, provider in settings.providers.items():
        has_key = bool(environ.get(provider.api_key_env, "").strip())
        row = {"name": name, "protocol": provider.protocol, "key_variable": provider.api_key_env, "key": has_key}
        rows.append({**row, "used": name in used, "simulated": name in used and not has_key})
        if name not in used:
            continue
        if not has_key:
            line = f"provider {name}: {provider.api_key_env} is not set"
            if require_keys:
                findings.problems.append(line)
            else:
                findings.warnings.append(f"{line}; `tierstream up` simulates it, a worker of its own does not start")
    return rows


def _useless(settings: Settings) -> list[str]:
    """Describe what is set and has no effect, a line each."""
    known = {model.ref for _, model in settings.models()}
    found = [f"prices.{ref}: no model in use is called so" for ref in settings.prices if ref not in known]
    judge, fallback = settings.validation.judge, settings.validation.fallback
    if not settings.validation.judges and judge is not None and fallback is not None and judge.ref == fallback.ref:
        found.append(f"validation.fallback: {fallback.ref} is the judge itself: nobody judges while it is away")
    found.extend(without_other_family(settings))
    for place, tier in ((f"tiers[{tier.name}]", tier) for tier in settings.tiers):
        refs = [model.ref for model in tier.models]
        found.extend(f"{place}: {ref} stands there twice and is asked once" for ref in known if refs.count(ref) > 1)
    return found


def _models(settings: Settings, findings: Findings) -> list[dict[str, Any]]:
    prices = PriceBook(settings.prices, settings.providers)
    eligible = EligibleModels(settings)
    rows = []
    for place, model in settings.models():
        row: dict[str, Any] = {"place": place, "model": model.ref, "timeout_s": model.timeout_s}
        row["context_window"] = eligible.windows.limits(model).window
        row["takes"] = sorted(eligible.takes(model))
        try:
            rates = prices.rates(model.provider, model.model, utc_now())
        except UnknownPriceError as error:
            row["price"] = None
            findings.problems.append(f"{place}: {error}")
        else:
            row["price"] = {"input": str(rates.input), "output": str(rates.output), "source": rates.source}
        rows.append(row)
    return rows


def _known(settings: Settings, findings: Findings) -> list[dict[str, Any]]:
    """Look the models up in the table of models; what no longer answers is a problem, all else a warning."""
    table = ModelTable(settings.providers, settings.retired)
    found = table.findings(settings.models(), utc_now().date())
    for finding in found:
        lines = findings.warnings if finding.answers else findings.problems
        lines.append(f"{finding.place}: {finding.message}")
    return [asdict(finding) for finding in found]


def _show(
    settings: Settings, providers: list[dict[str, Any]], models: list[dict[str, Any]], findings: Findings
) -> None:
    console = output()
    values = resolved(settings)
    table = Table("setting", "value", box=box.SIMPLE)
    for section in ("kafka", "delivery", "clickhouse", "routing", "validation", "escalation", "deadlines", "stack"):
        for name, value in _flat(section, values[section]):
            table.add_row(name, str(value))
    show_table(console, table)
    table = Table("provider", "protocol", "key", "", box=box.SIMPLE)
    for row in providers:
        note = "simulated" if row["simulated"] else "" if row["used"] else "not used"
        table.add_row(
            row["name"], row["protocol"], f"{row['key_variable']} {'is set' if row['key'] else 'is not set'}", note
        )
    show_table(console, table)
    table = Table("place", "model", "window", "takes", "$/M in", "$/M out", "source", box=box.SIMPLE)
    for row in models:
        price = row["price"]
        table.add_row(
            row["place"],
            row["model"],
            f"{row['context_window']:,}" if row["context_window"] else "unknown",
            ", ".join(row["takes"]),
            _amount(price and price["input"]),
            _amount(price and price["output"]),
            price["source"] if price else "",
        )
    show_table(console, table)
    for warning in findings.warnings:
        console.print(f"warning: {warning}")
    for problem in findings.problems:
        console.print(f"problem: {problem}")
    if not findings.problems:
        console.print("no problem found")


def _amount(price: str | None) -> str:
    return "unknown" if price is None else f"{Decimal(price).normalize():f}"


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - JSON values
    """Yield dotted names and values; rules are named only."""
    if name == "routing.rules":
        yield name, ", ".join(rule["name"] for rule in value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{name}.{key}", inner)
    elif value is not None:
        yield name, value
