"""What a process tells of its work while it does it: metrics, spans, and whose work a log line is about.

All of it is off unless the settings ask for it, and costs nothing then: the libraries are not even imported.
"""

from streams.telemetry.telemetry import OFF, Telemetry

__all__ = ["OFF", "Telemetry"]
