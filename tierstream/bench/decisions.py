"""Routing decisions in this process: how many a second, and what one costs."""

import gc
import time
from collections.abc import Sequence
from typing import Final

from pydantic import BaseModel, ConfigDict

from streams.config.eligible_models import EligibleModels
from streams.config.settings import Settings
from streams.routing.router import Router
from tierstream.bench.distribution import Distribution
from tierstream.bench.workload import Kind, Workload
from tierstream.worker import new_router
from topics.requests import Request

_AT_ONCE: Final = 500


class Decisions(BaseModel):
    """Decisions by rules, features and the learned model, without the votes of a language model."""

    model_config = ConfigDict(frozen=True)

    workload: str
    classifier: str
    decisions: int
    per_s: float
    """In one thread."""
    cpu_us: Distribution
    """CPU of each, in microseconds."""


def measure_decisions(settings: Settings, kind: Kind, seconds: float) -> Decisions:
    """Decide on requests that are new to the router.

    Args:
        settings: Say how.
        kind: Which requests.
        seconds: Of decisions; that requests are made ready does not count.
    """
    router, workload = new_router(settings, EligibleModels(settings)), Workload(kind)
    # What is loaded with the first decision is not what a decision costs.
    _decide(router, _requests(workload, 0))
    spent_us: list[float] = []
    wall_s, first = 0.0, _AT_ONCE
    while wall_s < seconds:
        requests = _requests(workload, first)
        gc.collect()
        took_s, each_us = _decide(router, requests)
        wall_s, first = wall_s + took_s, first + _AT_ONCE
        spent_us += each_us
    cpu_us = Distribution.of(spent_us)
    if cpu_us is None:
        raise ValueError("no decision was made")
    return Decisions(
        workload=kind,
        classifier=settings.routing.classifier,
        decisions=len(spent_us),
        per_s=round(len(spent_us) / wall_s, 1),
        cpu_us=cpu_us,
    )


def _requests(workload: Workload, first: int) -> list[tuple[Request, str]]:
    read = [Request.model_validate_json(workload.outgoing(first + i).value) for i in range(_AT_ONCE)]
    return [(request, request.digest()) for request in read]


def _decide(router: Router, requests: Sequence[tuple[Request, str]]) -> tuple[float, list[float]]:
    """Return how long all decisions took, and the CPU of each in microseconds."""
    spent_us = []
    began = time.perf_counter()
    for request, digest in requests:
        before = time.thread_time_ns()
        router.draft(request, digest, 0)
        spent_us.append((time.thread_time_ns() - before) / 1000)
    return time.perf_counter() - began, spent_us
