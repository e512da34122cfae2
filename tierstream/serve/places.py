"""Where a request stands on `llm.requests`, as part of the id of its answer: so any process finds both again."""

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from tierstream.serve.surface import DoorError

_PARTITIONS: Final = 2**31
_OFFSETS: Final = 2**63
"""What Kafka has numbers for; a client of it that is given others would break."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of a request that Kafka has taken."""

    partition: int
    offset: int
    request_id: str

    def token(self) -> str:
        """Write it in letters, digits, `-` and `_`."""
        text = f"{self.partition}:{self.offset}:{self.request_id}"
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    @classmethod
    def of(cls, token: str) -> "Place":
        """Read a token; whoever sends one may have made it up.

        Raises:
            DoorError: 404, it is none.
        """
        try:
            text = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True).decode()
            partition, offset, request_id = text.split(":", 2)
            place = cls(int(partition), int(offset), request_id)
        except (binascii.Error, ValueError):
            raise unknown() from None
        if place.token() != token or not (0 <= place.partition < _PARTITIONS and 0 <= place.offset < _OFFSETS):
            raise unknown()
        return place


def unknown() -> DoorError:
    """Say that nothing is known under an id, or that whoever asks may not know of it."""
    return DoorError(404, "not_found", "nothing is known under this id, or it is no longer kept")
