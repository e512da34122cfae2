"""How the free checks' figures on labelled answers look on a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from tierstream.cli.console import output, show_table
from tierstream.cli.render.results import printable

if TYPE_CHECKING:
    from tierstream.training.answer_report import AnswerReport, Miss
    from tierstream.training.shares import Share

_EXCERPT: Final = 160


def show_answer_report(found: "AnswerReport") -> None:
    """Print what is caught by kind, by check and by language, the false alarms, and the time."""
    console = output()
    title = (
        f"{found.answers} answers: {_share(found.caught)} of the bad caught, {_share(found.false_alarms)} false alarms"
    )
    table = _table(title, "kind", "answers", "fail a check [95 %]", "first failed")
    for kind in found.kinds:
        named = ", ".join(f"{count} {name}" for name, count in kind.checks.items())
        table.add_row(Text(printable(kind.kind)), str(kind.failed.of), _share(kind.failed), named or "-")
    show_table(console, table)
    table = _table("by check, each alone", "check", "bad that fail it [95 %]", "good that fail it [95 %]")
    for check in found.checks:
        table.add_row(check.check, _share(check.caught), _share(check.false_alarms))
    show_table(console, table)
    table = _table("by language", "language", "bad", "caught", "good", "false alarms")
    for language in found.languages:
        bad, good = language.caught, language.false_alarms
        table.add_row(
            Text(printable(language.language) or "-"), str(bad.of), str(bad.count), str(good.of), str(good.count)
        )
    show_table(console, table)
    took = found.took_ms
    console.print(
        f"all checks of an answer take {took.median:.3f} ms (p50), {took.p95:.3f} ms (p95), "
        f"{took.per_1000_characters:.3f} ms per 1,000 characters (p50)"
    )


def show_misses(misses: "Sequence[Miss]", texts: Mapping[str, str]) -> None:
    """Print the answers that the checks are wrong about, with the start of each."""
    table = _table("misses", "id", "kind", "check", "answer")
    for miss in misses:
        line = printable(" ".join(texts[miss.id].split()))
        table.add_row(Text(printable(miss.id)), Text(printable(miss.kind)), miss.check or "-", Text(line[:_EXCERPT]))
    show_table(output(), table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number == 0)
    return table


def _share(share: "Share") -> str:
    if share.share is None or share.low is None or share.high is None:
        return "-"
    return f"{share.share:.1%} [{share.low:.1%}, {share.high:.1%}]"
