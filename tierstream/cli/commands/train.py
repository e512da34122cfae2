"""`tierstream train` and `tierstream score`: making a model of the classifier, and asking one of outcomes."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, TypeVar

import typer

from streams.kafka.clock import utc_now
from tierstream.cli.connection import load_with_kafka, with_clickhouse
from tierstream.cli.help_text import examples
from tierstream.cli.moments import Since
from tierstream.cli.options import AsJson
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.results import show_json
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError
from tierstream.training.outcome_file import read_outcomes, read_prompts

if TYPE_CHECKING:
    from streams.routing.classifier_loading import TrainedModel
    from streams.routing.learned.classifier import LearnedClassifier

T = TypeVar("T")
_READING = 0.2
"""Share of a training on own traffic that is reading."""
_SCORED_AT_ONCE = 256
_STDOUT = Path("-")

_OUTCOMES_HELP = "Labelled outcomes as JSON, one a line; .gz will do."
Outcomes = Annotated[Path, typer.Option("--outcomes", metavar="FILE", help=_OUTCOMES_HELP)]
ModelFile = Annotated[
    Path | None, typer.Option("--model", metavar="MODEL", help="Model file; default: the one that ships.")
]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="The same seed gives the same figures.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(
        epilog=examples(
            "tierstream train --requests labelled.jsonl --out model.npz",
            "tierstream train --requests labelled.jsonl.gz --from-scratch --out model.npz --json",
            "tierstream train --outcomes outcomes.jsonl.gz --out model.npz --seed 7",
            "tierstream train --from-clickhouse --since 7d --out model.npz",
        )
    )(train)
    app.command(
        epilog=examples(
            "tierstream score --prompts prompts.jsonl --out scores.jsonl",
            "tierstream score --model model.npz --prompts prompts.jsonl.gz --out - | head",
        )
    )(score)


def train(
    ctx: typer.Context,
    out: Annotated[Path, typer.Option(metavar="MODEL", help="The model file to write.")],
    outcomes: Annotated[Path | None, typer.Option(metavar="FILE", help=_OUTCOMES_HELP)] = None,
    requests: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Labelled requests as JSON, one a line; .gz will do. May be given again."),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="With --requests: instead of the shipped model, not added to it.")
    ] = False,
    from_clickhouse: Annotated[
        bool, typer.Option("--from-clickhouse", help="From labels of the deployment's own traffic, added to its model.")
    ] = False,
    since: Since = None,
    seed: Annotated[int | None, typer.Option(min=0, metavar="N", help="With --outcomes; default 0.")] = None,
    attribution: Annotated[
        str, typer.Option(metavar="TEXT", help="Kept in the file: whose examples, and under which licence.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Train the classifier, from labelled requests or from labelled outcomes of a weaker and a stronger model.

    A line of --requests is a request as it is sent, with a `label`: its `tier` is the lowest that should serve it (1
    for open-weight, 2 for small closed, 3 for frontier models), its `query_type` what is to be done, `acceptable` the
    tiers that are no mistake. They correct what the shipped model says, unless it is made --from-scratch.

    A line of --outcomes has `id`, `prompt`, `weak_correct` and `strong_correct` (1 right, 0 wrong); `benchmark` and
    `subject` are never given to the model. 10,000 outcomes take about ten seconds of computing, as many requests a
    minute or two. How well it does on what it has not seen says `tierstream evaluate --cross-validate`.

    --from-clickhouse learns from verdicts, failed checks, feedback and comparisons since --since (default
    `learning.period_s` ago); the share that is held back is not trained on. `tierstream learn train` also measures it.
    """
    if from_clickhouse:
        _from_clickhouse(ctx, out, since, others=(outcomes, requests, seed, from_scratch, attribution), as_json=as_json)
        return
    if since is not None:
        raise typer.BadParameter("--since goes with --from-clickhouse")
    if (outcomes is None) == (not requests):
        raise typer.BadParameter("give either --requests or --outcomes: they make models of two kinds")
    if requests and seed is not None:
        raise typer.BadParameter("--seed goes with --outcomes: nothing is random in a model of requests")
    if outcomes is not None and from_scratch:
        raise typer.BadParameter("--from-scratch goes with --requests: a model of outcomes is always made anew")
    require_scikit_learn()
    require_directory(out)
    started = time.monotonic()
    if outcomes is not None:
        trained, told = _of_outcomes(outcomes, seed or 0, attribution, out)
    else:
        trained, told = _of_requests(requests or [], attribution, out, from_scratch=from_scratch)
    _tell(out, trained.version, told, started, as_json=as_json)


def _tell(out: Path, version: str, told: Mapping[str, float], started: float, *, as_json: bool) -> None:
    size, seconds = out.stat().st_size, round(time.monotonic() - started, 1)
    if as_json:
        figures = {"model": str(out), "version": version, **told, "bytes": size, "seconds": seconds}
        show_json(figures)
    else:
        about = ", ".join(f"{value} {name.replace('_', ' ')}" for name, value in told.items())
        typer.echo(f"{out}: version {version}, {about}, {size / 1e6:.1f} MB, {seconds} s")


def _from_clickhouse(
    ctx: typer.Context, out: Path, since: datetime | None, *, others: tuple[object, ...], as_json: bool
) -> None:
    """Train on own traffic and write the model; nothing is published."""
    if any(others):
        raise typer.BadParameter("--from-clickhouse goes with --since and --out alone")
    settings = with_clickhouse(load_with_kafka(ctx))
    require_scikit_learn()
    require_directory(out)
    from tierstream.training.candidate import train_candidate  # noqa: PLC0415 - scikit-learn takes a while to import
    from tierstream.training.own_traffic import read_own_traffic  # noqa: PLC0415

    started, until = time.monotonic(), utc_now()
    since = since or until - timedelta(seconds=settings.learning.period_s)
    with progress_bar("training on own traffic") as progress:
        traffic = asyncio.run(read_own_traffic(settings, since, until, lambda done: progress(done * _READING)))
        chosen, held = traffic.split(settings.learning.held_share)
        try:
            model = train_candidate(settings, chosen, lambda done: progress(_READING + (1 - _READING) * done))
        except TrainingError as error:
            raise InputError(f"labels since {since:%Y-%m-%d %H:%M}: {error}") from None
        model.save(out)
    told = {
        "requests": len(chosen),
        "held_back": len(held),
        "labels": sum(source.labels for source in traffic.labels),
        "labels_beyond_bounds": sum(source.left_out for source in traffic.labels),
        "requests_missing": traffic.missing,
        "labels_of_other_models": traffic.of_other_models,
    }
    _tell(out, model.version, told, started, as_json=as_json)


def _of_outcomes(path: Path, seed: int, attribution: str, out: Path) -> "tuple[TrainedModel, dict[str, float]]":
    from tierstream.training import fit_model  # noqa: PLC0415 - scikit-learn takes a while to import

    found = read_outcomes(path)
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
            raise InputError(f"{path}: {error}") from None
        model.save(out)
    return model, {"outcomes": len(found), "mean_gain": round(model.training.mean_gain, 6)}


def _of_requests(
    paths: Sequence[Path], attribution: str, out: Path, *, from_scratch: bool
) -> "tuple[TrainedModel, dict[str, float]]":
    from streams.routing.request_classifier.classifier import RequestClassifier  # noqa: PLC0415
    from tierstream.training import fit_requests  # noqa: PLC0415 - scikit-learn takes a while to import
    from tierstream.training.labelled_requests import read_labelled  # noqa: PLC0415

    found = read_labelled(paths)
    base = None if from_scratch else RequestClassifier.shipped()
    with progress_bar(f"training on {len(found)} requests") as progress:
        try:
            model = fit_requests.train(found, base, attribution, progress)
        except TrainingError as error:
            raise InputError(f"{', '.join(map(str, paths))}: {error}") from None
        model.save(out)
    return model, {"requests": len(found), "added_to": 0 if base is None else base.examples}


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
