"""How a month looks on a terminal."""

from support.month_figures import month_report

from tierstream.bench.month_report import Verified
from tierstream.cli.render.bench_month import show_month


def test_a_month_is_told_with_what_changed_what_it_came_to_and_what_was_learned(capsys):
    show_month(month_report())
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "loop off: 30 results of 30 requests, 0 missing, 0 doubled, 12 s; every invariant holds" in lines
    assert "day 2: the first tier gets worse" in lines
    assert "2 to 2 50.0% (50.0%) 70.0% (80.0%) 60.0% (60.0%) $2.0000 $3.0000 $2.0000" in lines
    assert "2 ba9876543210 rolled back learn complaints: 30 %" in lines
    assert "policies 7 versions of the router under a budget" in lines
    assert "0.400 tier 1, groq/one, code: 9 of 20 failed" in lines


def test_an_invariant_that_does_not_hold_is_named(capsys):
    show_month(month_report(verified=Verified(ok=False, violated={"lost": 2})))
    assert "NOT every invariant holds: lost 2" in capsys.readouterr().out
