"""Where log lines go: to stderr, our own above all; what libraries have to say only on request."""

import logging
import sys
from typing import Final, Literal

_OWN: Final = ("topics", "streams", "agents", "analytics", "tierstream")
_LEVELS: Final = (
    # (our own packages, everybody else)
    (logging.WARNING, logging.CRITICAL),
    (logging.INFO, logging.ERROR),
    (logging.DEBUG, logging.INFO),
)


def configure_logging(verbose: int, *, service: bool = False, log_format: Literal["text", "json"] = "text") -> None:
    """Send log lines to stderr.

    Args:
        verbose: How often `--verbose` was given.
        service: Whether the command is a service, whose log is all that it shows.
        log_format: Of the lines.
    """
    own, others = _LEVELS[min(verbose + service, len(_LEVELS) - 1)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(level=others, handlers=[handler], force=True)
    for name in _OWN:
        logging.getLogger(name).setLevel(own)


def _formatter(log_format: Literal["text", "json"]) -> logging.Formatter:
    if log_format == "text":
        return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    from tierstream.cli.json_lines import JsonLines  # noqa: PLC0415 - a library that nobody else needs

    return JsonLines()
