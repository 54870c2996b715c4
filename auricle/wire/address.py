"""Checking addresses of sockets: whether they are valid, free, and open to other machines."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import stat
from contextlib import closing
from pathlib import Path

from auricle.errors import WireError

FORM = re.compile(
    r"tcp://(?P<host>\[[\x21-\x5c\x5e-\x7e]+\]|[^:\[\]/\x00-\x20\ud800-\udfff]+):(?P<port>\*|[0-9]{1,5})"
    r"|ipc://[^\x00-\x1f\x7f\ud800-\udfff]+"
)

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


def check_free(address: str) -> None:
    """Refuse an `ipc://` address at which there is something already; call before binding.

    ZeroMQ removes whatever is at the path before it binds: a file of the user's, or the socket of
    another engine, which nobody could reach from then on. A socket that nobody listens at, such as
    that of an engine that was killed, is no obstacle.

    Raises:
        WireError: Somebody listens at the address, or what is there is not a socket.
    """
    name = address.removeprefix("ipc://")
    if name == address or name == "*" or name.startswith("@"):
        return  # not a path: the system refuses an address in use
    try:
        mode = Path(name).lstat().st_mode
        if not stat.S_ISSOCK(mode):
            raise WireError(f"{address}: there is a file, which is not replaced by a socket")
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
            client.setblocking(False)
            client.connect(name)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return
        if error.errno != errno.EAGAIN:  # EAGAIN: somebody listens, but has too much to do
            raise WireError(f"{address}: {os.strerror(error.errno or 0)}") from None
    raise WireError(f"{address}: Address already in use")
