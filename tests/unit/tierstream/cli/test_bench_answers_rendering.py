"""How a run with good and bad answers looks."""

from decimal import Decimal

from support.answers_and_ends import ended, pair_of

from tierstream.bench.answer_course import course_of
from tierstream.bench.answer_report import (
    AddedCost,
    AnsweredPair,
    AnswersReport,
    Endings,
    Judge,
    Stopped,
    latencies,
)
from tierstream.bench.pipeline_report import Machine
from tierstream.cli.render.bench_answers import show_answers


def report(**more):
    good, bad = pair_of(), pair_of("refusal", "No idea.")
    results = [(good, ended(("infer:1", "ok"))), (bad, ended(("infer:1", "hedge"), ("infer:2", "ok"), latency_ms=350))]
    found = [AnsweredPair(pair, result, course_of(result, pair.right_from)) for pair, result in results]
    cost = AddedCost.of(found, 2, {"infer": Decimal("0.03"), "judge": Decimal("0.01")})
    fields = {
        "machine": Machine(cpus=2, system="Linux", python="3.11", tierstream="0"),
        "seed": 1,
        "rate": 25,
        "judge": Judge.simulated("openai/gpt-6-luna", 0.03, 1.0),
        "pairs": 3,
        "repeated": ("x",),
        "requests": 4,
        "results": 4,
        "missing": 0,
        "duplicates": 0,
        "unmeasured": (),
        "good": Stopped.of("good", found[:1]),
        "bad": Stopped.of("all bad", found[1:]),
        "kinds": (Stopped.of("refusal", found[1:]),),
        "endings": Endings.of(found),
        "without_judge": cost,
        "with_judge": cost,
        "latency": latencies(found),
    }
    return AnswersReport(**{**fields, **more})


def shown(capsys, found):
    show_answers(found)
    return " ".join(capsys.readouterr().out.split())


def test_it_says_that_the_judge_is_an_assumption(capsys):
    text = shown(capsys, report())
    assert "simulated judge, 3 % errors" in text
    assert "an assumption of the simulator and no measurement" in text
    assert "judge: none" in shown(capsys, report(judge=None))


def test_shares_have_their_counts_and_intervals(capsys):
    text = shown(capsys, report())
    assert "1/1 100.0% (20.6% to 100.0%)" in text
    assert "0/1 0.0% (0.0% to 79.3%)" in text
    assert "hedge 1" in text
    assert "1 left out" in text


def test_cost_is_told_for_1000_requests_and_latency_beside_plain_requests(capsys):
    text = shown(capsys, report())
    assert "$5.0000: judges $5.0000, escalations $0.0000" in text
    assert "350 / 350" in text
    assert "+250 / +250" in text


def test_what_was_not_measured_is_named(capsys):
    assert "t-01" in shown(capsys, report(unmeasured=("t-01",)))


def test_a_run_is_complete_with_one_result_for_each_request():
    assert report().complete
    assert not report(missing=1).complete
    assert not report(duplicates=1).complete
