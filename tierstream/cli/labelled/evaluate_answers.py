"""`tierstream evaluate --answers`: how good the free checks are on labelled answers."""

from dataclasses import asdict
from pathlib import Path

from tierstream.cli.labelled.inputs import INTERRUPTED
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.labelled_answers import show_answer_report, show_misses
from tierstream.cli.render.results import show_json
from tierstream.training.answer_report import report
from tierstream.training.labelled_answers import LabelledAnswer, read_answers


def evaluate_answers(file: Path, *, with_misses: bool, as_json: bool) -> None:
    """Check the answers of a file and print what the checks reach.

    Raises:
        InputError: The file can't be used.
        OSError: It can't be read.
    """
    answers = read_answers(file, LabelledAnswer)
    with progress_bar("checking", INTERRUPTED) as progress:
        found = report(answers, progress)
    texts = {answer.id: answer.answer for answer in answers} if with_misses else {}
    if as_json:
        figures = asdict(found)
        for miss in figures["misses"] if with_misses else ():
            miss["answer"] = texts[miss["id"]]
        show_json(figures)
        return
    show_answer_report(found)
    if with_misses:
        show_misses(found.misses, texts)
