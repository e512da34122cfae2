"""The leverage report as a page that can be handed over: one file of HTML, which needs nothing else and prints well."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape
from importlib.resources import files
from typing import Final

from analytics.leverage.report import LeverageReport, ModelVolume, MoveRow, ProviderLeverage

_MOST_MOVES: Final = 25
_MONTH_DAYS: Final = 30
_NONE: Final = "not said"
_ROUND_FROM: Final = 0.1
"""Shares from here on are shown without decimals."""
_METHOD: Final = """
How this was measured. An answer is good if it passed the checks that all answers go through, and a judge that looks at
a share of them. A model could take another's requests of one query type if its share of good answers is not lower by
more than {margin:g} points with the whole interval, its limits hold them, and it is not dearer. All intervals hold
together with a confidence of {confidence:.0%}. Models of the same tier get the same requests; those of a higher tier
get harder ones; a lower tier's get easier ones, so that their quality here needs a trial. Costs at the target: the same
input, cached where it is cached now, and answers as long as the longer ones of both. Requests that only certain
providers may see are not told apart. Prices are list prices of the day of the report.
"""


class UnpaidProviderError(ValueError):
    """A page is asked for about a provider that got no call; the message names it."""


def leverage_page(report: LeverageReport, provider: str | None = None) -> str:
    """Return the page.

    Args:
        report: What it says.
        provider: Whom it is for: what others get is left out. None: it is about all providers.

    Raises:
        UnpaidProviderError: The provider got no call.
    """
    told = [one for one in report.providers if provider in {None, one.provider}]
    if provider is not None and not told:
        raise UnpaidProviderError(f"nothing was paid to {provider} in the period")
    title = "Where our requests could go" if provider is None else f"What {provider} answers, and what could move"
    style = (files("analytics") / "leverage" / "page.css").read_text("utf-8")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        f'<head><meta charset="utf-8"><title>{escape(title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>\n{style}</style></head>",
        "<body><main>",
        f"<h1>{escape(title)}</h1>",
        (
            f'<p class="muted">{report.since:%-d %B %Y} to {report.until:%-d %B %Y}, {report.days:g} days (UTC). '
            "All amounts are US dollars of this period unless they are said to be of a month.</p>"
        ),
        *([_overview(report)] if provider is None else []),
        *(_section(one, report) for one in told),
        _method(report),
        "</main></body></html>",
    ]
    return "\n".join(parts) + "\n"


def _overview(report: LeverageReport) -> str:
    rows = (
        (
            escape(one.provider),
            _usd(one.cost_usd),
            _percent(one.share),
            _percent(one.movable_share),
            _usd(one.movable_usd),
            _usd(one.list_saving_usd),
            _usd(one.discount_saving_usd),
            _usd(one.stay_saving_usd),
        )
        for one in report.providers
    )
    off = _percent(report.discount)
    heads = ("provider", "spend", "share", "could move", "it would lose", "saved at list", f"saved at {off} off")
    whole = f"{_usd(report.cost_usd)} in all, {_usd(report.monthly_usd)} a month of {_MONTH_DAYS} days"
    return _table((*heads, f"or staying at {off} off"), rows, caption=whole)


def _section(one: ProviderLeverage, report: LeverageReport) -> str:
    month = _MONTH_DAYS / report.days
    off = _percent(report.discount)
    equal = "" if not one.equal_discount or one.equal_discount < 0 else _equal(one)
    figures = [
        (_usd(one.cost_usd * Decimal(month)), "spend a month"),
        (_percent(one.movable_share), "of it could move now"),
        (_usd(one.movable_usd * Decimal(month)), f"a month that {one.provider} would lose"),
        (_usd(one.list_saving_usd * Decimal(month)), "saved a month by moving, at list prices"),
        (_usd(one.stay_saving_usd * Decimal(month)), f"saved a month by staying, at {off} off"),
    ]
    listed = "".join(f"<li><b>{value}</b>{escape(words)}</li>" for value, words in figures)
    parts = [
        f'<section class="provider"><h2>{escape(one.provider)}</h2>',
        f'<ul class="figures">{listed}</ul>',
        _bar(one),
        equal,
        "<h3>What it gets</h3>",
        _table(
            ("model", "tier", "calls", "tokens in", "tokens out", "spend", "share"),
            [_model(model, one.cost_usd) for model in one.models],
        ),
        "<h3>What could move, and to whom</h3>",
        _moves(one.moves, off),
        "</section>",
    ]
    return "\n".join(parts)


def _equal(one: ProviderLeverage) -> str:
    return (
        f"<p>A discount of {_percent(one.equal_discount or 0)} on all that {escape(one.provider)} gets "
        "would save as much as moving does at list prices.</p>"
    )


def _bar(one: ProviderLeverage) -> str:
    """Show which part of the spend could move: at once, with the discount, and after a trial."""
    parts = (
        ("moves", "at list prices", one.movable_usd),
        ("with-discount", "with the discount besides", one.more_with_discount_usd),
        ("after-trial", "after a trial besides", one.more_after_trial_usd),
    )
    shares = [(name, words, _part(usd, one.cost_usd)) for name, words, usd in parts]
    spans = "".join(f'<span class="{name}" style="width:{100 * share:.2f}%"></span>' for name, _, share in shares)
    keys = "".join(f'<span class="key {name}">{words}: {_percent(share)}</span>' for name, words, share in shares)
    return f'<div class="bar" role="img" aria-label="what could move">{spans}</div><p class="muted">{keys}</p>'


def _model(model: ModelVolume, all_usd: Decimal) -> Sequence[str]:
    tiers = ", ".join(map(str, model.tiers)) or "none"
    counts = (f"{n:,}" for n in (model.calls, model.input_tokens, model.output_tokens))
    return (escape(model.model), tiers, *counts, _usd(model.cost_usd), _percent(_part(model.cost_usd, all_usd)))


def _moves(moves: Sequence[MoveRow], off: str) -> str:
    if not moves:
        return "<p>Nothing: no model of another provider was measured to be as good.</p>"
    heads = ("from", "to", "query type", "good answers", "known from", "cost", "saved at list", f"saved at {off} off")
    rest = moves[_MOST_MOVES:]
    more = f"{len(rest)} smaller ones, {_usd(sum((one.cost_usd for one in rest), start=Decimal(0)))}, are left out."
    return _table(heads, map(_move, moves[:_MOST_MOVES])) + (f'<p class="muted">{more}</p>' if rest else "")


def _move(move: MoveRow) -> Sequence[str]:
    standing = f"{move.looks:,.0f} answers, {move.standing}" + ("; needs a trial" if move.needs_trial else "")
    return (
        escape(move.source),
        escape(move.target),
        escape(move.query_type) or _NONE,
        f"{100 * move.quality_difference:+.1f} points ({100 * move.low:+.1f} to {100 * move.high:+.1f})",
        standing,
        _usd(move.cost_usd),
        _usd(move.list_saving_usd),
        _usd(move.discount_saving_usd),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Make a table of cells that are HTML already; the first and those with words are to the left."""
    listed = list(rows)
    words = [not any(_is_number(row[place]) for row in listed) for place in range(len(heads))]
    kinds = ["name" if is_words else "n" for is_words in words]
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for kind, cell in zip(kinds, row, strict=True)) + "</tr>\n"
        for row in listed
    )
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    table = f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _is_number(cell: str) -> bool:
    return cell.lstrip("-+$").replace(",", "").replace(".", "").rstrip("%").isdigit()


def _method(report: LeverageReport) -> str:
    told = _METHOD.format(margin=100 * report.margin, confidence=report.confidence)
    return f"<footer><p>{told}</p></footer>"


def _part(usd: Decimal, whole: Decimal) -> float:
    return float(usd / whole) if whole else 0.0


def _usd(amount: Decimal) -> str:
    places = 2 if abs(amount) >= 1 or not amount else 4
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{places}f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= _ROUND_FROM or not share else f"{100 * share:.1f}%"
