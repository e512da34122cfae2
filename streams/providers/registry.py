"""From settings to providers; `streams.config.protocols` says which class speaks what."""

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Final

from streams.config.model_catalogue import ModelTable
from streams.config.protocols import PROTOCOLS
from streams.config.settings import Settings, SettingsError
from streams.config.settings_sections import ProviderSettings
from streams.providers.base import Provider
from streams.providers.sdk_provider import SdkProvider
from streams.providers.vendor_sdk import Connection

_SIMULATED_KEY: Final = "simulated"


def build_providers(
    settings: Settings, *, environ: Mapping[str, str], simulator_url: str | None, simulated: Collection[str]
) -> dict[str, Provider]:
    """Build the providers that some model uses, by name. No connection is opened before the first call.

    Args:
        settings: Names the providers and the variables that hold their keys.
        environ: Environment variables.
        simulator_url: Root of the provider simulator, where there is one.
        simulated: Names of the providers that the simulator stands for.

    Raises:
        SettingsError: A key or the simulator is missing.
    """
    used = {model.provider for _, model in settings.models()}
    table = ModelTable(settings.providers)

    def connect(name: str, provider: ProviderSettings) -> Provider:
        speaker = speaker_of(provider.protocol)
        if name not in simulated:
            return speaker(_real(name, provider, environ), table.known)
        if simulator_url is None:
            raise SettingsError(f"provider {name!r} is simulated but no simulator runs; set {provider.api_key_env}")
        url = f"{simulator_url.rstrip('/')}/{name}{speaker.simulated_path}"
        return speaker(Connection(name, _SIMULATED_KEY, url, use_proxy=False), table.known)

    return {name: connect(name, provider) for name, provider in settings.providers.items() if name in used}


def speaker_of(protocol: str) -> type[SdkProvider]:
    """Import the class that speaks a protocol."""
    module, _, name = PROTOCOLS[protocol].spoken_by.partition(".")
    found: type[SdkProvider] = getattr(import_module(f"streams.providers.{module}"), name)
    return found


def _real(name: str, provider: ProviderSettings, environ: Mapping[str, str]) -> Connection:
    key = environ.get(provider.api_key_env, "").strip()
    if not key:
        raise SettingsError(f"provider {name!r} has no key; set the environment variable {provider.api_key_env}")
    return Connection(name, key, provider.base_url, use_proxy=True)
