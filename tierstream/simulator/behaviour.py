"""What the simulated providers serve and how well they behave: the TOML file as frozen models."""

import tomllib
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tierstream.simulator.chat import Input, ThinkingType
from tierstream.simulator.wire_protocols import WIRE_PROTOCOLS


def _known_protocol(name: str) -> str:
    if name not in WIRE_PROTOCOLS:
        raise ValueError(f"must be one of {', '.join(WIRE_PROTOCOLS)}")
    return name


Rate = Annotated[float, Field(ge=0, le=1)]
ProviderName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
WireName = Annotated[str, AfterValidator(_known_protocol)]
Flaw = Literal["prose", "broken", "missing", "extra", "twice", "range", "sum", "fenced"]
"""What is wrong with a classification: no JSON, half of it, one entry too few or too many or double, values that are
no percentages, percentages that do not add up, and a code fence around it (which some models always put there)."""


class ConfigError(ValueError):
    """The simulator's configuration can't be read; the message is one line that names the key."""


class Fault(StrEnum):
    """What may go wrong with a call, by the name of its rate."""

    UNAUTHORIZED = "401"
    TOO_MANY = "429"
    SERVER_ERROR = "500"
    UNAVAILABLE = "503"
    HANG = "hang"
    CUT = "cut"
    MALFORMED = "malformed"
    EMPTY = "empty"
    STREAM_ERROR = "stream_error"
    BAD_ARGUMENTS = "bad_arguments"
    OFF_SCHEMA = "off_schema"
    UNKNOWN_TOOL = "unknown_tool"
    REPEATED_CALL = "repeated_call"


class ModelBehaviour(BaseModel):
    """How one model of one provider behaves. Rates are shares of its calls, 0 to 1.

    Each call has at most one fault, so the rates may not add up to more than 1. A call takes
    `ttft_ms` (the median of a log-normal with sigma `jitter`) and then its output tokens at
    `tokens_per_second`. The limits per minute are token buckets that refill evenly. An error in the
    stream (`rate_stream_error`) is for streamed calls alone; another call that draws it is a good one. So are replies
    without tool calls that draw a fault in these: arguments that are half of their JSON (`rate_bad_arguments`) or break
    the tool's schema (`rate_off_schema`), a tool that is not on offer (`rate_unknown_tool`), and the call before once
    more (`rate_repeated_call`; the first call of a question has none before it).

    `takes` is what a model takes besides text, and `thinking` how it may be configured to think; it refuses a request
    with anything else. One that `checks_thinking` refuses its own where something before it was changed, others pass
    over it.

    A judge of one answer, or of two, errs in `judge_error_rate` of its verdicts. Of two answers it takes the first one,
    whichever that is, in `judge_position_bias` of the pairs.

    A call that asks for the tiers of requests starts after `classify_ttft_ms` (None: as any other), and
    `classify_accuracy` of its entries name the right tier. A `classify_gullible` model obeys what a
    request tells it, about that request and about others. `classify_flaw` spoils each such answer.

    A batch ends `batch_s` seconds after it was made, its calls one after the other before that. `batch_lines_expire` is
    the share of its calls that are never reached. The other rates are shares of the batches: `batches_full` are not
    taken (status 429), `submit_cut` are made, but the connection breaks before the response, and `batch_refused` fail
    in the validation. What breaks connections breaks no call of a batch; `rate_malformed` halves its line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tier: int = Field(ge=1)
    ttft_ms: float = Field(default=200, ge=0)
    tokens_per_second: float = Field(default=200, gt=0)
    jitter: float = Field(default=0, ge=0, le=3)
    context_window: int = Field(default=128_000, ge=1)
    takes: frozenset[Input] = frozenset(get_args(Input))
    thinking: frozenset[ThinkingType] = frozenset(get_args(ThinkingType))
    checks_thinking: bool = False
    reasoning_share: float = Field(default=0, ge=0, lt=1)
    judge_error_rate: Rate = 0.03
    judge_position_bias: Rate = 0
    classify_accuracy: Rate = 0.85
    classify_ttft_ms: float | None = Field(default=None, ge=0)
    classify_gullible: bool = False
    classify_flaw: Flaw | None = None
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    retry_after_s: float = Field(default=1, ge=0)
    rate_401: Rate = 0
    rate_429: Rate = 0
    rate_500: Rate = 0
    rate_503: Rate = 0
    rate_hang: Rate = 0
    rate_cut: Rate = 0
    rate_malformed: Rate = 0
    rate_empty: Rate = 0
    rate_stream_error: Rate = 0
    rate_bad_arguments: Rate = 0
    rate_off_schema: Rate = 0
    rate_unknown_tool: Rate = 0
    rate_repeated_call: Rate = 0
    batch_s: float = Field(default=2, ge=0)
    batch_lines_expire: Rate = 0
    batch_refused: Rate = 0
    submit_cut: Rate = 0
    batches_full: Rate = 0
    down: bool = False

    @model_validator(mode="after")
    def _rates_are_shares_of_one_whole(self) -> "ModelBehaviour":
        total = sum(rate for _, rate in self.fault_rates())
        # Ten tenths add up to slightly more than one in floating point.
        if total > 1 + 1e-9:
            raise ValueError(f"the fault rates add up to {total:g}; lower them to 1 or less")
        return self

    def fault_rates(self) -> tuple[tuple[Fault, float], ...]:
        """The rate of each fault."""
        return tuple((fault, float(getattr(self, f"rate_{fault.value}"))) for fault in Fault)

    def fault_at(self, draw: float) -> Fault | None:
        """The fault of a call whose draw is uniform in 0 to 1, or None for a good call."""
        for fault, rate in self.fault_rates():
            if draw < rate:
                return fault
            draw -= rate
        return None


class ProviderConfig(BaseModel):
    """A provider: the protocol that it speaks and the models that it serves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: WireName
    models: dict[str, ModelBehaviour] = Field(min_length=1)


class SimulatorConfig(BaseModel):
    """The whole configuration. `time_scale` multiplies every latency; 0 answers at once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    time_scale: float = Field(default=1, ge=0)
    calls_in_memory: int = Field(default=10_000, ge=1)
    providers: dict[ProviderName, ProviderConfig] = Field(min_length=1)


_UNKNOWN_KEY: Final = "extra_forbidden"


def describe_errors(error: ValidationError) -> str:
    """One line for all that pydantic found, each with the dotted path of its key."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: "
        + ("unknown key" if item["type"] == _UNKNOWN_KEY else item["msg"])
        for item in error.errors(include_url=False, include_input=False)
    )


def load_config(path: Path | None = None) -> SimulatorConfig:
    """Read a configuration file, or the one that ships with the package.

    Raises:
        ConfigError: The file is missing, is not TOML, or has an unknown or invalid key.
    """
    source = path or resources.files("tierstream.simulator") / "default.toml"
    try:
        raw = tomllib.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: can't be read ({error.strerror}); name an existing TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not valid TOML: {error}") from error
    try:
        return SimulatorConfig.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{source}: {describe_errors(error)}") from error
