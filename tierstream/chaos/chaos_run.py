"""A run of the fault lab: load at a steady rate, faults at random, and the invariants at the end."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streams.config.settings import Settings
from tierstream.chaos.complaints import Complaints
from tierstream.chaos.faults import FaultLab, FaultPlan
from tierstream.chaos.loop import LoopReport, loop_script
from tierstream.client.request_run import RunReport, run_requests
from tierstream.demo.corpus import sample
from tierstream.demo.demo_run import teach
from tierstream.verify.findings import Check
from tierstream.verify.verification import Verification, VerifyOptions, verify
from topics.requests import Request
from topics.results import Result

_GIVE_UP_S = 180.0
_VERIFY_WAIT_S = 120.0
_CRITICAL_EACH = 8
"""One request in so many is on a critical path: a judge sees its answer first."""


@dataclass
class ChaosReport:
    """What was done to the stack, and what came of it."""

    seed: int
    """Decides requests and faults: the same seed draws the same ones at the same times."""
    load: RunReport = field(default_factory=RunReport)
    faults: dict[str, int] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    """Faults that could not be done to this stack."""
    complaints: int = 0
    """Feedback that asked for an answer anew."""
    loop: LoopReport = field(default_factory=LoopReport)
    verification: Verification | None = None

    @property
    def ok(self) -> bool:
        """Whether every request, and every revision that was asked for, has one result and every invariant holds."""
        if self.load.missing or self.load.duplicates or self.verification is None:
            return False
        findings = self.verification.findings
        return findings.ok and not findings.counts[Check.PENDING]

    def as_json(self) -> dict[str, Any]:
        """Return it as one JSON object."""
        verification = self.verification.as_json() if self.verification else None
        return {
            "ok": self.ok,
            "seed": self.seed,
            "faults": self.faults,
            "skipped": list(self.skipped),
            "complaints": self.complaints,
            "loop": self.loop.as_json(),
            "load": self.load.as_json(),
            "verify": verification,
        }


async def run_chaos(
    settings: Settings,
    *,
    data_dir: Path,
    simulator: str,
    requests: int,
    rate: float,
    plan: FaultPlan,
    name: str,
    report: ChaosReport,
) -> ChaosReport:
    """Send `requests` requests at `rate` a second while the plan's faults happen; then verify.

    The simulator is told the corpus first: weak models give wrong answers in the ways that it has, and judges know.

    Args:
        settings: With the addresses of a running stack.
        data_dir: Of that stack; its usage log is held against the journal.
        simulator: URL of its provider simulator.
        requests: How many.
        rate: Requests a second.
        plan: How often each fault happens.
        name: Prefix of the request ids.
        report: Filled while the run goes on; its seed decides requests and faults.
    """
    await teach(simulator, loop_script(settings))
    lab = FaultLab(settings, data_dir, simulator, report.seed)
    complaints = Complaints(settings.kafka)

    def note(result: Result) -> None:
        complaints.note(result)
        report.loop.note(result)

    complaining = asyncio.create_task(complaints.run())
    breaking = asyncio.create_task(lab.run(plan, requests / rate))
    try:
        await run_requests(
            settings,
            _requests(requests, report.seed, name),
            on_result=note,
            timeout_s=_GIVE_UP_S,
            rate=rate,
            report=report.load,
        )
        await breaking
        await complaints.finish()
    finally:
        breaking.cancel()
        complaining.cancel()
        await asyncio.gather(breaking, complaining, return_exceptions=True)
        report.complaints = complaints.sent
        report.faults, report.skipped = dict(lab.done), lab.skipped
    usage_log = data_dir / "logs" / "simulator-usage.jsonl"
    options = VerifyOptions(usage_logs=(usage_log,), wait_s=_VERIFY_WAIT_S)
    report.verification = await verify(settings, options, lambda *_: None)
    return report


def _requests(count: int, seed: int, name: str) -> Iterator[Request]:
    for number, entry in enumerate(sample(count, seed)):
        # Ids rise and fault times are drawn: what is hit by a fault differs in kind, tier and length.
        fields = {**entry.request_fields(), "request_id": f"{name}-{number:06d}", "service_class": "bulk"}
        if number % _CRITICAL_EACH == 0:
            fields["context"] = {**fields["context"], "business_impact": "critical", "self_validating": False}
        yield Request.model_validate(fields)
