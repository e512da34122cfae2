"""Prompts that are asked again to the letter, whose answer could be kept or shared."""

from collections.abc import Sequence
from typing import Final

from analytics.findings.model import Candidate, Examples
from analytics.findings.scene import Row, Scene, money

_SAME_LENGTH: Final = 0.5
"""How likely prompts that differ a little have the same length in tokens, at most."""


async def shareable_prompts(scene: Scene) -> Sequence[Candidate]:
    """Look for prompts of which the same answer is paid many times within an hour."""
    rows = await scene.window.rollup_rows("finding_repeated", least=scene.least_usd)
    return [_candidate(scene, row) for row in rows]


def _candidate(scene: Scene, row: Row) -> Candidate:
    feature = row["feature"] or "what names no feature"
    by_day = scene.by_bucket(tier=row["tier"], feature=row["feature"])
    return Candidate(
        id=f"shareable_prompt:{row['feature']}:{row['query_type']}:{row['tier']}:{row['model']}:{row['signature']:016x}",
        kind="shareable_prompt",
        title=f"The same prompt of {feature} is answered {row['requests']:,} times by {row['model']}",
        advice=f"Keep its answer for an hour where it is asked, and name {feature} in `batching.shared_features` of "
        f"tier {row['tier']}, so that requests at the same moment share a call.",
        money=money(row["again_usd"], by_day),
        p=_SAME_LENGTH ** (row["observations"] - 1),
        figures={
            "requests": row["requests"],
            "hours": row["hours"],
            "users_an_hour": row["users"],
            "cost_usd": row["usd"],
        },
        examples=Examples(
            "the same prompt",
            row["last"].replace(hour=0) if scene.window.period.grain == "day" else row["last"],
            feature=row["feature"],
            query_type=row["query_type"],
            tier=row["tier"],
            signature=row["signature"],
        ),
    )
