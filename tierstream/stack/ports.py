"""TCP ports of the stack, all on the loopback interface."""

import errno
import random
import socket
import sys

from tierstream.stack.errors import StackError

HOST = "127.0.0.1"

# Below the ephemeral ports of Linux (32768) and macOS (49152). A client that retries a stopped server's port
# can be given that very port as its own end and connect to itself, and the server then can't come back to it.
_FREE_PORTS = range(20_000, 32_000)
_TRIES = 200
_handed_out: set[int] = set()
"""Ports that this process has given to a server: nobody listens there until it has started."""


def free_port() -> int:
    """Return a port that nobody listens on, and another one each time."""
    for port in random.sample(_FREE_PORTS, _TRIES):
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise StackError(f"no free port between {_FREE_PORTS.start} and {_FREE_PORTS.stop}")


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        # As servers do: connections in TIME_WAIT don't hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _has_listener(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) != errno.ECONNREFUSED


def hold_port(port: int) -> socket.socket:
    """Keep a port for the server of it, also while that is away, until the returned socket is closed.

    A port among the ephemeral ones may be configured. On Linux a socket that is bound and does not listen keeps the
    system from giving it to a client, and servers can bind to it all the same; elsewhere nothing is held.
    """
    held = socket.socket()
    if sys.platform == "linux":
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((HOST, port))
    return held


def claim_port(port: int, *, service: str, setting: str, section: str = "stack") -> int:
    """Return the configured port if it is free, or any free one for 0.

    Args:
        port: As configured; 0: any.
        service: Who will listen there, for the error.
        setting: Its key in the section, for the error.
        section: The section of the settings that has it, for the error.

    Raises:
        StackError: The port is in use.
    """
    if port == 0:
        return free_port()
    if not is_free(port):
        key = f"[{section}] {setting} / TIERSTREAM_{section.upper()}__{setting.upper()}"
        if _has_listener(port):
            raise StackError(f"port {port} ({service}) is in use: stop what listens there or set {key}")
        raise StackError(
            f"port {port} ({service}) is in use, though nothing listens there: a client's connection has it as its own "
            f"end, or had it within the last minute: try again then, or set {key}"
        )
    _handed_out.add(port)
    return port


def reachable(host: str) -> str:
    """Return where a server that listens there is reached from this machine, as a URL has it."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - asked, not bound
        return HOST
    return f"[{host}]" if ":" in host else host
