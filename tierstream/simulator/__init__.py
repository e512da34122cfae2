"""A loopback HTTP server that speaks the wire protocols of the providers, for runs and tests without keys."""

from tierstream.simulator.answers import Script, ScriptEntry, ScriptError
from tierstream.simulator.behaviour import ConfigError, ModelBehaviour, SimulatorConfig, load_config
from tierstream.simulator.server import RunningSimulator, running_simulator, serve

__all__ = [
    "ConfigError",
    "ModelBehaviour",
    "RunningSimulator",
    "Script",
    "ScriptEntry",
    "ScriptError",
    "SimulatorConfig",
    "load_config",
    "running_simulator",
    "serve",
]
