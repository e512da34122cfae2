"""What a ClickHouse HTTP request means: its statement, its data, its settings, its errors.

Pure functions and records; the source is https://clickhouse.com/docs/interfaces/http.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

DEFAULT_FORMAT: Final = "TabSeparated"
UNKNOWN_EXCEPTION: Final = 1002

_SESSION_SECONDS: Final = 60
_LONGEST_SESSION_SECONDS: Final = 3600

# What the HTTP server reads itself, and settings that steer only its transport; the engine never sees them.
_TRANSPORT_PARAMETERS: Final = frozenset(
    {
        "add_http_cors_header",
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "close_session",
        "compress",
        "database",
        "decompress",
        "default_format",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "network_compression_method",
        "network_zstd_compression_level",
        "password",
        "query",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "stacktrace",
        "user",
        "wait_end_of_query",
    }
)

# The table of the server: src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; every other code is a 500.
_BAD_REQUEST: Final = (
    *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 72),
    *(117, 123, 167, 168, 223, 321, 376, 427, 441, 675, 676),
)
_NOT_FOUND: Final = (46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 152, 336, 511)
_FORBIDDEN: Final = (192, 193, 497, 512, 516)
_UNAVAILABLE: Final = (76, 209, 439)
_HTTP_STATUS: Final[dict[int, int]] = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    **dict.fromkeys(_FORBIDDEN, 403),
    **dict.fromkeys(_NOT_FOUND, 404),
    **dict.fromkeys(_UNAVAILABLE, 503),
    48: 501,
    159: 408,
    194: 401,
    229: 413,
    779: 415,
}

_CODE: Final = re.compile(r"Code: (\d+)\. ")
_SETTING_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TRAILING_FORMAT: Final = re.compile(rb"\bFORMAT\s+(\w+)\s*(?P<settings>\bSETTINGS\b[^();]*)?;?\s*$", re.IGNORECASE)
_TOKEN: Final = re.compile(
    rb"'(?:[^'\\]|\\.)*'"
    rb"|`(?:[^`\\]|\\.)*`"
    rb'|"(?:[^"\\]|\\.)*"'
    rb"|--[^\n]*|\#[ !][^\n]*|/\*.*?\*/"
    rb"|(?P<word>[A-Za-z_]\w*)|(?P<open>\()|(?P<close>\))",
    re.DOTALL,
)
_DATA_FORMAT: Final = re.compile(rb"\s+(\w+)[ \t\f]*;?[ \t\f]*\r?\n?")


class ClickHouseError(Exception):
    """The engine refused a statement.

    Attributes:
        code: ClickHouse's error code, 1002 when it gave none.
        message: `Code: N. DB::Exception: ...`, as the server writes it into the response body.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def of(cls, code: int, name: str, text: str) -> ClickHouseError:
        """Write an error that the server itself finds as the engine writes its own."""
        return cls(code, f"Code: {code}. DB::Exception: {text}. ({name})")

    @classmethod
    def parse(cls, text: str) -> ClickHouseError:
        """Find the code in the engine's own text, dropping what a wrapper put before it."""
        match = _CODE.search(text)
        if match is None:
            return cls(UNKNOWN_EXCEPTION, f"Code: {UNKNOWN_EXCEPTION}. DB::Exception: {text}")
        return cls(int(match[1]), text[match.start() :])

    @property
    def http_status(self) -> int:
        """The status that the server sends with this code."""
        return _HTTP_STATUS.get(self.code, 500)


@dataclass(frozen=True, slots=True)
class InsertData:
    """An INSERT statement taken apart: the statement without its FORMAT clause, and the data behind it."""

    statement: bytes
    format: str
    data: memoryview


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A temporary table that travels with one query.

    Attributes:
        structure: column names and types as in CREATE TABLE.
    """

    name: str
    structure: str
    format: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Session:
    """What of a request says which session it belongs to.

    Attributes:
        timeout_s: how long the session lives on when it is not used, in seconds.
        must_exist: whether the request is refused if there is no such session yet.
        closes: whether the session ends with the request.
    """

    session_id: str
    timeout_s: int
    must_exist: bool
    closes: bool


@dataclass(frozen=True, slots=True)
class Query:
    """One request: the text (statement, and for an INSERT its data) and everything that surrounds it.

    Attributes:
        protocol_version: the revision of ClickHouse's protocol that the client reads Native in, 0 for none.
    """

    text: bytes
    database: str = ""
    default_format: str = DEFAULT_FORMAT
    settings: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    external_tables: tuple[ExternalTable, ...] = ()
    session: Session | None = None
    protocol_version: int = 0

    @property
    def output_format(self) -> str:
        """The format that the statement asks for at its end, else the default; an INSERT has no result."""
        if first_word(self.text) == "INSERT":
            return self.default_format
        match = _TRAILING_FORMAT.search(_without_comments(self.text))
        return match[1].decode() if match else self.default_format


def bare_statement(text: bytes) -> bytes:
    """Return a statement without comments, semicolon and FORMAT clause: what can stand in parentheses."""
    return _TRAILING_FORMAT.sub(lambda clause: clause["settings"] or b"", _without_comments(text)).rstrip(b"; \t\r\n")


def _without_comments(text: bytes) -> bytes:
    return _TOKEN.sub(lambda token: b" " if token[0][:1] in b"-#/" else token[0], text)


def first_word(text: bytes) -> str:
    """Return the first word of a statement in upper case, which says what kind of statement it is."""
    return next((token["word"].decode().upper() for token in _TOKEN.finditer(text) if token["word"]), "")


def split_insert(text: bytes) -> InsertData | None:
    """Split `INSERT ... FORMAT Name <data>`; None for any other statement.

    VALUES, SELECT and FROM INFILE are left to the engine, which reads them from the statement itself.

    Raises:
        ClickHouseError: The data is to go through a SELECT from `input`.
    """
    depth = 0
    first = True
    for token in _TOKEN.finditer(text):
        if token["open"] or token["close"]:
            depth += 1 if token["open"] else -1
        if depth or not token["word"]:
            continue
        word = token["word"].upper()
        if first and word != b"INSERT":
            return None
        first = False
        if word in {b"SELECT", b"WITH"}:
            _refuse_input(text, token.start())
            return None
        if word in {b"VALUES", b"INFILE"}:
            return None
        if word == b"FORMAT" and (name := _DATA_FORMAT.match(text, token.end())):
            return InsertData(text[: token.start()], name[1].decode(), memoryview(text)[name.end() :])
    return None


def _refuse_input(text: bytes, start: int) -> None:
    """Refuse what the engine takes for an empty table: it would insert nothing and say that all is well."""
    before = b""
    for token in _TOKEN.finditer(text, start):
        if token["open"] and before.upper() == b"INPUT":
            raise ClickHouseError.of(
                48,
                "NOT_IMPLEMENTED",
                "The embedded ClickHouse does not read the data of an INSERT through the function input: send it as an "
                "external table and select from that",
            )
        before = token["word"] or b""


def engine_settings(arguments: Mapping[str, str], external_names: Iterable[str] = ()) -> dict[str, str]:
    """Keep the URL arguments that are settings of the engine.

    Raises:
        ClickHouseError: a name can't be one of a setting.
    """
    described = {f"{name}_{suffix}" for name in external_names for suffix in ("format", "structure", "types")}
    settings: dict[str, str] = {}
    for name, value in arguments.items():
        if name in _TRANSPORT_PARAMETERS or name in described or name.startswith("param_"):
            continue
        if not _SETTING_NAME.fullmatch(name):
            raise ClickHouseError.of(115, "UNKNOWN_SETTING", f"Unknown setting {name!r}")
        settings[name] = value
    return settings


def query_parameters(arguments: Mapping[str, str]) -> dict[str, str]:
    """Values for `{name:Type}` in the statement, by name, still escaped as ClickHouse's TSV."""
    prefix = "param_"
    return {name.removeprefix(prefix): value for name, value in arguments.items() if name.startswith(prefix)}


def external_structure(arguments: Mapping[str, str], name: str) -> str:
    """Columns of an external table, from `<name>_structure` or, numbered, from `<name>_types`.

    Raises:
        ClickHouseError: the request has neither.
    """
    if structure := arguments.get(f"{name}_structure"):
        return structure
    if types := arguments.get(f"{name}_types"):
        return ", ".join(f"_{index} {kind}" for index, kind in enumerate(types.split(","), start=1))
    raise ClickHouseError.of(36, "BAD_ARGUMENTS", f"External table {name} has no structure")


def session_of(arguments: Mapping[str, str]) -> Session | None:
    """The session that a request names; None for a request that stands for itself.

    Raises:
        ClickHouseError: the timeout is no number or more than an hour (374).
    """
    session_id = arguments.get("session_id")
    if not session_id:
        return None
    timeout = arguments.get("session_timeout", str(_SESSION_SECONDS))
    if not timeout.isdecimal():
        raise ClickHouseError.of(374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{timeout}'")
    if int(timeout) > _LONGEST_SESSION_SECONDS:
        raise ClickHouseError.of(
            374,
            "INVALID_SESSION_TIMEOUT",
            f"Session timeout '{timeout}' is larger than max_session_timeout: {_LONGEST_SESSION_SECONDS}",
        )
    return Session(
        session_id=session_id,
        timeout_s=int(timeout),
        must_exist=arguments.get("session_check") == "1",
        closes=arguments.get("close_session") == "1",
    )


def protocol_version(arguments: Mapping[str, str]) -> int:
    """The revision in `client_protocol_version`, 0 where there is none.

    Raises:
        ClickHouseError: it is no number.
    """
    version = arguments.get("client_protocol_version", "0")
    if not version.isdecimal():
        raise ClickHouseError.of(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", f"client_protocol_version: '{version}'")
    return int(version)


def quote_string(value: str) -> str:
    """Write a string literal of SQL."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_identifier(name: str) -> str:
    """Write an identifier of SQL."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"
