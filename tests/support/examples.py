"""How many examples properties are tried on."""

from hypothesis import settings

_FULL = 100
"""What a property is tried on by default; the profile `quick` has fewer."""
_LEAST = 5


def examples(count: int) -> int:
    """Return the share of a count that the profile asks for: all of it in `make test`, a tenth in `make unit`."""
    return max(min(count, _LEAST), count * settings.default.max_examples // _FULL)
