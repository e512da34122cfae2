"""Files on their way in: a form that is read as it arrives, so that no file has to fit into memory.

Source: https://platform.openai.com/docs/api-reference/files/create
"""

import base64
from collections.abc import AsyncIterator, Mapping
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from tierstream.serve.batches.store import BatchStore, not_a_batch
from tierstream.serve.bodies import ClientGoneError
from tierstream.serve.surface import DoorError
from topics.batches import File, FileData

_PIECE: Final = 768 * 1024
"""Bytes of a file in one record: a mebibyte in base64."""
_LONGEST_FIELD: Final = 1024
_LONGEST_NAME: Final = 256
_AROUND_FILE: Final = 64 * 1024
"""Bytes of a form besides its file, at the most."""


class Form:
    """A form with one file, taken in piece by piece.

    Args:
        boundary: Between its parts.
    """

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None
        """Of the file, once it has begun."""
        self.data = bytearray()
        """Of the file, as far as nobody has taken it out."""
        self.is_whole = False
        self._header = [bytearray(), bytearray()]
        self._name = ""
        self._value = bytearray()
        self._is_file = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_part_end": self._end_part,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_end": self._end,
            },
        )

    def write(self, data: bytes) -> None:
        """Take some in.

        Raises:
            DoorError: 400, it is no form.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise _no_form() from None

    def _begin_part(self) -> None:
        self._name, self._value, self._is_file = "", bytearray(), False

    def _end_header(self) -> None:
        header, value = self._header
        if header.lower() == b"content-disposition":
            _, options = parse_options_header(bytes(value))
            self._name = options.get(b"name", b"").decode(errors="replace")
            if self._name == "file":
                if self.filename is not None:
                    raise not_a_batch("a form has one file", "file")
                self.filename = options.get(b"filename", b"").decode(errors="replace")[:_LONGEST_NAME] or "file"
                self._is_file = True
        self._header = [bytearray(), bytearray()]

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.data += data[start:end]
            return
        self._value += data[start:end]
        if len(self._value) > _LONGEST_FIELD:
            raise not_a_batch(f"a field has {_LONGEST_FIELD} bytes at most", self._name[:_LONGEST_NAME])

    def _end_part(self) -> None:
        if not self._is_file:
            self.fields[self._name] = self._value.decode(errors="replace")

    def _end(self) -> None:
        self.is_whole = True


async def receive_file(
    receive: Receive, headers: Mapping[str, str], store: BatchStore, *, file_id: str, owner: str
) -> File:
    """Take in a form with a file, and keep the file.

    Args:
        receive: Gives the body.
        headers: In lower case.
        store: Keeps it.
        file_id: Of the file.
        owner: Whose it is.

    Raises:
        DoorError: 400, it is no form, or its file is for something else than batches; 413, it is too large; 503, Kafka
            does not take it.
        ClientGoneError: The client went away before it was there.
    """
    form, most = Form(_boundary(headers)), store.settings.batches.file_max_bytes
    _check_length(headers, most)
    offsets: list[int] = []
    size = 0
    async for part in _parts(receive, most + _AROUND_FILE):
        form.write(part)
        while len(form.data) >= _PIECE:
            piece = bytes(form.data[:_PIECE])
            del form.data[:_PIECE]
            size += len(piece)
            _check_size(size, most)
            offsets.append(await _keep(store, file_id, len(offsets), piece))
    _check(form)
    size += len(form.data)
    _check_size(size, most)
    if form.data:
        offsets.append(await _keep(store, file_id, len(offsets), bytes(form.data)))
    file = File(
        file_id=file_id,
        owner=owner,
        filename=form.filename or "",
        size=size,
        offsets=tuple(offsets),
        created_at=store.clock(),
    )
    await store.note(file)
    return file


def _check(form: Form) -> None:
    if not form.is_whole:
        raise _no_form()
    if form.filename is None:
        raise not_a_batch("the form has no file", "file")
    if form.fields.get("purpose") != "batch":
        raise not_a_batch("files are kept for batches alone: the purpose must be batch", "purpose")


def _boundary(headers: Mapping[str, str]) -> bytes:
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise DoorError(415, "unsupported_media_type", "the body must be multipart/form-data with a file")
    return options[b"boundary"]


def _check_length(headers: Mapping[str, str], most: int) -> None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > most + _AROUND_FILE:
        raise _too_large(most)


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise _too_large(most)


async def _parts(receive: Receive, most: int) -> AsyncIterator[bytes]:
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise _too_large(most - _AROUND_FILE)
        yield part
        if not message.get("more_body"):
            return


async def _keep(store: BatchStore, file_id: str, seq: int, piece: bytes) -> int:
    return await store.keep(FileData(file_id=file_id, seq=seq, data=base64.b64encode(piece)))


def _too_large(most: int) -> DoorError:
    return DoorError(413, "file_too_large", f"the file is too large: at most {most} bytes are accepted", param="file")


def _no_form() -> DoorError:
    return not_a_batch("the body must be a whole form of multipart/form-data", "file")
