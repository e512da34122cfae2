"""Picking a share of the requests by chance, and the same ones after every restart. Pure."""

import hashlib
from typing import Final

_RANGE: Final = 2**64


def share_of(digest: str, what: str) -> float:
    """Return a number from 0 to below 1 that is uniform over requests.

    Args:
        digest: Of the request.
        what: What is picked: numbers of different choices have nothing to do with each other.
    """
    hashed = hashlib.blake2b(f"{what}\x1f{digest}".encode(), digest_size=8).digest()
    return int.from_bytes(hashed) / _RANGE
