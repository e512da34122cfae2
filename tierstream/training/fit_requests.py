"""Fits the classifier of requests to labelled requests: deterministic, a minute for 10,000 of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.learning.tier_targets import BoundaryTarget
from streams.routing.model_archive import prompt_hashes
from streams.routing.request_classifier.classifier import RequestClassifier
from streams.routing.request_classifier.features import BUCKETS, FORM, Seen, parts_of, see, shares
from streams.routing.request_classifier.model import LEVELS, TYPES, Model
from tierstream.training import TrainingError
from tierstream.training.estimators import Sparse, fit_softmax, softmax_temperature, sparse_rows
from tierstream.training.evaluation import Array, Ints
from tierstream.training.labelled_requests import LabelledRequest, RequestLabel
from topics.requests import Request

FEWEST_REQUESTS: Final = 100
_BINS: Final = 10
"""Of each feature of the form, by quantiles."""
_FORM_SHARE: Final = 0.3
"""What a bin counts beside the words: less is penalised more."""
_SECOND_CHOICE: Final = 0.3
"""Share of a tier that is acceptable, but not the lowest that should serve."""
_C, _ADDED_C = 10.0, 0.3
"""Inverse of the penalty (of 3, 10 and 30 the best by cross-validation); a few requests must not outweigh many."""
_BASE_OPINION: Final = 0.1
"""Share of a label that is what the model that is added to says: what no label mentions is not to be forgotten."""
_CALIBRATION_FOLDS: Final = 3
_NEVER_RULED_OUT: Final = 1e-6
"""Probability that a guess leaves to each level, however sure a model is."""
_GUESSES: Final = 3
"""How often tiers that labels leave open are guessed anew by what was fitted to the guess before."""

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _Table:
    """Labelled requests as a matrix.

    Attributes:
        rows: (requests, columns) Buckets; then the bins of the form; then the same for those that are steered; then
            the scores of the model that is added to.
        base: First column of the scores of the model that is added to; None: there is none.
        levels: (requests, levels) How far each tier is the lowest that should serve, by all that labelled the request.
        types: (requests, types) The same for the query types.
        steered: (requests,) Whether the form is made to mislead.
    """

    rows: Sparse
    base: int | None
    levels: Array
    types: Array
    steered: NDArray[np.bool_]


def train(
    requests: Sequence[LabelledRequest],
    base: RequestClassifier | None = None,
    attribution: str = "",
    on_progress: Progress = lambda _: None,
) -> RequestClassifier:
    """Fit a classifier; the same requests in the same order give the same one.

    Args:
        requests: What to learn.
        base: A model that they are added to: what it says is corrected by them; None: they are all there is.
        attribution: Kept in the model file.
        on_progress: Called with the share that is done.

    Raises:
        TrainingError: There are too few requests, or not all tiers among them.
    """
    if len(requests) < FEWEST_REQUESTS:
        raise TrainingError(f"{len(requests)} requests are too few to train on: label at least {FEWEST_REQUESTS}")
    missing = set(range(1, LEVELS + 1)) - {request.label.tier for request in requests}
    if missing and base is None:
        raise TrainingError(f"no request has tier {min(missing)}: label some, or add them to the shipped model")
    seen = [see(request) for request in requests]
    cuts = base.model.cuts if base is not None else _cuts(seen)
    table = _table(requests, seen, cuts, base)
    on_progress(0.2)
    own = (None, None) if table.base is None else (table.base, table.base + LEVELS)
    temperatures = _temperatures(requests, table, own, on_progress)
    level_weights, level_intercept = _fit(table.rows, table.levels, own[0])
    type_weights, type_intercept = _fit(table.rows, table.types, own[1])
    weights = np.concatenate([level_weights * temperatures[0], type_weights * temperatures[1]])
    intercept = np.concatenate([level_intercept * temperatures[0], type_intercept * temperatures[1]])
    on_progress(1.0)
    return RequestClassifier(_model(weights, intercept, requests, table, cuts, base, attribution).rounded())


def add_traffic(
    requests: Sequence[Request],
    targets: Sequence[Sequence[BoundaryTarget]],
    base: RequestClassifier,
    on_progress: Progress = lambda _: None,
) -> RequestClassifier:
    """Correct a model's tiers by what is known of how answers came out; deterministic.

    Labels of traffic know one side only: that a tier is enough, or that more is needed. Within what a label leaves
    open, each tier counts as far as the model holds it likely, and the model is fitted anew to that: expectation
    maximisation. What kind a request is, and how scores become probabilities, stays as in the base.

    Args:
        requests: What was asked.
        targets: Of each, for each tier of the labels but the last.
        base: What is corrected.
        on_progress: Called with the share that is done.

    Raises:
        TrainingError: There are too few requests, or all labels say the same.
    """
    if len(requests) < FEWEST_REQUESTS:
        raise TrainingError(f"{len(requests)} labelled requests are too few to train on: {FEWEST_REQUESTS} are needed")
    known = np.array([[(target.enough, target.more) for target in of_request] for of_request in targets])
    for side, what in ((known[..., 0], "was enough"), (known[..., 1], "was too low")):
        if not side.any():
            raise TrainingError(f"no label says that a tier {what}: have a judge look at a sample of the answers")
    known /= known.sum(axis=(1, 2)).mean()
    scores = np.array([base.outputs(request).tolist() for request in requests])
    cuts, steered = base.model.cuts, np.zeros(len(requests), dtype=np.bool_)
    own = _own_columns(cuts)
    rows = _rows([see(request) for request in requests], cuts, steered, scores)
    total = known.sum(axis=(1, 2))[:, None]
    opinion = _likely(scores[:, :LEVELS])
    likely, start = opinion, _start(LEVELS, rows.shape[1], own)
    for guess in range(_GUESSES):
        levels = (1 - _BASE_OPINION) * _completed(known, likely) + _BASE_OPINION * total * opinion
        weights, intercept = _fit(rows, levels, own, start)
        likely, start = _likely(np.asarray(rows @ weights.T + intercept)), weights
        on_progress((guess + 1) / _GUESSES)
    table = _Table(rows=rows, base=own, levels=levels, types=scores[:, LEVELS:], steered=steered)
    of_types = np.zeros((len(TYPES), rows.shape[1]))
    of_types[:, own + LEVELS :] = np.eye(len(TYPES))
    weights, intercept = np.concatenate((weights, of_types)), np.concatenate((intercept, np.zeros(len(TYPES))))
    model = _model(weights, intercept, requests, table, cuts, base, "")
    return RequestClassifier(replace(model, thresholds=base.model.thresholds).rounded())


def _completed(known: Array, likely: Array) -> Array:
    """Spread labels over the levels that they leave open, as these are likely: both (requests, levels).

    Args:
        known: (requests, levels - 1, 2) Weights of a level being enough, and of a higher one being needed.
        likely: (requests, levels) Probabilities of each being the lowest that does.
    """
    found = np.zeros_like(likely)
    for step in range(known.shape[1]):
        for side, levels in ((0, slice(None, step + 1)), (1, slice(step + 1, None))):
            of_levels = likely[:, levels] + _NEVER_RULED_OUT
            found[:, levels] += known[:, step, side, None] * of_levels / of_levels.sum(axis=1, keepdims=True)
    return found


def out_of_fold(
    requests: Sequence[LabelledRequest], folds: Ints, on_progress: Progress = lambda _: None
) -> tuple[list[tuple[float, ...]], list[str]]:
    """Score each request by a model that was trained without its fold: what it needs more than, and its type."""
    needs: list[tuple[float, ...]] = [()] * len(requests)
    types = [""] * len(requests)
    parts = np.unique(folds)
    for number, fold in enumerate(parts):
        model = train([request for request, part in zip(requests, folds, strict=True) if part != fold])
        for i in np.flatnonzero(folds == fold).tolist():
            needs[i] = model.needs(requests[i])
            types[i] = model.query_type(requests[i])
        on_progress((number + 1) / len(parts))
    return needs, types


def deal(requests: Sequence[LabelledRequest], folds: int) -> Ints:
    """Deal requests to folds by their questions; the same question is in the same fold whatever the file."""
    return (prompt_hashes(request.question for request in requests) // 7 % folds).astype(np.intp)


def _cuts(seen: Sequence[Seen]) -> NDArray[np.float32]:
    """Cut each feature of the form at quantiles; where many requests share a value there are fewer cuts."""
    form = np.stack([one.form for one in seen])
    cuts = np.full((len(FORM), _BINS - 1), np.inf, dtype=np.float32)
    for row, column in zip(cuts, form.T, strict=True):
        found = np.unique(np.quantile(column, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower"))
        found = found[found < column.max()]
        row[: len(found)] = found
    return cuts


def _table(
    requests: Sequence[LabelledRequest], seen: Sequence[Seen], cuts: NDArray[np.float32], base: RequestClassifier | None
) -> _Table:
    scores = np.array([[] if base is None else base.outputs(request).tolist() for request in requests])
    steered = np.array([request.label.steered for request in requests])
    return _Table(
        rows=_rows(seen, cuts, steered, scores),
        base=None if base is None else _own_columns(cuts),
        levels=_with_opinion(np.stack([_levels(request.label) for request in requests]), scores[:, :LEVELS]),
        types=_with_opinion(np.stack([_types(request.label) for request in requests]), scores[:, LEVELS:]),
        steered=steered,
    )


def _own_columns(cuts: NDArray[np.float32]) -> int:
    """Return the column behind those of the words and the form."""
    return BUCKETS + 2 * len(FORM) * (int(cuts.shape[1]) + 1)


def _rows(seen: Sequence[Seen], cuts: NDArray[np.float32], steered: NDArray[np.bool_], scores: Array) -> Sparse:
    """Lay requests out as `_Table.rows`; `scores` are of the model that is added to."""
    bins = cuts.shape[1] + 1
    width = len(FORM) * bins
    starts = BUCKETS + np.arange(len(FORM)) * bins
    columns: list[NDArray[np.intp]] = []
    values: list[Array] = []
    for one, is_steered in zip(seen, steered.tolist(), strict=True):
        parts = [part for word in one.words for part in parts_of(word)]
        of_text, of_edges, of_context = shares(one, len(parts))
        form = starts + (cuts < one.form[:, None]).sum(axis=1) + (width if is_steered else 0)
        columns.append(np.concatenate((parts, one.pairs, one.edges, one.context, form)).astype(np.intp))
        values.append(
            np.concatenate(
                (
                    np.full(len(parts) + len(one.pairs), of_text),
                    np.full(len(one.edges), of_edges),
                    np.full(len(one.context), of_context),
                    np.full(len(form), _FORM_SHARE),
                )
            )
        )
    return sparse_rows(columns, values, _own_columns(cuts), scores)


def _with_opinion(labels: Array, scores: Array) -> Array:
    """Mix what a base says into the labels; both (requests, classes), or no scores."""
    if not scores.size:
        return labels
    return np.asarray((1 - _BASE_OPINION) * labels + _BASE_OPINION * _likely(scores))


def _likely(scores: Array) -> Array:
    """Turn scores into probabilities: both (requests, classes)."""
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _levels(label: RequestLabel) -> Array:
    found = np.zeros(LEVELS)
    opinions = [(label.tier, label.tiers), *([label.second[:2]] if label.second else [])]
    for tier, tiers in opinions:
        others = [other for other in tiers if other != tier]
        found[tier - 1] += 1 - _SECOND_CHOICE * len(others)
        for other in others:
            found[other - 1] += _SECOND_CHOICE
    return found / len(opinions)


def _types(label: RequestLabel) -> Array:
    opinions = [label.query_type, *([label.second[2]] if label.second else [])]
    return np.array([opinions.count(kind) / len(opinions) for kind in TYPES])


def _fit(rows: Sparse, shares_of_classes: Array, own: int | None, start: Array | None = None) -> tuple[Array, Array]:
    """Fit weights (classes, columns) and intercepts (classes,).

    Args:
        rows: (requests, columns)
        shares_of_classes: (requests, classes) How much each request counts for each class.
        own: First column of the scores of these classes by a model that is added to; None: there is none.
        start: Weights to begin with; None: what that model says, or nothing.
    """
    if start is None:
        start = _start(shares_of_classes.shape[1], rows.shape[1], own)
    at, labels = np.nonzero(shares_of_classes)
    return fit_softmax(rows[at], labels, shares_of_classes[at, labels], start, _C if own is None else _ADDED_C)


def _start(classes: int, columns: int, own: int | None) -> Array:
    start = np.zeros((classes, columns))
    if own is not None:
        # From what the model says, not from nothing: where the new requests say nothing it stays so.
        start[:, own : own + len(start)] = np.eye(len(start))
    return start


def _temperatures(
    requests: Sequence[LabelledRequest],
    table: _Table,
    own: tuple[int | None, int | None],
    on_progress: Progress,
) -> tuple[float, float]:
    """Find by how much the scores of tiers and of types must be scaled to be probabilities, on held-out requests."""
    folds = deal(requests, _CALIBRATION_FOLDS)
    levels, types = np.zeros((len(folds), LEVELS)), np.zeros((len(folds), len(TYPES)))
    for fold in range(_CALIBRATION_FOLDS):
        chosen, held = folds != fold, folds == fold
        if not chosen.any() or not held.any():
            continue
        for scores, labels, first in ((levels, table.levels, own[0]), (types, table.types, own[1])):
            weights, intercept = _fit(table.rows[chosen], labels[chosen], first)
            scores[held] = table.rows[held] @ weights.T + intercept
        on_progress(0.2 + 0.6 * (fold + 1) / _CALIBRATION_FOLDS)
    plain = ~table.steered
    return (
        softmax_temperature(levels[plain], table.levels[plain]),
        softmax_temperature(types[plain], table.types[plain]),
    )


def _model(
    weights: Array,
    intercept: Array,
    requests: Sequence[Request],
    table: _Table,
    cuts: NDArray[np.float32],
    base: RequestClassifier | None,
    attribution: str,
) -> Model:
    """Turn what was fitted into a model; what a base says is linear too, so that the two are one."""
    bins = cuts.shape[1] + 1
    width = len(FORM) * bins
    words = weights[:, :BUCKETS].T
    form = weights[:, BUCKETS : BUCKETS + width].T * _FORM_SHARE
    trained_on = {*prompt_hashes(request.question for request in requests).tolist()}
    if base is not None:
        of_base = weights[:, BUCKETS + 2 * width :].T
        words = words + base.model.weights @ of_base
        form = form + base.model.form.reshape(width, -1) @ of_base
        intercept = intercept + base.model.intercept @ of_base
        trained_on |= {*base.model.trained_on.tolist()}
    form = form.reshape(len(FORM), bins, -1)
    # Each feature's mean over the requests goes to the intercept, so that a bin says what is unusual.
    plain = table.rows[~table.steered] if not table.steered.all() else table.rows
    shares_of_bins = np.asarray(plain[:, BUCKETS : BUCKETS + width].mean(axis=0)).reshape(len(FORM), bins) / _FORM_SHARE
    usual = np.einsum("fb,fbo->fo", shares_of_bins, form)
    return Model(
        weights=words.astype(np.float32),
        cuts=cuts,
        form=(form - usual[:, None, :]).astype(np.float32),
        intercept=(intercept + usual.sum(axis=0)).astype(np.float32),
        thresholds=np.full(LEVELS - 1, np.nan),
        trained_on=np.array(sorted(trained_on), dtype=np.uint32),
        attribution=attribution or ("" if base is None else base.model.attribution),
    )
