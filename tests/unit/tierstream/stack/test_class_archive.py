"""The archive of classes: what it is named after, and that no failure to make it is more than a line in the log."""

import asyncio
import os
from pathlib import Path

import pytest

from tierstream.stack.class_archive import ClassArchive

_DUMPS = """#!/bin/sh
for argument; do
  case $argument in
    -XX:SharedClassListFile=*) classes=${argument#*=} ;;
    -XX:SharedArchiveFile=*) archive=${argument#*=} ;;
  esac
done
"""


class Runtime:
    """A stand-in for Java in a folder of its own, with a jar and a list of classes whose last line is half written."""

    def __init__(self, folder: Path) -> None:
        self.java, self.jar, self.listed = folder / "bin" / "java", folder / "a.jar", folder / "loaded-classes"
        self.cache = folder / "cache"
        for part in (self.java, folder / "lib" / "modules", self.jar):
            part.parent.mkdir(exist_ok=True)
            part.write_text("first")
        self.listed.write_text("one\ntwo\nthr")
        self.does('cp "$classes" "$archive"')

    def does(self, action: str) -> None:
        """Say what it does when it is asked for an archive."""
        self.java.write_text(f"{_DUMPS}{action}\n")
        self.java.chmod(0o755)

    def archive(self, *options: str) -> ClassArchive:
        return ClassArchive((str(self.java), *options, "-cp", str(self.jar)), dict(os.environ), self.cache)


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(tmp_path)


async def test_the_first_lists_its_classes_and_the_next_starts_from_the_archive(runtime: Runtime) -> None:
    archive = runtime.archive()
    assert archive.options() == ()
    assert archive.options(class_list="listed") == ("-XX:DumpLoadedClassList=listed",)
    await archive.make(runtime.listed)
    assert archive.path.read_text() == "one\ntwo\n"
    assert list(runtime.cache.iterdir()) == [archive.path]
    assert archive.options() == archive.options(class_list="listed")
    assert f"-XX:SharedArchiveFile={archive.path}" in archive.options()


async def test_another_runtime_jar_or_option_has_another_archive(runtime: Runtime, tmp_path: Path) -> None:
    paths = [runtime.archive().path, runtime.archive("-Xint").path]
    for file in (runtime.jar, tmp_path / "lib" / "modules"):
        file.write_text("second, and longer")
        paths.append(runtime.archive().path)
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("action", ["exit 1", "exit 0", 'echo half > "$archive"; exit 134'])
async def test_what_fails_leaves_nothing(runtime: Runtime, action: str) -> None:
    runtime.does(action)
    archive = runtime.archive()
    await archive.make(runtime.listed)
    assert list(runtime.cache.iterdir()) == []
    assert archive.options() == ()


async def test_without_a_list_a_cache_or_java_there_is_no_archive(runtime: Runtime) -> None:
    await runtime.archive().make(runtime.listed.with_name("missing"))
    runtime.java.unlink()
    await runtime.archive().make(runtime.listed)
    assert list(runtime.cache.iterdir()) == []
    runtime.cache.rmdir()
    runtime.cache.write_text("a file")
    await runtime.archive().make(runtime.listed)
    assert runtime.archive().options() == ()


def test_a_folder_that_java_would_take_for_two_is_not_used(runtime: Runtime, tmp_path: Path) -> None:
    runtime.cache = tmp_path / "one:two"
    assert runtime.archive().options(class_list="listed") == ()


async def test_who_is_cancelled_leaves_neither_a_process_nor_a_file(runtime: Runtime, tmp_path: Path) -> None:
    began = tmp_path / "began"
    os.mkfifo(began)
    runtime.does(f'echo $$ > "{began}"; exec sleep 600')
    making = asyncio.create_task(runtime.archive().make(runtime.listed))
    pid = int(await asyncio.to_thread(began.read_text))
    making.cancel()
    await asyncio.wait([making])
    assert making.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert list(runtime.cache.iterdir()) == []


async def test_what_a_killed_process_had_begun_goes_after_a_while(runtime: Runtime) -> None:
    old, new = runtime.cache / ".making-old", runtime.cache / ".making-new"
    for begun in (old, new):
        begun.mkdir(parents=True)
        (begun / "archive").write_text("half")
    os.utime(old, (0, 0))
    await runtime.archive().make(runtime.listed)
    assert sorted(runtime.cache.iterdir()) == sorted([new, runtime.archive().path])


async def test_the_archives_of_what_was_replaced_go(runtime: Runtime) -> None:
    made = []
    for age in range(5, 0, -1):
        archive = runtime.archive(f"-Xmx{age}m")
        await archive.make(runtime.listed)
        os.utime(archive.path, (1000 - age, 1000 - age))
        made.append(archive.path)
    assert sorted(runtime.cache.iterdir()) == sorted(made[-3:])
