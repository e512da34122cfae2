"""An archive of the broker's classes, already parsed and verified: with it, a start takes half of the CPU.

The Java runtime that is installed with us brings no such archive, not even of its own classes. The first broker lists
what it loads, and when it has been up for a while, the archive is made from the list beside it. The archive is of use
to the very runtime, jars and options that it was made with, so these are its key.

Nothing depends on it: a broker that finds no archive, or one that it can't use, starts as it would without.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path

from tierstream.stack.process import run_to_end
from tierstream.stack.threads import in_daemon_thread
from tierstream.stack.user_cache import user_cache

_PREFIX, _SUFFIX = "kafka-", ".jsa"
_MAKING = ".making-"
_KEPT = 3
"""An installation that was replaced leaves its archive of 60 MB behind."""
_LEFT_AFTER_S = 3600.0
"""Older than that is what a process that was killed had begun."""
_AT_LOWEST_PRIORITY = ("nice", "-n", "19")

log = logging.getLogger(__name__)


class ClassArchive:
    """The archive of one runtime with one class path and one set of options.

    Args:
        java: The command line of a JVM, up to the class path; the class path is its last argument.
        environment: Of its process.
        folder: Where archives are kept; None: the user's cache.
    """

    def __init__(self, java: tuple[str, ...], environment: dict[str, str], folder: Path | None = None) -> None:
        self._java = java
        self._environment = environment
        self._folder = folder or user_cache()

    def options(self, *, class_list: str | None = None) -> tuple[str, ...]:
        """Return what a JVM that is about to start needs to use the archive, or else to list what it loads.

        Args:
            class_list: The file to which a JVM without an archive writes its list; None: to none.
        """
        # Java would read two names.
        if os.pathsep in str(self.path):
            return ()
        if self.path.is_file():
            # A damaged archive ends the JVM by SIGSEGV unless it is verified, which costs a tenth of a second.
            return (f"-XX:SharedArchiveFile={self.path}", "-XX:+VerifySharedSpaces")
        return (f"-XX:DumpLoadedClassList={class_list}",) if class_list else ()

    @property
    def path(self) -> Path:
        """The file of the archive; it is whole if it exists."""
        # What was installed anew under the same name has another time.
        parts = [*self._java, *map(_identity, (_modules(self._java[0]), *map(Path, self._java[-1].split(os.pathsep))))]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        return self._folder / f"{_PREFIX}{key}{_SUFFIX}"

    async def make(self, class_list: Path) -> None:
        """Make the archive from what a JVM has loaded so far, unless it exists; a failure goes to the log alone.

        Args:
            class_list: As that JVM writes it.
        """
        try:
            if not self.path.is_file():
                await self._make(class_list)
        except OSError as error:
            log.debug("the archive of Kafka's classes can't be made: %s", error)

    async def _make(self, class_list: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_MAKING, dir=self._folder) as made_in:
            classes, draft = Path(made_in, "classes"), Path(made_in, "archive")
            _copy_whole_lines(class_list, classes)
            if await self._dump(classes, draft):
                await in_daemon_thread(lambda: _sync(draft))
                self._put_in_place(draft)

    async def _dump(self, classes: Path, draft: Path) -> bool:
        java, *options = self._java
        exit_code, output = await run_to_end(
            *_AT_LOWEST_PRIORITY,
            java,
            "-Xshare:dump",
            f"-XX:SharedClassListFile={classes}",
            f"-XX:SharedArchiveFile={draft}",
            *options,
            env=self._environment,
        )
        if exit_code:
            log.debug("no archive of Kafka's classes was made: %s", output[-1000:])
            return False
        return True

    def _put_in_place(self, draft: Path) -> None:
        draft.replace(self.path)
        archives = self._folder.glob(f"{_PREFIX}*{_SUFFIX}")
        for old in sorted(archives, key=_changed_at)[:-_KEPT]:
            old.unlink(missing_ok=True)
        for begun in self._folder.glob(f"{_MAKING}*"):
            if _changed_at(begun) < time.time() - _LEFT_AFTER_S:
                shutil.rmtree(begun, ignore_errors=True)


def _modules(java: str) -> Path:
    """Return the file of the runtime's own classes."""
    return Path(java).parent.parent / "lib" / "modules"


def _identity(file: Path) -> str:
    try:
        found = file.stat()
    except OSError:
        return f"{file} is missing"
    return f"{file} {found.st_size} {found.st_mtime_ns}"


def _changed_at(file: Path) -> float:
    return file.stat().st_mtime


def _copy_whole_lines(listed: Path, copy: Path) -> None:
    """Copy what a JVM has listed so far; it goes on writing."""
    found = listed.read_bytes()
    copy.write_bytes(found[: found.rfind(b"\n") + 1])


def _sync(file: Path) -> None:
    """Bring the file to the disk before it gets its name: a power cut must not leave half of it."""
    with file.open("rb") as written:
        os.fsync(written.fileno())
