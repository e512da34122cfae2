"""Types of single settings: what a value has to look like, each with one sentence that says so."""

import re
from decimal import Decimal
from enum import StrEnum
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from streams.config.protocols import PROTOCOLS

_SERVER: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_PORT: Final = 65_535


class Signal(StrEnum):
    """What the last message of a conversation says of the answer before it."""

    REPHRASED = "rephrased"
    """The user asks the same again, for the answer did not serve."""
    FRUSTRATED = "frustrated"
    """The user has lost patience with who answers."""


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach what listens at an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Capability(StrEnum):
    """What a model takes besides text, and a request may need."""

    TOOLS = "tools"
    """Functions to call, and earlier calls with their results."""
    IMAGES = "images"
    FILES = "files"
    """With their data."""
    FILE_URLS = "file_urls"
    """Files that the provider fetches."""
    LOGPROBS = "logprobs"


def _tier_name(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:  # noqa: ANN401 - not validated yet
    # A union would report each of its members.
    try:
        return handler(value)
    except ValidationError:
        raise ValueError('must be the number of a tier, from 1, or "top"') from None


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole or any(character.isspace() for character in value):
        # It may hold a password, so it is not repeated.
        raise ValueError("must be a URL such as http://host:8123")
    return value


def _servers(value: str) -> str:
    for server in value.split(","):
        found = _SERVER.fullmatch(server.strip())
        if found is None or not 0 < int(found[2]) <= _MAX_PORT:
            raise ValueError("must be host:port, or several of them with commas between")
    return value


def _variable(value: str) -> str:
    if not _VARIABLE.fullmatch(value):
        # Perhaps it is the key itself, so it is not repeated.
        raise ValueError("must be the name of an environment variable: letters, digits and underscores")
    return value


def _protocol(value: str) -> str:
    if value not in PROTOCOLS:
        *others, last = map(repr, PROTOCOLS)
        raise ValueError(f"must be {', '.join(others)} or {last}")
    return value


def _band(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the lower end comes first")
    return value


Share = Annotated[float, Field(ge=0, le=1)]
Band = Annotated[tuple[Share, Share], AfterValidator(_band)]
"""Two probabilities, the lower one first."""
Port = Annotated[int, Field(ge=0, le=_MAX_PORT)]
Price = Annotated[Decimal, Field(ge=0, decimal_places=6)]
TierName = Annotated[Annotated[int, Field(ge=1)] | Literal["top"], WrapValidator(_tier_name)]
ProtocolName = Annotated[str, AfterValidator(_protocol)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Servers = Annotated[str, AfterValidator(_servers)]
"""Kafka brokers: `host:port`, with commas between."""
Variable = Annotated[str, AfterValidator(_variable)]
"""The name of an environment variable."""
