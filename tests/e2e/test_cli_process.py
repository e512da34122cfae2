"""The command line as a process: Ctrl-C at any moment, readers that have read enough, and how wide its output is."""

import os
import pty
import re
import subprocess
import sys

import pytest
from support.deployment import clean_environment

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
COMMAND = (sys.executable, "-m", "tierstream")
INTERRUPTED_WHILE_IMPORTING = """
import os, signal, sys

class Interrupter:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupter())
sys.argv = ["tierstream", *{arguments!r}]
from tierstream.__main__ import main
main()
"""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(command, **options):
    return subprocess.run(
        command, env=clean_environment(), stderr=subprocess.PIPE, text=True, check=False, timeout=60, **options
    )


def on_terminal(*arguments, columns):
    """Run a command on a terminal of its own, and return what it shows there."""
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {**clean_environment(), "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
        os.execve(sys.executable, [*COMMAND, *arguments], environment)
    shown = b""
    try:
        while part := os.read(terminal, 65536):
            shown += part
    except OSError:
        # How the end of a terminal is told.
        pass
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return _STYLE.sub("", shown.decode())


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("typer", ["--version"]),
        ("rich.markdown", ["--help"]),
        ("pydantic", ["route", "hi"]),
        ("tierstream.cli.commands.send", ["send", "hi"]),
        ("numpy", ["route", "hi"]),
        ("tierstream.worker", ["worker"]),
    ],
)
def test_ctrl_c_while_something_is_imported_shows_nothing(module, arguments):
    code = INTERRUPTED_WHILE_IMPORTING.format(module=module, arguments=arguments)
    done = run((sys.executable, "-c", code), stdout=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (130, "")


def test_an_interrupt_that_a_script_has_ignored_stays_so():
    code = INTERRUPTED_WHILE_IMPORTING.format(module="typer", arguments=["--version"])
    ignoring = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n{code}"
    done = run((sys.executable, "-c", ignoring), stdout=subprocess.DEVNULL)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "arguments", [["config", "check"], ["config", "check", "--json"], ["route", "--explain", "hi"], ["topics", "docs"]]
)
def test_a_reader_that_has_gone_is_no_failure(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run((*COMMAND, *arguments), stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_in_a_pipe_nothing_is_wrapped_or_cut():
    done = run((*COMMAND, "config", "check"), stdout=subprocess.PIPE)
    [rules] = [line for line in done.stdout.splitlines() if "routing.rules" in line]
    assert rules.split()[1:3] == ["executive-finance,", "legal-review,"]
    assert rules.endswith("low-error-tolerance  ")
    assert "…" not in done.stdout


def test_in_a_narrow_terminal_nothing_is_cut():
    text = on_terminal("config", "check", columns=40)
    assert "model: together/openai/gpt-oss-120b" in text
    assert "window: 131,072" in text
    assert "…" not in text.partition("warning:")[0]


@pytest.mark.parametrize(("options", "shows"), [([], True), (["--quiet"], False)])
def test_progress_is_shown_unless_it_is_not_wanted(options, shows, tmp_path):
    (tmp_path / "prompts.jsonl").write_text('{"id": "1", "prompt": "What is Kafka?"}\n')
    arguments = [*options, "score", "--prompts", "prompts.jsonl", "--out", "scores.jsonl"]
    shown = on_terminal(*arguments, columns=80)
    assert ("scoring" in shown) is shows
    assert "scores.jsonl: 1 scores" in shown
