"""The one exception of the embedded stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StackError(Exception):
    """The stack can't start or go on; the message is one line that says what is wrong and what to do."""


@contextmanager
def writing(data_dir: Path) -> Iterator[None]:
    """Explain what is wrong when the body can't write to the data folder.

    Raises:
        StackError: Instead of the body's OSError.
    """
    try:
        yield
    except OSError as error:
        raise StackError(
            f"the data folder {data_dir} can't be written ({error.strerror}): "
            "set [stack] data_dir / TIERSTREAM_STACK__DATA_DIR to one that can"
        ) from None
