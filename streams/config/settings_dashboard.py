"""The section of the settings about the dashboard."""

from typing import Annotated

from pydantic import Field

from streams.config.section import Section
from streams.config.setting_types import Port, Variable, is_loopback


class DashboardSettings(Section):
    """Where the dashboard listens, and who is let in."""

    host: Annotated[str, Field(min_length=1)] = "127.0.0.1"
    """Address to listen on. Any that others can reach needs a token."""
    port: Port = 8090
    """0: any free one."""
    token_env: Variable = "DASHBOARD_TOKEN"  # noqa: S105 - a name
    """Variable that holds the token; who does not know it sees nothing. Without one only this machine is let in."""

    @property
    def is_local(self) -> bool:
        """Whether only programs on this machine reach it."""
        return is_loopback(self.host)
