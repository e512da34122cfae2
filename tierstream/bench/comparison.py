"""Two systems under the same loads: what one of them is to the other."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from tierstream.bench.load_figures import LoadFigures


class Comparison(BaseModel):
    """tierstream beside a peer under one load, means over the rounds. Ratios above 1 are in favour of tierstream."""

    model_config = ConfigDict(frozen=True)

    load: str
    peer: str
    rounds: int
    per_s: float
    peer_per_s: float
    throughput_ratio: float | None
    """Answers a second, ours by the peer's."""
    worker_cpu_ms: float
    """CPU of our worker for a request."""
    own_cpu_ms: float
    """CPU of worker, broker, ClickHouse and sink for a request."""
    peer_cpu_ms: float
    worker_cpu_ratio: float | None
    """CPU of the peer for a request by that of our worker."""
    own_cpu_ratio: float | None
    """CPU of the peer for a request by that of all that a deployment of ours runs."""
    added_p50_ms: float | None
    peer_added_p50_ms: float | None


def compared(loads: Sequence[LoadFigures], peer: str) -> tuple[Comparison, ...]:
    """Compare the loads that both systems had, in the order in which they were first put on."""
    names = dict.fromkeys(load.load for load in loads)
    return tuple(_compared(name, peer, [load for load in loads if load.load == name]) for name in names)


def _compared(name: str, peer: str, loads: Sequence[LoadFigures]) -> Comparison:
    theirs = [load for load in loads if load.system == peer]
    ours = [load for load in loads if load.system != peer]
    per_s, peer_per_s = (fmean(load.achieved_per_s for load in side) for side in (ours, theirs))
    worker = fmean(load.cpu_ms.get("worker", 0.0) for load in ours)
    own, other = (fmean(load.own_cpu_ms for load in side) for side in (ours, theirs))
    return Comparison(
        load=name,
        peer=peer,
        rounds=len(ours),
        per_s=round(per_s, 2),
        peer_per_s=round(peer_per_s, 2),
        throughput_ratio=_ratio(per_s, peer_per_s),
        worker_cpu_ms=round(worker, 3),
        own_cpu_ms=round(own, 3),
        peer_cpu_ms=round(other, 3),
        worker_cpu_ratio=_ratio(other, worker),
        own_cpu_ratio=_ratio(other, own),
        added_p50_ms=_mean(load.added_ms.p50 for load in ours if load.added_ms),
        peer_added_p50_ms=_mean(load.added_ms.p50 for load in theirs if load.added_ms),
    )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(fmean(found), 2) if found else None


def _ratio(one: float, other: float) -> float | None:
    return round(one / other, 2) if other else None
