"""`tierstream evaluate --requests`: how good a classifier of requests is on labelled ones."""

import math
from dataclasses import asdict
from pathlib import Path

from streams.config.settings import Settings
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.request_classifier.model import LEVELS
from tierstream.cli.labelled.inputs import INTERRUPTED, load_request_model, scores_of_requests, warn_of_seen
from tierstream.cli.progress import progress_bar
from tierstream.cli.render.labelled_requests import show_report, show_votes
from tierstream.cli.render.results import show_json
from tierstream.training.labelled_requests import read_labelled
from tierstream.training.request_costs import costs_of_calls
from tierstream.training.request_report import draw_weights, labels_of, report
from tierstream.training.simulated_voter import simulate_votes


def evaluate_requests(
    settings: Settings,
    file: Path,
    *,
    model: Path | None,
    cross_validate: bool,
    boundary: float | None,
    votes: bool,
    answer_tokens: int,
    folds: int,
    draws: int,
    seed: int,
    as_json: bool,
) -> None:
    """Judge a model, or others that are trained in folds, and print what they reach.

    Raises:
        InputError: A file or a price that can't be used.
        OSError: A file can't be read.
    """
    classifier = None if cross_validate else load_request_model(model)
    requests = read_labelled([file])
    costs = costs_of_calls(settings, requests, answer_tokens) if votes else None
    thresholds = _thresholds(classifier, boundary, settings.routing.boundary[0])
    scores = scores_of_requests(file, requests, classifier, folds)
    with progress_bar("drawing intervals", INTERRUPTED):
        found = report(requests, scores, thresholds, draw_weights(requests, draws, seed))
    voted = [] if costs is None else [*simulate_votes(labels_of(requests), scores.needs, list(thresholds), costs, seed)]
    seen = classifier.trained_on(requests) if classifier else 0
    if as_json:
        show_json(
            {
                "model": classifier.version if classifier else None,
                "requests": len(requests),
                "trained_on": seen,
                "thresholds": [*thresholds],
                **asdict(found),
                "votes": [*map(asdict, voted)] if votes else None,
            }
        )
    else:
        show_report(found, thresholds)
        if votes:
            show_votes(voted)
    warn_of_seen(seen, len(requests), judged="requests", others="requests")


def _thresholds(classifier: RequestClassifier | None, boundary: float | None, usual: float) -> tuple[float, ...]:
    """Return from which probability each step goes up: what is asked for, else what is calibrated, else the usual."""
    own = [math.nan] * (LEVELS - 1) if classifier is None or boundary is not None else classifier.model.thresholds
    return tuple((usual if boundary is None else boundary) if math.isnan(at) else float(at) for at in own)
