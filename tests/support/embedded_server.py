"""The embedded ClickHouse in a process of its own, for tests that talk to it as a client does."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

MODULE = "tierstream.stack.clickhouse_server"
_SHIPPED = {"default", "system", "INFORMATION_SCHEMA", "information_schema"}
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

    def ask(self, statement: str) -> list[str]:
        """Run a statement and return the lines of its result."""
        with urllib.request.urlopen(self.url, statement.encode()) as response:
            return response.read().decode().splitlines()

    def drop_databases(self) -> None:
        """Make it as it was when it was new."""
        for name in set(self.ask("SHOW DATABASES")) - _SHIPPED:
            self.ask(f"DROP DATABASE `{name}` SYNC")

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode
