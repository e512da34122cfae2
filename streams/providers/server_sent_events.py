"""Server-sent events, as far as the providers' streams use them: the data of each event, in order.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Final

_BOM: Final = b"\xef\xbb\xbf"


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Yield the data of each event; an event without data, or without the empty line that ends it, is none.

    Args:
        chunks: The body as it comes, cut anywhere.

    Raises:
        UnicodeDecodeError: The body is not in UTF-8.
    """
    lines, data = _Lines(), list[str]()
    async for chunk in chunks:
        for line in lines.take(chunk):
            if line:
                # Types, ids and times to come back are of no use here; a line that begins with a colon is a comment.
                name, _, value = line.partition(":")
                if name == "data":
                    data.append(value.removeprefix(" "))
                continue
            if any(data):
                yield "\n".join(data)
            data.clear()


class _Lines:
    """Puts lines together, each as soon as it is whole; it ends with LF, CR or both."""

    def __init__(self) -> None:
        self._begun = b""
        self._is_first = True
        self._after_cr = False

    def take(self, chunk: bytes) -> Iterator[str]:
        """Take a piece of the body in and yield the lines that end in it."""
        if not chunk:
            return
        # The second half of an end that was taken for a whole one.
        fresh = chunk.removeprefix(b"\n") if self._after_cr else chunk
        self._after_cr = fresh.endswith(b"\r")
        *whole, self._begun = (self._begun + fresh).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield (line.removeprefix(_BOM) if self._is_first else line).decode()
            self._is_first = False
