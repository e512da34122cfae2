"""The section of the settings about batches of providers."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from streams.config.section import Section


class BulkSettings(Section):
    """How long bulk requests wait for a batch of a provider, where `tiers.batching.provider` has them wait."""

    wait_s: Annotated[float, Field(ge=0)] = 30.0
    """How long the first one of a batch waits for others."""
    max_size: Annotated[int, Field(ge=1, le=10_000)] = 2_000
    """A batch of so many leaves at once."""
    poll_s: Annotated[float, Field(gt=0)] = 30.0
    """How often a provider is asked how far a batch is."""
    least_s: Annotated[float, Field(gt=0)] = 900.0
    """A request waits for a batch only if it has at least so long until its deadline."""
    reserve_s: Annotated[float, Field(gt=0)] = 300.0
    """So long before the first deadline of a batch what is not answered is called off, and asked as any other call."""
    doubt_s: Annotated[float, Field(ge=0)] = 150.0
    """Whether a batch was submitted by a process that died meanwhile is looked up at once, and again after so long,
    before it is submitted anew. A request that makes one has 120 s."""

    def has_time(self, deadline: datetime, now: datetime) -> bool:
        """Whether a request with that deadline can wait for a batch."""
        return deadline - now >= timedelta(seconds=self.least_s)
