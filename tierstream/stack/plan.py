"""Which parts of a stack are embedded, decided from the settings and the environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from streams.config.settings import Settings


@dataclass(frozen=True)
class Plan:
    """What has to be started besides the sink."""

    kafka: bool
    clickhouse: bool
    simulated: tuple[str, ...]
    """Names of the providers whose key is missing; the simulator stands in for them."""
    workers: int

    @property
    def simulator(self) -> bool:
        """Whether the provider simulator is needed."""
        return bool(self.simulated)


def make_plan(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """Decide what to embed: whatever has no address, and a simulator for providers without a key."""
    used = dict.fromkeys(model.provider for _, model in settings.models())
    return Plan(
        kafka=settings.kafka.bootstrap_servers is None,
        clickhouse=settings.clickhouse.url is None,
        simulated=tuple(name for name in used if not environment.get(settings.providers[name].api_key_env)),
        workers=settings.stack.workers,
    )
