"""Log lines as JSON objects, one a line: for whatever collects the logs of many processes."""

import logging
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from streams.telemetry.log_context import current_work


class JsonLines(JsonFormatter):
    """Writes `time` (ISO 8601, UTC), `level`, `logger`, `message`, and what the line is about as far as it is known.

    A traceback is in `exc_info`.
    """

    def __init__(self) -> None:
        super().__init__(json_ensure_ascii=False)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Fill in the fields; what a caller has put into a record besides is not ours, and left out."""
        work = current_work()
        known = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "stage": work and work.stage,
            "request_id": work and work.request_id,
            "trace_id": work and work.trace_id,
            "exc_info": message_dict.get("exc_info"),
        }
        log_data.update((name, value) for name, value in known.items() if value is not None)
