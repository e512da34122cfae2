"""What a user reads where a process can't be watched as the settings say."""


class MonitoringError(Exception):
    """What was asked of monitoring can't be had; the message names the setting and says what to do."""
