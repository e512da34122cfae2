"""`tierstream route`: the decision for a prompt, a file or a whole request, explained, without anything running."""

import gzip
import json
import os
import select
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.request_classifier.features import FORM
from tierstream.cli import app
from topics.tasks import Decision

SHIPPED = RequestClassifier.shipped().version


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "CLICKHOUSE_URL", "TIERSTREAM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", "learned")


def run(*arguments, code=0, **options):
    result = CliRunner().invoke(app, ["route", *map(str, arguments)], **options)
    assert result.exit_code == code, result.output
    return result


def decision_of(*arguments, **options):
    return Decision.model_validate_json(run("--json", *arguments, **options).stdout)


def test_help():
    shown = run("--help").stdout
    assert "without sending it" in shown
    assert "Example" in shown


def test_one_line_says_where_and_why():
    assert run("--max-tier", 1, "Do you ship to Norway?").stdout.startswith("T1 fast open-weight: ")
    assert f"classifier {SHIPPED}" in run("Do you ship to Norway?").stdout
    assert run("--role", "ceo", "Are our projections ok?").stdout == "T3 frontier: rule executive-finance\n"


def test_a_model_that_can_not_be_used_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TIERSTREAM_ROUTING__MODEL", str(tmp_path / "none.npz"))
    result = CliRunner().invoke(app, ["route", "x"])
    assert result.exit_code == 2
    assert "routing.model" in result.output


def test_explained():
    shown = run("--explain", "--role", "ceo", "Are our projections ok?").stdout
    for words in (
        "T3 frontier: rule executive-finance",
        "0.45 to 0.55",
        f"{SHIPPED} came to T",
        "T1 to T3",
    ):
        assert words in shown
    lines = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    assert lines["executive-finance"] == ["yes", "tier", "top"]
    assert lines["critical-path"][0] == "no"
    assert lines["T3"][-1] == "chosen"


UNSURE = "Explain the difference between these two invoices and tell me which of them is due first."


@pytest.mark.parametrize("classifier", ["llm", "cascade"])
def test_whether_a_language_model_would_be_asked_and_with_what(classifier, monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", classifier)
    monkeypatch.setenv("TIERSTREAM_ROUTING__LLM__ASK", "[0.05, 0.95]")
    text = UNSURE + " Route me to tier 3."
    assert run(text).stdout.endswith(", unless groq/openai/gpt-oss-20b thinks otherwise\n")
    shown = run("--explain", "--user", "ann", "--system", "Be brief.", text).stdout
    assert "groq/openai/gpt-oss-20b is asked, for 100 ms at most" in shown
    told = shown.partition("and nothing else:\n")[2].split("\n  ")
    assert [line.strip() for line in told] == ["impact normal, tolerance normal, answer in free text", text]


@pytest.mark.parametrize(
    ("classifier", "arguments", "words"),
    [
        ("learned", (UNSURE,), "no language model is asked"),
        ("llm", ("--role", "ceo", "Are our projections ok?"), "is not asked: it could change nothing"),
        ("llm", ("--max-tier", 1, UNSURE), "is not asked: it could change nothing"),
        ("llm", ("--data-class", "restricted", UNSURE), "is not asked: it may not see restricted data"),
    ],
)
def test_why_a_language_model_would_not_be_asked(classifier, arguments, words, monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", classifier)
    shown = run("--explain", *arguments).stdout
    assert words in " ".join(shown.split())
    assert "is shown this" not in shown


def test_nobody_is_asked_about_a_blank_question(monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__CLASSIFIER", "llm")
    request = json.dumps({"messages": [{"role": "user", "content": " "}]})
    shown = run("--explain", "-", input=request).stdout
    assert "is not asked: there is nothing in the question to judge" in " ".join(shown.split())


def test_each_option_reaches_the_decision():
    assert decision_of("x", "--impact", "critical").rule == "critical-path"
    assert decision_of("x", "--tolerance", "low").rule == "low-error-tolerance"
    assert decision_of("x", "--service-class", "bulk", "--self-validating").rule == "bulk-with-own-validation"
    assert decision_of("x", "--min-tier", 2, "--max-tier", 2).tier == 2
    assert decision_of("x", "--query-type", "mine").query_type == "mine"
    assert decision_of("x", "--data-class", "restricted", "--system", "Be brief.").floor == 1


def test_json_is_the_record_that_a_worker_writes():
    decision = decision_of("Where is order 17?")
    assert (decision.rule, decision.classifier, len(decision.scores)) == (None, SHIPPED, 3)
    assert decision.signature == decision_of("where is order 4711").signature


def test_a_file_and_a_whole_request(tmp_path):
    path = tmp_path / "prompt.txt"
    path.write_text("Where is my order?\n", encoding="utf-8")
    assert decision_of("--file", path) == decision_of("Where is my order?\n")
    request = {"prompt": "Is it\nfine?", "context": {"user_role": "legal", "business_impact": "critical"}}
    assert decision_of("-", input=json.dumps(request, indent=2)).rule == "legal-review"
    odd = run("-", input='{"prompt": "hi", "min_teir": 2}')
    assert odd.stderr == "warning: stdin: fields that nobody reads: min_teir\n"


def test_limits_and_presets_of_the_config_apply(tmp_path):
    (tmp_path / "tierstream.toml").write_text('[routing]\npreset = "two-tier"\n[routing.limits.tag]\nacme = 1\n')
    assert run("--role", "ceo", "Revenue?").stdout == "T2 frontier: rule executive-finance\n"
    limited = run("--explain", "--role", "ceo", "--tag", "acme", "Revenue?").stdout
    assert "T1 everything else: limit tag acme" in limited


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        ((), " ", "the prompt is empty"),
        (("  ",), None, "the prompt is empty"),
        (("hi", "--file", "x"), None, "give the prompt once"),
        (("--file", "missing.txt"), None, "missing.txt: No such file"),
        (("-", "--role", "ceo"), "{}", "the request says the rest"),
        (("-",), "", "stdin: there is no request in it"),
        (("-",), "{", "stdin line 1: not JSON"),
        (("-",), '{"messages": []}', "messages"),
        (("hi", "--min-tier", "4"), None, "there are 3 tiers"),
        (("hi", "--min-tier", "2", "--max-tier", "1"), None, "min_tier: is above max_tier"),
    ],
)
def test_mistakes(arguments, stdin, words):
    result = run(*arguments, code=2, input=stdin)
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def test_what_the_models_of_a_tier_do_not_take_moves_it_up_and_is_said():
    request = {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]}
    assert run("-", input=json.dumps(request)).stdout == "T2 small closed: images: tier 2\n"
    explained = run("-", "--explain", input=json.dumps(request)).stdout
    assert "images: tier 2 " in explained
    refused = run("-", input=json.dumps(request | {"max_tier": 1}), code=1).stderr
    assert refused == "error: messages.0.content.1: no model of the allowed tiers takes images\n"


def test_a_model_that_is_named_decides():
    assert run("--model", "gpt-6-luna", "Hello").stdout == "T2 small closed: model openai/gpt-6-luna\n"
    assert decision_of("--model", "openai/gpt-6-luna", "Hello").ceiling == 2
    unknown = run("--model", "gpt-2", "Hello", code=1).stderr
    assert unknown == "error: model: the deployment has no model of that name\n"


def test_what_no_tier_has_room_for(tmp_path):
    path = tmp_path / "long.txt"
    path.write_text("word " * 150_000)
    result = run("--file", path, "--max-tier", 1, code=1)
    assert result.stderr.startswith("error: messages: about")


def lines_of(shown):
    return [json.loads(line) for line in shown.splitlines()]


def write_lines(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_a_file_is_decided_as_each_of_its_requests_alone(tmp_path):
    requests = [
        {"request_id": "b", "prompt": "Are our projections ok?", "context": {"user_role": "ceo"}},
        {"request_id": "a", "prompt": "Where is order 17?", "label": {"tier": 1, "query_type": "faq"}},
        {"request_id": "b", "prompt": "Translate this.", "min_tier": 2},
    ]
    result = run("--input", write_lines(tmp_path / "requests.jsonl", *requests), "--json")
    alone = [json.loads(run("-", "--json", input=json.dumps(one | {"label": None})).stdout) for one in requests]
    assert lines_of(result.stdout) == [
        {"request_id": one["request_id"], **decision} for one, decision in zip(requests, alone, strict=True)
    ]
    assert result.stderr == ""


def test_a_line_that_can_not_be_decided_loses_none_of_the_others(tmp_path):
    path = write_lines(
        tmp_path / "requests.jsonl",
        {"request_id": "first", "prompt": "Hello"},
        "{",
        '{"request_id": "cut", "prompt": "Hel',
        {"request_id": "empty", "messages": []},
        "",
        {"request_id": "crossed", "prompt": "Hello", "min_tier": 2, "max_tier": 1},
        {"request_id": "long", "prompt": "word " * 150_000, "max_tier": 1},
        {"prompt": "Hello"},
    )
    result = run("--input", path, "--json", code=1)
    found = lines_of(result.stdout)
    assert [line["request_id"] for line in found[:-1]] == ["first", None, "cut", "empty", "crossed", "long"]
    assert found[-1]["request_id"]
    assert ["error" in line for line in found] == [False, True, True, True, True, True, False]
    assert all(set(line) == {"request_id", "error"} for line in found[1:-1])
    assert found[1]["error"] == f"{path} line 2: not JSON: EOF while parsing an object at column 1"
    assert found[4]["error"] == f"{path} line 6: min_tier: is above max_tier"
    assert result.stderr == f"error: {path}: 5 of 7 requests could not be decided\n"

    plain = run("--input", path, code=1)
    *lines, last = plain.stdout.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == ["first", "-", "cut", "empty", "crossed", "long"]
    assert "min_tier: is above max_tier" in lines[4]
    assert last.startswith("2 decided: T1 fast open-weight ")
    assert plain.stderr == result.stderr


def test_fields_that_nobody_reads_are_named_once_and_a_label_never(tmp_path):
    odd = [{"prompt": "Hello", "min_teir": 2, "label": {"tier": 1}}] * 3
    result = run("--input", write_lines(tmp_path / "odd.jsonl", *odd), "--json")
    assert len({line["request_id"] for line in lines_of(result.stdout)}) == 3
    assert result.stderr.count("warning:") == 1
    assert result.stderr.endswith("fields that nobody reads: min_teir (line 1 and 2 more)\n")


def test_the_last_line_has_the_share_of_each_tier(tmp_path):
    tiers = [{"request_id": f"r{tier}", "prompt": "Hello", "min_tier": tier, "max_tier": tier} for tier in (1, 3, 3, 3)]
    *lines, last = run("--input", write_lines(tmp_path / "r.jsonl", *tiers)).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["r1", "T1"], ["r3", "T3"], ["r3", "T3"], ["r3", "T3"]]
    assert last == "4 decided: T1 fast open-weight 25.0%, T2 small closed 0.0%, T3 frontier 75.0%"


def test_a_packed_file_and_stdin_are_read_alike(tmp_path):
    text = b'{"request_id": "a", "prompt": "Hello"}\n' * 3
    path = tmp_path / "requests.jsonl.gz"
    path.write_bytes(gzip.compress(text))
    packed = run("--input", path, "--json").stdout
    assert packed == run("--input", "-", "--json", input=text).stdout
    assert len(lines_of(packed)) == 3


def test_a_file_goes_with_explanations_as_json(tmp_path):
    path = write_lines(tmp_path / "r.jsonl", {"prompt": UNSURE})
    (line,) = lines_of(run("--input", path, "--json", "--explain").stdout)
    assert line["evidence"] == json.loads(run("--json", "--explain", UNSURE).stdout)["evidence"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("hi",), "--input goes with --json and --explain only"),
        (("-",), "--input goes with --json and --explain only"),
        (("--file", "x"), "--input goes with --json and --explain only"),
        (("--system", "Be brief."), "--input goes with --json and --explain only"),
        (("--role", "ceo"), "--input goes with --json and --explain only"),
        (("--self-validating",), "--input goes with --json and --explain only"),
        (("--explain",), "with --input give --json too"),
        ((), "r.jsonl: No such file"),
    ],
)
def test_what_does_not_go_with_a_file(arguments, words):
    result = run("--input", "r.jsonl", *arguments, code=2)
    assert words in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("content", "words"), [(b"\n", "there is no request in it"), (b"\x1f\x8b\x08", "broken gzip")])
def test_a_file_that_holds_nothing(content, words, tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    assert words in run("--input", path, code=2).stderr


def test_what_moved_the_scores_most_comes_first():
    decision = json.loads(run("--explain", "--json", UNSURE).stdout)
    evidence = decision.pop("evidence")
    assert decision == json.loads(run("--json", UNSURE).stdout)
    assert 0 < len(evidence) <= 8
    strengths = [max(map(abs, one["moved"])) for one in evidence]
    assert strengths == sorted(strengths, reverse=True)
    for one in evidence:
        assert len(one["moved"]) == 2
        assert one["name"] in (UNSURE.lower() if one["kind"] == "word" else FORM)

    shown = run("--explain", UNSURE).stdout
    for one in evidence:
        name = repr(one["name"]) if one["kind"] == "word" else one["name"]
        row = next(line for line in shown.splitlines() if line.strip().startswith(f"{name} "))
        assert row.split()[-2:] == [f"{by:+.2f}" for by in one["moved"]]


def test_each_step_between_tiers_has_its_evidence(monkeypatch):
    monkeypatch.setenv("TIERSTREAM_ROUTING__PRESET", "two-tier")
    shown = run("--explain", UNSURE).stdout
    assert "more than T1" in shown
    assert "more than T2" not in shown


def test_ctrl_c_ends_a_file_quietly():
    command = [sys.executable, "-m", "tierstream", "route", "--input", "-", "--json"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ.copy()
    ) as process:
        process.stdin.write(b'{"request_id": "a", "prompt": "Hello"}\n')
        process.stdin.flush()
        assert select.select([process.stdout], [], [], 60)[0]
        assert json.loads(process.stdout.readline())["request_id"] == "a"
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert process.stderr.read() == b"interrupted: the rest is undecided\n"
    assert process.returncode == 130
