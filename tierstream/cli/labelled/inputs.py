"""What commands on labelled outcomes or requests share: which options are whose, and what is judged."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierstream.cli.errors import show_warning
from tierstream.cli.progress import progress_bar
from tierstream.client.request_file import InputError
from tierstream.training import TrainingError

if TYPE_CHECKING:
    from streams.routing.request_classifier.classifier import RequestClassifier
    from tierstream.training.labelled_requests import LabelledRequest
    from tierstream.training.request_report import Scores

INTERRUPTED = "interrupted: nothing was finished"

EitherOutcomes = Annotated[
    Path | None,
    typer.Option("--outcomes", metavar="FILE", help="Labelled outcomes as JSON, one a line; .gz will do."),
]
LabelledRequests = Annotated[
    Path | None,
    typer.Option("--requests", metavar="FILE", help="Labelled requests as JSON, one a line, instead of outcomes."),
]
LabelledAnswers = Annotated[
    Path | None,
    typer.Option("--answers", metavar="FILE", help="Labelled answers as JSON, one a line: judges the free checks."),
]
AnswerTokens = Annotated[int, typer.Option(min=1, metavar="N", help="Tokens of an answer, for the cost; all alike.")]


def require_one(
    ctx: typer.Context,
    outcomes: Path | None,
    requests: Path | None,
    *,
    of_outcomes: Sequence[str],
    of_requests: Sequence[str],
) -> None:
    """Check that there is one of the files, and no option that belongs to the other.

    Args:
        ctx: Of the command.
        outcomes: `--outcomes`.
        requests: `--requests`.
        of_outcomes: Names of parameters that mean nothing for requests.
        of_requests: The same for outcomes.

    Raises:
        BadParameter: There are two files or none, or such an option.
    """
    if (outcomes is None) == (requests is None):
        raise typer.BadParameter("give --outcomes or --requests, one of them")
    other, foreign = ("--requests", of_requests) if requests is None else ("--outcomes", of_outcomes)
    for name in foreign:
        # By name: typer has a copy of click's class.
        if (source := ctx.get_parameter_source(name)) is not None and source.name != "DEFAULT":
            raise typer.BadParameter(f"--{name.replace('_', '-')} belongs to {other}: leave it out")


def require_alone(ctx: typer.Context, name: str, own: Sequence[str]) -> None:
    """Check that no option is given but one and those that belong to it.

    Args:
        ctx: Of the command.
        name: Of the option.
        own: Names of parameters that go with it.

    Raises:
        BadParameter: There is another one.
    """
    for other in ctx.params:
        if other in {name, *own}:
            continue
        if (source := ctx.get_parameter_source(other)) is not None and source.name != "DEFAULT":
            raise typer.BadParameter(f"--{other.replace('_', '-')} does not go with --{name}: leave it out")


def load_request_model(path: Path | None) -> "RequestClassifier":
    """Load a model file of requests, or the model that ships.

    Raises:
        InputError: It can't be used; the line says what to do.
        OSError: It can't be read.
    """
    from streams.routing.model_archive import ModelError  # noqa: PLC0415 - NumPy takes a while to import
    from streams.routing.request_classifier.classifier import RequestClassifier  # noqa: PLC0415

    try:
        return RequestClassifier.shipped() if path is None else RequestClassifier.loads(path.read_bytes(), str(path))
    except ModelError as error:
        raise InputError(str(error)) from None


def scores_of_requests(
    file: Path, requests: "Sequence[LabelledRequest]", classifier: "RequestClassifier | None", folds: int
) -> "Scores":
    """Score by the classifier, or by others that were trained without the request.

    Raises:
        InputError: There is too little to train on.
    """
    import numpy as np  # noqa: PLC0415 - takes a while to import

    from tierstream.training.request_report import Scores  # noqa: PLC0415

    with progress_bar("scoring", INTERRUPTED) as progress:
        if classifier is None:
            from tierstream.training.fit_requests import deal, out_of_fold  # noqa: PLC0415 - needs the extra `train`

            try:
                needs, types = out_of_fold(requests, deal(requests, folds), progress)
            except TrainingError as error:
                raise InputError(f"{file}: with a fold left out, {error}") from None
        else:
            needs, types = [], []
            for number, request in enumerate(requests, 1):
                needs.append(classifier.needs(request))
                types.append(classifier.query_type(request))
                progress(number / len(requests))
    return Scores(np.array(needs, dtype=np.float64), np.array([str(kind) for kind in types]))


def warn_of_seen(seen: int, count: int, *, judged: str = "prompts", others: str = "outcomes") -> None:
    """Say so where something is judged that the model was trained on."""
    if seen:
        show_warning(
            f"the model was trained on {seen} of these {count} {judged}, so the figures flatter it: "
            f"use other {others}, or --cross-validate"
        )
