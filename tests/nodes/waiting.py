"""Waiting for what other processes do."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT_S = 300
"""Longest wait for anything; nothing comes near it but a failure."""


def wait_until(what: Callable[[], object]) -> None:
    """Wait until `what` holds."""
    until = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < until, "this never came"
        time.sleep(0.05)
