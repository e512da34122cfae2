"""The section of the settings about the door: HTTP for clients of OpenAI's and Anthropic's APIs."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streams.config.section import Section
from streams.config.setting_types import Port, Variable, is_loopback
from topics.requests import ServiceClass

Seconds = Annotated[float, Field(gt=0)]


class ServeSettings(Section):
    """Where the door listens, who is let in, and how much one client may ask of it."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. Any that others can reach needs keys."""
    port: Port = 8091
    """0: any free one."""
    keys_file: Path | None = None
    """TOML with the hashes of the keys that are let in; `tierstream serve keys new` writes it."""
    keys_env: Variable = "SERVE_KEYS"
    """Variable that holds further keys, `name=key` with commas between."""
    tls_cert: Path | None = None
    """PEM of the certificate with its chain; with `tls_key` the door speaks HTTPS."""
    tls_key: Path | None = None
    models: dict[str, str] = Field(default_factory=dict)
    """What else `model` may say in a body, and what it stands for. `*` is every name that nothing else has; where it
    is empty they are refused."""
    service_class: ServiceClass = ServiceClass.STANDARD
    """Of requests that do not say: it decides their deadline."""
    timeout_s: Seconds | None = None
    """Deadline of requests that do not say, in seconds; None: that of their service class."""
    streaming: Literal["live", "checked"] = "live"
    """Whether a stream shows text as a model writes it, or begins once the answer has passed its checks."""
    on_disconnect: Literal["keep", "cancel"] = "keep"
    """What becomes of a request whose client has gone: `keep` has the answer ready for the same idempotency key."""
    max_waiting: Annotated[int, Field(ge=1)] = 2_000
    """Requests that wait for their answer at a time, in one process; more are told to come back."""
    max_connections: Annotated[int, Field(ge=1)] = 4_000
    body_max_bytes: Annotated[int, Field(ge=1024)] | None = None
    """None: `kafka.request_max_bytes`."""
    json_depth: Annotated[int, Field(ge=8, le=200)] = 100
    """How deep a body may be nested."""
    header_max_bytes: Annotated[int, Field(ge=1024)] = 32 * 1024
    header_timeout_s: Seconds = 10.0
    """For the head of a request to arrive, in seconds."""
    body_timeout_s: Seconds = 60.0
    """For the body behind it."""
    write_timeout_s: Seconds = 30.0
    """For a client to take what is sent to it."""
    heartbeat_s: Seconds = 15.0
    """A stream without news says so often that it lives, in seconds."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 20.0
    """How long the door waits for answers that are under way when it is told to stop, in seconds."""

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine reach it."""
        return is_loopback(self.host)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together")
        return self
