"""Keys that are pressed while something is shown on a terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from typing import Any


class Keyboard:
    """Reads single keys from standard input, if that is a terminal that belongs to this process.

    Keys are not echoed until it is closed. Ctrl-C and Ctrl-Z do what they always do.
    """

    def __init__(self) -> None:
        self._fd: int | None = None
        self._before: list[Any] = []
        with contextlib.suppress(OSError, ValueError, termios.error):
            fd = sys.stdin.fileno()
            # A process in the background would be stopped by touching the terminal.
            if os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp():
                self._before = termios.tcgetattr(fd)
                tty.setcbreak(fd)
                self._fd = fd

    @property
    def works(self) -> bool:
        """Whether keys can be read."""
        return self._fd is not None

    def pressed(self) -> str:
        """The keys pressed since the last call; does not wait."""
        keys = b""
        while self._fd is not None and select.select([self._fd], [], [], 0)[0]:
            part = os.read(self._fd, 1024)
            if not part:
                self.close()
            keys += part
        return keys.decode(errors="replace")

    def close(self) -> None:
        """Give the terminal back as it was; may be called twice."""
        if self._fd is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._before)
            self._fd = None
