"""`tierstream route`: which tier a request would go to and why, without sending it."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.table import Table

from streams.config.context_windows import ContextTooLongError, ContextWindows
from streams.config.settings import Settings
from streams.config.settings_sections import RuleSettings
from streams.routing.llm.prompt import question_of
from streams.routing.policy import bounds_problem
from streams.routing.router import Draft
from tierstream.cli.connection import load_settings
from tierstream.cli.console import output, show_table
from tierstream.cli.errors import FAILED, show_error, show_warning
from tierstream.cli.help_text import examples
from tierstream.cli.piped_prompt import piped_prompt
from tierstream.cli.render.results import printable, show_json
from tierstream.client.request_file import InputError, parse_request, random_id, read_lines
from topics.requests import DataClass, Impact, Request, ServiceClass, Tolerance
from topics.tasks import Decision

_STDIN = "-"
_EFFECTS = ("tier", "floor", "ceiling", "threshold_shift", "validate_answer")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        epilog=examples(
            'tierstream route "Do you ship to Norway?"',
            'tierstream route --explain --role ceo "Are our projections ok?"',
            "echo Hello | tierstream route --user ann",
            "tierstream route --json - < request.json",
        )
    )(route)


def route(
    ctx: typer.Context,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT|-]", help="The prompt; default: stdin; -: a request as JSON there."),
    ] = None,
    file: Annotated[Path | None, typer.Option(metavar="FILE", help="A file with the prompt.")] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="A system message before it.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asks.")] = None,
    feature: Annotated[str | None, typer.Option(help="For which feature of the product.")] = None,
    query_type: Annotated[str | None, typer.Option(help="What kind of request it is; default: guessed.")] = None,
    role: Annotated[str | None, typer.Option(help="Role of the user, such as ceo.")] = None,
    impact: Annotated[Impact | None, typer.Option(help="What a wrong answer costs.")] = None,
    tolerance: Annotated[Tolerance | None, typer.Option(help="How much error the work bears.")] = None,
    data_class: Annotated[DataClass | None, typer.Option(help="Which providers may see the text.")] = None,
    service_class: Annotated[ServiceClass | None, typer.Option(help="How long the requester waits.")] = None,
    self_validating: Annotated[
        bool, typer.Option("--self-validating", help="The requester checks the answer itself.")
    ] = False,
    min_tier: Annotated[int | None, typer.Option(min=1, help="Lowest tier to use.")] = None,
    max_tier: Annotated[int | None, typer.Option(min=1, help="Highest tier to use.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be given several times.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show scores, thresholds and rules.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the decision as JSON.")] = False,
) -> None:
    """Show which tier a request would go to, without sending it.

    The same rules, limits, classifier and context windows decide as in a worker with these settings. Nothing leaves
    this machine and neither broker nor provider is needed: where a worker would ask a language model, it is said so.
    Exit code 1 if no tier has room for the request.
    """
    context = {
        "user_role": role,
        "business_impact": impact,
        "error_tolerance": tolerance,
        "data_class": data_class,
        "self_validating": self_validating or None,
    }
    fields: dict[str, Any] = {
        "user_id": user,
        "feature": feature,
        "query_type": query_type,
        "service_class": service_class,
        "min_tier": min_tier,
        "max_tier": max_tier,
        "tags": tag,
        "context": {name: value for name, value in context.items() if value is not None},
    }
    fields = {name: value for name, value in fields.items() if value}
    settings = load_settings(ctx)
    limit = settings.kafka.request_max_bytes
    if prompt == _STDIN:
        if fields or system is not None or file is not None:
            raise typer.BadParameter("- goes with --explain and --json only: the request says the rest")
        request = _read_request(limit)
    else:
        before = [{"role": "system", "content": system}] if system is not None else []
        fields["messages"] = [*before, {"role": "user", "content": _prompt(prompt, file)}]
        request = parse_request(fields, "request", random_id, limit)[0]
    try:
        draft = _draft(settings, request)
    except ContextTooLongError as error:
        show_error(str(error))
        raise typer.Exit(FAILED) from None
    if as_json:
        show_json(draft.decision.model_dump(mode="json"))
    elif explain:
        _show(settings, draft)
    else:
        typer.echo(_headline(settings, draft))


def _prompt(text: str | None, file: Path | None) -> str:
    if text is not None and file is not None:
        raise typer.BadParameter("give the prompt once: as an argument or with --file")
    try:
        content = file.read_text(encoding="utf-8") if file is not None else text
    except UnicodeDecodeError:
        raise InputError(f"{file}: not UTF-8") from None
    if content is None:
        content = piped_prompt("as an argument, with --file, or on stdin")
    if not content.strip():
        raise typer.BadParameter("the prompt is empty")
    return content


def _read_request(limit: int) -> Request:
    # All of stdin as one line: a request that was formatted to be read has many.
    document = sys.stdin.buffer.read()
    line = next(read_lines([document], "stdin", random_id, limit), None)
    if line is None:
        raise InputError("stdin: there is no request in it")
    if line.unknown_fields:
        show_warning(f"stdin: fields that nobody reads: {', '.join(line.unknown_fields)}")
    return line.request


def _draft(settings: Settings, request: Request) -> Draft:
    # Brings Faust with it, which takes a second to import.
    from tierstream.worker import new_router  # noqa: PLC0415

    if problem := bounds_problem(request, settings.top_tier):
        raise InputError(problem)
    if not settings.may_serve(request.context.data_class):
        raise InputError(f"context.data_class: no provider may see {request.context.data_class.value} data")
    return new_router(settings, ContextWindows(settings)).draft(request, request.digest(), 0)


def _headline(settings: Settings, draft: Draft) -> str:
    decision = draft.decision
    unless = f", unless {settings.classifier_model.ref} thinks otherwise" if _asked_with(settings, draft) else ""
    return printable(f"T{decision.tier} {settings.tiers[decision.tier - 1].name}: {_decided_by(decision)}{unless}")


def _asked_with(settings: Settings, draft: Draft) -> str | None:
    """Return what a worker would show the language model; None where it would not ask."""
    asks = draft.asks and settings.may_see(settings.classifier_model, draft.request.context.data_class)
    return question_of(draft.request) if asks else None


def _decided_by(decision: Decision) -> str:
    if decision.rule is not None:
        return decision.rule if decision.rule.startswith("limit ") else f"rule {decision.rule}"
    if decision.tier != decision.classified_tier:
        moved = [reason for reason in decision.reasons if reason.startswith("context window")]
        return "; ".join(moved) or "the request's own bounds"
    unsure = ", one tier up at the boundary" if "boundary" in decision.reasons else ""
    return f"classifier {decision.classifier}{unsure}"


def _show(settings: Settings, draft: Draft) -> None:
    console = output()
    decision = draft.decision
    console.print(_headline(settings, draft), style="bold")
    low, high = decision.boundary
    rows = [
        ("query type", decision.query_type),
        ("bounds", f"T{decision.floor} to T{decision.ceiling}"),
        ("boundary", f"{low:.2f} to {high:.2f}"),
        ("classifier", f"{decision.classifier} came to T{decision.classified_tier}"),
        ("vote", _vote(settings, draft)),
        ("judge", "sees the answer" if decision.validate_answer else "does not see the answer"),
        ("signature", decision.signature or "-"),
    ]
    for name, value in rows:
        console.print(f"{name:<12}{printable(value)}")
    show_table(console, _scores(settings, decision))
    show_table(console, _rules(settings, decision))
    console.print("A tier is taken if the probability of needing a higher one is below the boundary.")
    if question := _asked_with(settings, draft):
        console.print("\nOf the request the language model is shown this, and nothing else:")
        for line in question.splitlines():
            console.print(f"  {printable(line)}")


def _vote(settings: Settings, draft: Draft) -> str:
    if not settings.routing.asks_llm:
        return "no language model is asked"
    model, budget_ms = settings.classifier_model.ref, settings.routing.llm.budget_ms
    if not draft.asks:
        return f"{model} is not asked: it could change nothing, or the scores leave no doubt"
    if not settings.may_see(settings.classifier_model, draft.request.context.data_class):
        return f"{model} is not asked: it may not see {draft.request.context.data_class.value} data"
    if _asked_with(settings, draft) is None:
        return f"{model} is not asked: there is nothing in the question to judge"
    return f"{model} is asked, for {budget_ms:g} ms at most, and may move it by one tier"


def _scores(settings: Settings, decision: Decision) -> Table:
    table = Table("tier", "name", "lowest that will do", "a higher one is needed", "", box=box.SIMPLE)
    above = 1.0
    for number, (tier, score) in enumerate(zip(settings.tiers, decision.scores, strict=True), 1):
        above -= score
        chosen = "chosen" if number == decision.tier else ""
        table.add_row(f"T{number}", printable(tier.name), f"{score:.3f}", f"{max(above, 0):.3f}", chosen)
    return table


def _rules(settings: Settings, decision: Decision) -> Table:
    table = Table("rule", "applies", "effect", box=box.SIMPLE)
    for rule in settings.routing.rules:
        table.add_row(printable(rule.name), "yes" if rule.name in decision.reasons else "no", _effect(rule))
    for reason in decision.reasons:
        if reason.startswith(("limit ", "boundary", "context window")):
            table.add_row(printable(reason), "yes", "")
    return table


def _effect(rule: RuleSettings) -> str:
    effects = ((name, getattr(rule, name)) for name in _EFFECTS)
    return ", ".join(f"{name} {str(value).lower()}" for name, value in effects if value is not None)
