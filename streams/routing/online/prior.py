"""What a deployment may begin with: requests of which the outcome of every arm is known."""

from dataclasses import dataclass

import numpy as np

from streams.routing.online.features import Floats


@dataclass(frozen=True, slots=True)
class Prior:
    """Outcomes of all arms on the same requests, such as those of an evaluation.

    Attributes:
        arms: Names.
        features: (requests, size)
        rewards: (requests, arms) From 0 to 1.
        costs_usd: (requests, arms)
    """

    arms: tuple[str, ...]
    features: Floats
    rewards: Floats
    costs_usd: Floats

    def __post_init__(self) -> None:
        """Check that they go together.

        Raises:
            ValueError: They do not, or there is none.
        """
        wanted = (len(self.features), len(self.arms))
        if self.features.ndim != 2 or not all(wanted):  # noqa: PLR2004 - rows and columns
            raise ValueError("a prior has at least one request and one arm")
        for name, values in (("rewards", self.rewards), ("costs", self.costs_usd)):
            if values.shape != wanted or not np.isfinite(values).all():
                raise ValueError(f"{name} of the prior: a finite number for each request and arm is wanted")
