"""How the figures of a benchmark look."""

import pytest
from support.bench_figures import LIMIT, durability, load_figures, pipeline_report, soak_report

from tierstream.cli.render.bench import show_measured, show_pipeline


def shown(capsys, report):
    show_pipeline(report)
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_each_load_has_a_row_and_each_process_too(capsys):
    lines = shown(capsys, pipeline_report(load_figures(), load_figures(load="saturation", per_s=77.0)))
    assert ["saturation", "77.0", "40", "of", "40", *["10.0", "/", "20.0", "/", "30.0"], "40"] == next(
        line for line in lines if line[:1] == ["saturation"]
    )[:11]
    assert ["worker", "5.00", "5.00", "100"] in lines
    assert ["without", "client", "and", "mock", "8.00", "8.00"] in lines
    assert ["llm.requests", "1.00", "0.50", "100.00"] in lines


def test_a_peer_stands_beside_with_ratios(capsys):
    loads = load_figures(per_s=80), load_figures("litellm", per_s=20)
    lines = shown(capsys, pipeline_report(*loads, peer="litellm"))
    assert ["20/s", "80.0", "/", "20.0", "4.00", "5.00", "8.00", "20.00", "4.00", "2.50"] in lines


def test_what_a_kill_left_and_how_a_soak_went(capsys):
    lines = shown(capsys, pipeline_report(durability=(durability(),), soak=soak_report()))
    assert ["tierstream", "40", "40", "0", "0", "41", "1", "40", "1", "1"] in lines
    assert ["30", *["10.0", "/", "20.0", "/", "30.0"], "170", "200", "3"] in lines


def test_what_is_missing_is_said(capsys):
    lines = shown(capsys, pipeline_report(load_figures(results=38, missing=2)))
    assert any("2 missing, 0 doubled" in " ".join(line) for line in lines)


@pytest.mark.parametrize(
    ("report", "complete"),
    [
        (pipeline_report(), True),
        (pipeline_report(load_figures(missing=1)), False),
        (pipeline_report(load_figures(duplicates=1)), False),
        (pipeline_report(load_figures(), load_figures("litellm", missing=1)), True),
        (pipeline_report(durability=(durability(lost=1),)), False),
        (pipeline_report(durability=(durability("litellm", lost=1),)), True),
        (pipeline_report(soak=soak_report().model_copy(update={"duplicates": 1})), False),
    ],
)
def test_a_run_is_complete_where_tierstream_gave_each_request_one_result(report, complete):
    assert report.complete is complete


def test_plain_figures_are_a_line_each(capsys):
    show_measured(LIMIT, as_json=False)
    assert capsys.readouterr().out.splitlines()[:2] == ["records        10", "record bytes   100"]
