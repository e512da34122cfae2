"""Which bodies the lines of a batch may have: by the address that they would be posted to."""

from collections.abc import Mapping
from typing import Final

from tierstream.serve.batches.store import not_a_batch
from tierstream.serve.door import Door
from tierstream.serve.surface import Surface

ENDPOINTS: Final[Mapping[str, str]] = {
    "/v1/chat/completions": "chat_completions",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
}
"""Names of surfaces."""


def surface_of(door: Door, endpoint: object) -> Surface:
    """Return the surface that reads what is posted to an address.

    Raises:
        DoorError: 400, batches have no lines for it.
    """
    surface = door.surfaces.get(ENDPOINTS.get(endpoint, "")) if isinstance(endpoint, str) else None
    if surface is None:
        raise not_a_batch(f"the endpoint must be one of {', '.join(ENDPOINTS)}", "endpoint")
    return surface
