"""The embedded ClickHouse in a process of its own, for tests that talk to it as a client does."""

import re
import signal
import subprocess
import sys
from pathlib import Path

MODULE = "tierstream.stack.clickhouse_server"
_LISTENS = re.compile(r"listens on (http://127\.0\.0\.1:\d+)")


class EmbeddedServer:
    """A server process on a free port; its stderr is read up to the line that says where it listens."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, "--port", "0", "--data", str(folder)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if match := _LISTENS.search(line):
                self.url = match[1]
                return
        raise AssertionError(f"the server did not start: {''.join(seen)}")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode
