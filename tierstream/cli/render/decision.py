"""How a decision of the router looks: in a line, explained, or as JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich import box
from rich.table import Table

from streams.config.eligible_models import moved_up
from streams.config.settings import Settings
from streams.config.settings_sections import RuleSettings
from streams.routing.classifier import Evidence
from streams.routing.llm.prompt import question_of
from streams.routing.router import Draft
from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable
from topics.tasks import Decision

_EFFECTS = ("tier", "floor", "ceiling", "threshold_shift", "raise_by", "validate_answer")
_UNDECIDED = "-"


def headline(settings: Settings, draft: Draft) -> str:
    """Return tier, name and why."""
    tier = draft.decision.tier
    return printable(f"T{tier} {settings.tiers[tier - 1].name}: {_why(settings, draft)}")


def decision_json(draft: Draft, evidence: Sequence[Evidence] | None) -> dict[str, Any]:
    """Return the fields of the decision, with `evidence` where there is to be any."""
    fields = draft.decision.model_dump(mode="json")
    if evidence is not None:
        fields["evidence"] = [
            {"name": one.name, "kind": one.kind, "moved": [round(by, 4) for by in one.moved]} for one in evidence
        ]
    return fields


def show_decided_line(settings: Settings, draft: Draft) -> None:
    """Print one of many decisions: id, tier, name and why."""
    tier = draft.decision.tier
    width = max(len(tier.name) for tier in settings.tiers)
    columns = f"T{tier}  {settings.tiers[tier - 1].name:<{width}}  {_why(settings, draft)}"
    typer.echo(printable(f"{draft.request.request_id:<36}  {columns}"))


def show_undecided_line(request_id: str | None, problem: str) -> None:
    """Print that one of many requests could not be decided."""
    typer.echo(printable(f"{request_id or _UNDECIDED:<36}  {_UNDECIDED:<2}  {problem}"))


def show_shares(settings: Settings, counts: Mapping[int, int]) -> None:
    """Print the share of each tier, by how many requests have it."""
    total = sum(counts.values())
    shares = (
        f"T{number} {tier.name} {counts.get(number, 0) / total:.1%}" for number, tier in enumerate(settings.tiers, 1)
    )
    typer.echo(printable(f"{total} decided: {', '.join(shares) if total else _UNDECIDED}"))


def show_explained(settings: Settings, draft: Draft, evidence: Sequence[Evidence]) -> None:
    """Print all that led to a decision."""
    console = output()
    decision = draft.decision
    console.print(headline(settings, draft), style="bold")
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
    if evidence:
        show_table(console, _evidence(evidence))
    show_table(console, _rules(settings, decision))
    console.print("A tier is taken if the probability of needing a higher one is below the boundary.")
    if evidence:
        console.print("What moved the scores most is in log odds: above 0 it speaks for a higher tier.")
    if question := _asked_with(settings, draft):
        console.print("\nOf the request the language model is shown this, and nothing else:")
        for line in question.splitlines():
            console.print(f"  {printable(line)}")


def _why(settings: Settings, draft: Draft) -> str:
    unless = f", unless {settings.classifier_model.ref} thinks otherwise" if _asked_with(settings, draft) else ""
    return f"{_decided_by(draft.decision)}{unless}"


def _asked_with(settings: Settings, draft: Draft) -> str | None:
    """Return what a worker would show the language model; None where it would not ask."""
    asks = draft.asks and settings.may_see(settings.classifier_model, draft.request.context.data_class)
    return question_of(draft.request) if asks else None


def _decided_by(decision: Decision) -> str:
    if decision.rule is not None:
        return decision.rule if decision.rule.startswith(("limit ", "model ")) else f"rule {decision.rule}"
    if decision.tier != decision.classified_tier:
        moved = [reason for reason in decision.reasons if moved_up(reason)]
        return "; ".join(moved) or "the request's own bounds"
    unsure = ", one tier up at the boundary" if "boundary" in decision.reasons else ""
    return f"classifier {decision.classifier}{unsure}"


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
        if reason.startswith(("limit ", "model ", "boundary")) or moved_up(reason):
            table.add_row(printable(reason), "yes", "")
    return table


def _effect(rule: RuleSettings) -> str:
    effects = ((name, getattr(rule, name)) for name in _EFFECTS)
    return ", ".join(f"{name} {str(value).lower()}" for name, value in effects if value is not None)


def _evidence(evidence: Sequence[Evidence]) -> Table:
    steps = range(1, len(evidence[0].moved) + 1)
    table = Table("word or feature", *(f"more than T{tier}" for tier in steps), box=box.SIMPLE)
    for one in evidence:
        # The quotes tell the word "lines" from the number of lines, and show what has no shape.
        name = repr(one.name) if one.kind == "word" else one.name
        table.add_row(name, *(f"{by:+.2f}" for by in one.moved))
    return table
