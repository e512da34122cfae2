"""Figures as pictures."""

import builtins

import pytest
from support.bench_figures import load_figures, pipeline_report, soak_report
from support.month_figures import month_report

from tierstream.bench.plot import draw, draw_month, require_plotting
from tierstream.stack.errors import StackError


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (pipeline_report(load_figures(), load_figures("litellm")), ["latency, tier1", "CPU a request, by process"]),
        (pipeline_report(load_figures(latency_ms=None)), ["latency, tier1"]),
        (pipeline_report(soak=soak_report()), ["latency at 30 requests/s", "resident memory", "consumer lag"]),
        (pipeline_report(soak=soak_report(samples=0)), ["consumer lag"]),
    ],
)
def test_a_report_is_drawn(tmp_path, report, words):
    draw(report, tmp_path / "figures.svg")
    drawn = (tmp_path / "figures.svg").read_text()
    # Each text is drawn as shapes, with the text itself in a comment.
    assert all(f"<!-- {text} -->" in drawn for text in words)


def test_a_month_is_drawn_with_every_run_and_what_became_of_models(tmp_path):
    draw_month(month_report(), tmp_path / "month.svg")
    drawn = (tmp_path / "month.svg").read_text()
    words = ["loop off", "loop on", "loop on, after retries", "under a budget"]
    words += ["promoted, loop on", "planted, loop on", "rolled back, loop on"]
    assert all(f"<!-- {text} -->" in drawn for text in words)


def test_a_picture_can_be_of_pixels(tmp_path):
    draw(pipeline_report(), tmp_path / "figures.png")
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    find = builtins.__import__

    def missing(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return find(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(StackError, match=r"tierstream\[bench\]"):
        require_plotting()
