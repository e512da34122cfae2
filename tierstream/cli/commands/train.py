"""`tierstream train` and `tierstream score`: making a learned classifier, and asking it."""

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TypeVar

import typer

from tierstream.cli.help_text import examples
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.results import show_json
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError
from tierstream.training.outcome_file import read_outcomes, read_prompts

if TYPE_CHECKING:
    from streams.routing.learned.classifier import LearnedClassifier

T = TypeVar("T")
_SCORED_AT_ONCE = 256
_STDOUT = Path("-")

Outcomes = Annotated[
    Path, typer.Option("--outcomes", metavar="FILE", help="Labelled outcomes as JSON, one a line; .gz will do.")
]
ModelFile = Annotated[
    Path | None, typer.Option("--model", metavar="MODEL", help="Model file; default: the one that ships.")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same figures.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "tierstream train --outcomes outcomes.jsonl.gz --out model.npz",
            "tierstream train --outcomes outcomes.jsonl --out model.npz --seed 7 --json",
        )
    )(train)
    app.command(
        epilog=examples(
            "tierstream score --prompts prompts.jsonl --out scores.jsonl",
            "tierstream score --model model.npz --prompts prompts.jsonl.gz --out - | head",
        )
    )(score)


def train(
    outcomes: Outcomes,
    out: Annotated[Path, typer.Option(metavar="MODEL", help="The model file to write.")],
    seed: Seed = 0,
    attribution: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept in the file: whose outcomes, and under which licence.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Train a learned classifier from labelled outcomes of a weaker and a stronger model.

    A line has `id`, `prompt`, `weak_correct` and `strong_correct` (1 right, 0 wrong); `benchmark` and `subject` are
    never given to the model. 10,000 outcomes take about ten seconds of computing. How well it does on prompts that it
    has not seen says `tierstream evaluate --cross-validate`.
    """
    require_scikit_learn()
    require_directory(out)
    found = read_outcomes(outcomes)
    from tierstream.training import fit_model  # noqa: PLC0415 - scikit-learn takes a while to import

    started = time.monotonic()
    with progress_bar(f"training on {len(found)} outcomes") as progress:
        try:
            model = fit_model.train(
                [outcome.prompt for outcome in found],
                [outcome.weak_correct for outcome in found],
                [outcome.strong_correct for outcome in found],
                fit_model.TrainingOptions(seed=seed, attribution=attribution),
                progress,
            )
        except TrainingError as error:
            raise InputError(f"{outcomes}: {error}") from None
        model.save(out)
    size, seconds = out.stat().st_size, round(time.monotonic() - started, 1)
    figures = {
        "model": str(out),
        "version": model.version,
        "outcomes": len(found),
        "mean_gain": round(model.training.mean_gain, 6),
        "bytes": size,
        "seconds": seconds,
    }
    if as_json:
        show_json(figures)
    else:
        typer.echo(
            f"{out}: version {model.version}, {len(found)} outcomes, mean gain {model.training.mean_gain:+.3f}, "
            f"{size / 1e6:.1f} MB, {seconds} s"
        )


def score(
    prompts: Annotated[
        Path, typer.Option(metavar="FILE", help="Prompts as JSON with id and prompt, one a line; .gz will do.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Scores as JSON, one a line (- is stdout).")],
    model: ModelFile = None,
    as_json: AsJson = False,
) -> None:
    """Score prompts: how much each needs the stronger model, from 0 to 1.

    0.5 means that no difference is expected between the two models, 1 that only the stronger one will be right. The
    output has a line with `id` and `score` for each prompt, in the order of the input.
    """
    if as_json and out == _STDOUT:
        raise typer.BadParameter("--json prints a summary to stdout: give --out a file")
    classifier = load_model(model)
    with progress_bar("scoring"), _replacing(out) as output:
        count = 0
        for chunk in _chunks(read_prompts(prompts), _SCORED_AT_ONCE):
            scores = classifier.score_many([prompt.text for prompt in chunk])
            output.writelines(
                json.dumps({"id": prompt.id, "score": value}) + "\n"
                for prompt, value in zip(chunk, scores, strict=True)
            )
            count += len(chunk)
    if as_json:
        show_json({"prompts": count, "model": classifier.version, "out": str(out)})
    elif out != _STDOUT:
        typer.echo(f"{out}: {count} scores")


def load_model(path: Path | None) -> "LearnedClassifier":
    """Load a model file, or the model that ships.

    Raises:
        InputError: It can't be used; the line says what to do.
        OSError: It can't be read.
    """
    from streams.routing.learned.classifier import LearnedClassifier  # noqa: PLC0415
    from streams.routing.model_archive import ModelError  # noqa: PLC0415

    try:
        return LearnedClassifier.shipped() if path is None else LearnedClassifier.load(path)
    except ModelError as error:
        raise InputError(str(error)) from None


def require_scikit_learn() -> None:
    """Find out before the work that a model can be fitted.

    Raises:
        InputError: The extra `train` is not installed.
    """
    if find_spec("sklearn") is None:
        raise InputError("training needs scikit-learn: pip install 'tierstream[train]'")


def require_directory(out: Path) -> None:
    """Find out before the work, and not after it, that a file can't be written.

    Raises:
        InputError: Its directory does not exist or can't be written to.
    """
    if not os.access(out.parent, os.W_OK | os.X_OK) or out.is_dir():
        raise InputError(f"{out}: can't be written: give a file in a directory that exists and may be written to")


@contextmanager
def _replacing(out: Path) -> Iterator[IO[str]]:
    """Write a file that appears only once it is complete."""
    if out == _STDOUT:
        yield sys.stdout
        return
    require_directory(out)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with partial.open("w", encoding="ascii") as file:
            yield file
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
