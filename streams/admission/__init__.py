"""Whether and when a call may leave for a model: circuit breakers, rate limits and slots."""

from streams.admission.admission import Admission, TierVisit
from streams.admission.gate import BreakerChange, BreakerSnapshot, Gate
from streams.admission.queue import Unavailability, UnavailableError

__all__ = [
    "Admission",
    "BreakerChange",
    "BreakerSnapshot",
    "Gate",
    "TierVisit",
    "Unavailability",
    "UnavailableError",
]
