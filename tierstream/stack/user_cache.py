"""Where what takes long to make is kept for all deployments of a user."""

import os
from pathlib import Path


def user_cache() -> Path:
    """Return our folder in the user's cache; it may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "tierstream")  # noqa: PTH111 - never raises
