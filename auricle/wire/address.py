"""Checking addresses of sockets: whether they are valid, and reachable from other machines."""

from __future__ import annotations

import ipaddress
import re

from auricle.errors import WireError

FORM = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\[\]/]+):(?P<port>\*|\d{1,5})|ipc://.+")

HIGHEST_PORT = 65535


def check_address(address: str) -> None:
    """Refuse an invalid address, such as one with port 70000, which ZeroMQ would take for 4464.

    Raises:
        WireError: The address is neither `tcp://HOST:PORT` nor `ipc://PATH`.
    """
    match = FORM.fullmatch(address)
    if match is None:
        raise WireError(
            f"{address!r} is not an address; addresses are like tcp://127.0.0.1:5680 or "
            "ipc:///tmp/auricle"
        )
    port = match["port"]
    if port not in (None, "*") and not 1 <= int(port) <= HIGHEST_PORT:
        raise WireError(f"{address}: port {port} is invalid; ports are 1 to {HIGHEST_PORT}")


def is_local(address: str) -> bool:
    """Whether `address` (already validated) is reachable from this machine only."""
    match = FORM.fullmatch(address)
    if match is None or match["host"] is None:
        return address.startswith(("ipc://", "inproc://"))
    host = match["host"].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
