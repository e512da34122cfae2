"""The providers that a deployment has without settings of its own, as `defaults.toml` declares them."""

import tomllib
from typing import Any

from streams.config.settings import DEFAULTS_FILE

SHIPPED: dict[str, dict[str, Any]] = tomllib.loads(DEFAULTS_FILE.read_text(encoding="utf-8"))["providers"]
NAMES = tuple(SHIPPED)
"""What is tested of one is tested of each."""
KEYS = tuple(provider["api_key_env"] for provider in SHIPPED.values())
"""The variables that hold their keys."""
