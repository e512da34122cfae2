"""What a learner chooses among, and how it behaves."""

from dataclasses import dataclass, field

from streams.routing.online.pacing import PacingOptions


@dataclass(frozen=True, slots=True)
class Arm:
    """A model or tier to choose.

    Attributes:
        name: Unique.
        cost_usd: Guess of what a request costs, such as from a price list; ten times too much or little will do.
        reward: Guess of its mean reward; None: like the arm that costs most nearly the same.
    """

    name: str
    cost_usd: float
    reward: float | None = None


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """How a learner behaves.

    Attributes:
        exploration: Highest share of requests that are used to learn.
        floor: Lowest share for each arm that may be had.
        exploration_cost: What learning from one arm may cost, as a share of the budget.
        user_share: Of the recent rewards, what one user's count at most.
        user_memory: Outcomes after which one counts half in a user's share.
        pacing: How the spending target is kept.
    """

    exploration: float = 0.05
    floor: float = 0.0003
    exploration_cost: float = 0.05
    user_share: float = 0.02
    user_memory: float = 2_000.0
    pacing: PacingOptions = field(default_factory=PacingOptions)
