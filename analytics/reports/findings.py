"""What to do for less: all kinds of findings, weighed together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from analytics.findings.cacheable_prompt import cacheable_prompts
from analytics.findings.cost_change import cost_changes
from analytics.findings.feature_tier import feature_tiers
from analytics.findings.model import SAME_QUESTION_BITS, Candidate, Evidence, Finding
from analytics.findings.power_user import power_users
from analytics.findings.scene import Scene
from analytics.findings.shareable_prompt import shareable_prompts
from analytics.findings.slow_provider import slow_providers
from analytics.findings.statistics import holm
from analytics.ledger_window import LedgerWindow
from analytics.reports.report import RollupReport, rolled_up

KINDS: Final[Sequence[Callable[[Scene], Awaitable[Sequence[Candidate]]]]] = (
    power_users,
    feature_tiers,
    slow_providers,
    cacheable_prompts,
    shareable_prompts,
    cost_changes,
)
_USUALLY: Final = timedelta(days=30)


class FindingsReport(RollupReport):
    """What could be done, most money first. Savings overlap where findings are of the same requests."""

    min_confidence: float
    candidates: int
    """Questions that were asked of the figures; the confidence allows for all of them."""
    spent_usd: Decimal
    """All paid calls of the period."""
    findings: tuple[Finding, ...]


async def findings(window: LedgerWindow, *, min_confidence: float = 0.95) -> FindingsReport:
    """Say what to do for less: about users, features, providers and prompts that cost too much, and sudden changes.

    Args:
        window: What is looked at; without a beginning, the 30 days before its end.
        min_confidence: Findings that are less sure are left out.
    """
    if window.since is None:
        window = replace(window, since=(window.until or datetime.now(UTC)) - _USUALLY)
    head, [total], scene = await asyncio.gather(rolled_up(window), window.rollup_rows("report_total"), Scene.of(window))
    candidates = [one for found in await asyncio.gather(*(kind(scene) for kind in KINDS)) for one in found]
    sure = [
        (one, 1 - level)
        for one, level in zip(candidates, holm([one.p for one in candidates]), strict=True)
        if level < 1 and 1 - level >= min_confidence
    ]
    shown = await asyncio.gather(*(_shown(scene, one, confidence) for one, confidence in sure))
    return FindingsReport(
        **head,
        min_confidence=min_confidence,
        candidates=len(candidates),
        spent_usd=total["total_cost_usd"],
        findings=tuple(sorted(shown, key=lambda one: (-one.usd_month, one.id))),
    )


async def _shown(scene: Scene, one: Candidate, confidence: float) -> Finding:
    period = scene.window.period
    return Finding(
        id=one.id,
        kind=one.kind,
        title=one.title,
        advice=one.advice,
        **one.money.a_month(scene.days),
        confidence=confidence,
        figures=dict(one.figures),
        evidence=tuple(
            Evidence(request_id=request_id, why=one.examples.why)
            for request_id in await scene.evidence(one.examples, SAME_QUESTION_BITS)
        ),
        since=period.since,
        until=period.until,
    )
