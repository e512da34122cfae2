"""What the end of a call says about the model: that it works, that it does not, or nothing."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from streams.providers.base import ErrorKind, ProviderError, is_provider_failure

CONFIG_ERROR_OPEN_S: Final = 60.0
"""A refused key or an unknown model does not mend by itself, only when somebody pays or corrects the config."""

_UNAUTHORIZED: Final = 401
_CONFIG_ERRORS: Final = frozenset({ErrorKind.BAD_KEY, ErrorKind.MODEL_NOT_FOUND})
_MAY_HAVE_WORKED: Final = frozenset(
    {ErrorKind.TIMEOUT, ErrorKind.CUT, ErrorKind.MALFORMED, ErrorKind.EMPTY, ErrorKind.SERVER_ERROR}
)


class Signal(StrEnum):
    """What was learned about the target of a call."""

    SUCCESS = "success"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CallEffect:
    """What one call says about its target.

    Attributes:
        signal: Whether the target works.
        slow: Whether it took too long, whatever came of it.
        reason: A few words for display; the breaker's reason if this opens it.
        open_s: This failure alone opens the breaker, for so many seconds; None: it is one among others.
        asked: `open_s` is the provider's own word. It counts as said, not longer, and whenever the call had left.
        refuses_key: The provider does not know the key, so it is of no use for its other models either.
    """

    signal: Signal
    slow: bool = False
    reason: str = ""
    open_s: float | None = None
    asked: bool = False
    refuses_key: bool = False


NOTHING_LEARNED: Final = CallEffect(Signal.UNKNOWN)


def effect_of(error: ProviderError, *, seconds: float, slow_s: float) -> CallEffect:
    """Judge a call that ended in an error.

    A call that its requester's deadline cut short says nothing: nobody knows when the answer would have come.

    Args:
        error: How it ended.
        seconds: How long it took.
        slow_s: From how many seconds on a call is slow.
    """
    slow = seconds >= slow_s
    if not is_provider_failure(error.kind):
        return CallEffect(Signal.SUCCESS, slow)
    retry_after_s = (error.retry_after_ms or 0) / 1000
    asked = retry_after_s > 0
    if error.kind in _CONFIG_ERRORS:
        # Other refusals of an account, such as 402 and 403, may be about this model alone.
        refuses_key = error.kind is ErrorKind.BAD_KEY and error.status == _UNAUTHORIZED
        open_s = max(CONFIG_ERROR_OPEN_S, retry_after_s)
        return CallEffect(Signal.FAILURE, slow, error.kind, open_s, asked, refuses_key)
    if asked:
        return CallEffect(
            Signal.FAILURE, slow, f"{error.kind}, asks for {retry_after_s:g} s", retry_after_s, asked=True
        )
    if error.kind is ErrorKind.TIMEOUT and error.status is None and not slow:
        return NOTHING_LEARNED
    return CallEffect(Signal.FAILURE, slow, error.kind)


def tokens_used(error: ProviderError, estimate: int) -> int:
    """Tell what a failed call has used of a limit of tokens; what may have been worked on keeps its estimate."""
    if error.usage is not None:
        return error.usage.input + error.usage.output
    return estimate if error.kind in _MAY_HAVE_WORKED else 0
