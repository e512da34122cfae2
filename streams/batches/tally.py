"""Which lines of a batch have their result, and what these come to; a byte for each line."""

from topics.batches import BatchAnswer


class Tally:
    """Counts each line once, however often its result is seen.

    Args:
        total: How many lines there are.
    """

    def __init__(self, total: int) -> None:
        self._has_result = bytearray(total)
        self.count = 0
        """Lines that have their result."""
        self.completed = 0
        """Those of them with an answer."""
        self.completed_bytes = 0
        self.failed_bytes = 0

    def __contains__(self, line: int) -> bool:
        return bool(self._has_result[line])

    def add(self, answer: BatchAnswer) -> None:
        """Count a line, unless it is counted."""
        if answer.line in self:
            return
        self._has_result[answer.line] = True
        self.count += 1
        if answer.ok:
            self.completed += 1
            self.completed_bytes += answer.size
        else:
            self.failed_bytes += answer.size

    @property
    def failed(self) -> int:
        """Lines whose result has no answer."""
        return self.count - self.completed
