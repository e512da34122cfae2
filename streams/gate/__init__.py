"""Whether and when a call may leave for a model: circuit breakers, rate limits and slots."""

from streams.gate.admission import Admission, TierVisit
from streams.gate.gate import BreakerChange, BreakerSnapshot, Gate
from streams.gate.turns import Unavailability, UnavailableError

__all__ = [
    "Admission",
    "BreakerChange",
    "BreakerSnapshot",
    "Gate",
    "TierVisit",
    "Unavailability",
    "UnavailableError",
]
