"""The section of the settings about files and batches."""

from typing import Annotated

from pydantic import Field

from streams.config.section import Section


class BatchSettings(Section):
    """How large files may be, and how much of a batch is under way at a time."""

    file_max_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024 * 1024
    max_lines: Annotated[int, Field(ge=1)] = 50_000
    """Of one batch."""
    in_flight: Annotated[int, Field(ge=1)] | None = None
    """Lines that are under way at a time, of all batches that one process serves; None: 256, and
    10,000 where a tier has bulk requests wait for a batch of the provider."""
    per_second: Annotated[float, Field(gt=0)] = 250.0
    """Lines that one process sends in a second at most: requests that others make meanwhile come in between."""
    at_once: Annotated[int, Field(ge=1)] = 32
    """Batches that one process serves at a time; others wait for their turn."""
    progress_s: Annotated[float, Field(gt=0)] = 2.0
    """How often it is told how far a batch is, in seconds."""
