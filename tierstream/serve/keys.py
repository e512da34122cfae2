"""Who is let in: keys of which only hashes are kept, and what each of them says of its caller.

A key has 256 random bits, so one round of SHA-256 is enough: there is nothing to guess from, as there is of a password.
"""

import asyncio
import hashlib
import json
import logging
import os
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from streams.config.setting_types import is_loopback
from streams.config.settings import SettingsError
from streams.config.settings_serve import ServeSettings
from tierstream.serve.rate_limits import Allowance, TokenBucket
from tierstream.serve.surface import Caller, DoorError
from topics.base import Label, Tier

log = logging.getLogger(__name__)

_PREFIX: Final = "ts-"
_LOOK_S: Final = 5.0
_SHORTEST: Final = 24
"""Characters of a key that somebody has made up."""


class KeyEntry(BaseModel):
    """A key as the file has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,50}$")]
    """It begins the ids of all requests of the key, and so keeps them apart from those of other keys."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    user: Label | None = None
    feature: Label | None = None
    tags: tuple[Label, ...] = ()
    rpm: Annotated[int, Field(ge=1)] | None = None
    """Requests a minute, in each process of the door; None: as many as come."""
    min_tier: Tier | None = None
    max_tier: Tier | None = None

    def caller(self) -> Caller:
        """Return who asks with it."""
        return Caller(self.name, self.user, self.feature, self.tags, self.min_tier, self.max_tier)


_ENTRIES: Final = TypeAdapter(tuple[KeyEntry, ...])


@dataclass(frozen=True, slots=True)
class Admission:
    """Who is let in, and what is left of their limit, where they have one."""

    caller: Caller
    allowance: Allowance | None = None


class KeyRing:
    """Decides who is let in. Where no keys are wanted that is everybody, under the names of this machine alone.

    A page of another site can have its own name lead to 127.0.0.1, and its scripts ask as if they were ours: the header
    Host gives that away.

    Args:
        entries: The keys; None: none are wanted.
    """

    def __init__(self, entries: Iterable[KeyEntry] | None = None) -> None:
        self.is_open = entries is None
        """Whether no key is asked for."""
        self._entries: dict[str, KeyEntry] = {}
        self._buckets: dict[str, TokenBucket] = {}
        self.replace(entries or ())

    def replace(self, entries: Iterable[KeyEntry]) -> None:
        """Let in whoever has one of these keys, and nobody else; what is left of limits stays."""
        self._entries = {entry.sha256: entry for entry in entries}
        before, self._buckets = self._buckets, {}
        for entry in self._entries.values():
            if entry.rpm is not None:
                bucket = before.get(entry.name)
                same = bucket is not None and bucket.limit == entry.rpm
                self._buckets[entry.name] = bucket if bucket is not None and same else TokenBucket(entry.rpm)

    def identify(self, headers: Mapping[str, str]) -> Caller:
        """Say who asks.

        Args:
            headers: In lower case.

        Raises:
            DoorError: 401, the key is missing or unknown; 421, the name is not one of this machine.
        """
        if self.is_open:
            if not is_loopback(_host_name(headers.get("host", ""))):
                message = "without keys the door answers to the names of this machine alone; see docs/door.md"
                raise DoorError(421, "misdirected_request", message)
            return Caller()
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = [headers.get("x-api-key", ""), bearer.strip() if kind.lower() == "bearer" else ""]
        for key in filter(None, given):
            # Looked up by its hash: how long that takes says nothing of any key.
            if (entry := self._entries.get(hash_of(key))) is not None:
                return entry.caller()
        missing = "send a key: Authorization: Bearer ..., or x-api-key"
        raise DoorError(401, "invalid_api_key", "the key is not known" if any(given) else missing, may_retry=False)

    def admit(self, headers: Mapping[str, str]) -> Admission:
        """Say who asks, and count their request.

        Raises:
            DoorError: As of `identify`; 429, the key has sent as many requests as it may.
        """
        caller = self.identify(headers)
        bucket = self._buckets.get(caller.name)
        return Admission(caller, None if bucket is None else bucket.take())


def hash_of(key: str) -> str:
    """Return what is kept of a key: its SHA-256 as hexadecimal digits."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def new_key() -> str:
    """Make up a key."""
    return _PREFIX + secrets.token_urlsafe(32)


def load_keys(serve: ServeSettings, environment: Mapping[str, str] = os.environ) -> list[KeyEntry] | None:
    """Read the keys of the file and of the environment; None where neither is named.

    Raises:
        SettingsError: They can't be read, two have the same name, or there are none though others reach the door.
    """
    given = environment.get(serve.keys_env, "")
    if serve.keys_file is None and not given:
        if not serve.is_local:
            raise SettingsError(
                f"serve.host {serve.host} can be reached from elsewhere: make keys with `tierstream serve keys new` "
                f"and name their file in serve.keys_file, or set {serve.keys_env}, or have it listen on 127.0.0.1"
            )
        return None
    entries = [] if serve.keys_file is None else read_keys(serve.keys_file)
    entries += _keys_of_environment(given, serve.keys_env)
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"keys of the door: there are two of the name {', '.join(twice)}")
    return entries


async def follow_keys(ring: KeyRing, serve: ServeSettings, every_s: float = _LOOK_S) -> None:
    """Take over what changes in the file of keys, without end; one that can't be read changes nothing.

    Args:
        ring: That lets callers in.
        serve: Names the file.
        every_s: How often it is looked at, in seconds.
    """
    path = serve.keys_file
    before = None if path is None else _changed_at(path)
    while True:
        await asyncio.sleep(every_s)
        if path is None or (changed := _changed_at(path)) == before:
            continue
        before = changed
        try:
            ring.replace(load_keys(serve) or ())
            log.info("%s was read anew", path)
        except SettingsError as error:
            log.error("the keys stay as they were: %s", error)  # noqa: TRY400 - it says all


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def read_keys(path: Path) -> list[KeyEntry]:
    """Read the keys of a file, `[[keys]]` for each.

    Raises:
        SettingsError: It can't be read, or is not of this form.
    """
    try:
        return list(_ENTRIES.validate_python(tomllib.loads(path.read_text(encoding="utf-8")).get("keys", [])))
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
    except ValidationError as error:
        # Without the values: somebody may have written a key where its hash belongs.
        places = (".".join(map(str, problem["loc"])) for problem in error.errors(include_input=False))
        raise SettingsError(f"{path}: keys.{next(places)} is not as docs/door.md says") from None


def append_key(path: Path, entry: KeyEntry) -> None:
    """Add a key to a file, which nobody else may read where it is new.

    Raises:
        SettingsError: The file can't be read, or has the name.
        OSError: It can't be written.
    """
    if path.exists() and entry.name in {known.name for known in read_keys(path)}:
        raise SettingsError(f"{path}: there is a key of the name {entry.name}")
    fields = entry.model_dump(mode="json", exclude_defaults=True)
    lines = ["[[keys]]", *(f"{name} = {_toml(value)}" for name, value in fields.items()), ""]
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n".join(lines))


def _toml(value: Any) -> str:  # noqa: ANN401 - of JSON's types, whose texts, numbers and lists TOML reads as well
    return json.dumps(value)


def _keys_of_environment(value: str, variable: str) -> list[KeyEntry]:
    entries = []
    for item in filter(None, map(str.strip, value.split(","))):
        name, _, key = item.partition("=")
        if len(key) < _SHORTEST:
            raise SettingsError(f"{variable}: must be name=key with commas between; keys have {_SHORTEST} characters")
        try:
            entries.append(KeyEntry(name=name, sha256=hash_of(key)))
        except ValidationError:
            raise SettingsError(f"{variable}: a name has letters, digits, dots, - and _ only") from None
    return entries


def _host_name(host: str) -> str:
    """The host of a header Host, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host
