"""File descriptors: as many as the system allows, and some kept for whoever asks what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

from auricle.errors import AuricleError

RESERVED = 128
"""Most descriptors that no stream may take. Sockets of the wire need them: without any, ZeroMQ
accepts no connection, and the engine could neither be asked nor stopped."""

RESERVED_SHARE = 8
"""Part of a small limit that is reserved, as a divisor."""

OPEN = next((path for path in map(Path, ("/proc/self/fd", "/dev/fd")) if path.is_dir()), None)
"""Folder with an entry for each open descriptor; None on a system without one."""


def raise_limit() -> None:
    """Let this process open as many files as it may: the soft limit becomes the hard one."""
    try:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ImportError, OSError, ValueError):  # not every system has or allows it
        return


def check_descriptors() -> None:
    """Refuse to open another stream when few descriptors are left.

    Raises:
        AuricleError: Only the reserved ones are left.
    """
    try:
        import resource
    except ImportError:  # a system without such limits
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if OPEN is None or limit == resource.RLIM_INFINITY:
        return
    try:
        used = len(os.listdir(OPEN))
    except OSError:  # not even one is left to look
        used = limit
    if limit - used < min(RESERVED, limit // RESERVED_SHARE):
        raise AuricleError(
            f"no file descriptors for another stream: {used} of {limit} are in use, and the rest "
            "is for connections to the engine; ulimit -n sets the limit"
        )
