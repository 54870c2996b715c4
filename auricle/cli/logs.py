"""The log of `auricle run`: the states of streams, with times and levels."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from auricle.cli.group import LOG_FORMAT

if TYPE_CHECKING:
    from auricle.service.streams import Stream

log = logging.getLogger(__name__)


def log_to_stderr() -> None:
    """Log our messages from INFO on to standard error, unless --debug already logs everything."""
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, format=LOG_FORMAT)
        logging.getLogger("auricle").setLevel(logging.INFO)


class StateLog:
    """Logs the states that streams enter.

    Called on the threads that change them, but on one at a time: the lock of the streams is held.

    Args:
        endings: Whether to log the ends of streams; for a single one, the command reports its end.
    """

    def __init__(self, endings: bool) -> None:
        self._endings = endings
        self._waiting: set[str] = set()

    def __call__(self, stream: Stream) -> None:
        match stream.state:
            case "waiting":
                self._waiting.add(stream.name)
                in_s = max(0.0, (stream.retry.at if stream.retry else 0.0) - time.time())
                log.warning("%s: %s; next try in %.1f s", stream.name, stream.error, in_s)
            case "running" if stream.name in self._waiting:
                self._waiting.discard(stream.name)
                log.info("%s: running again", stream.name)
            case "failed" if self._endings:
                self._log_warnings(stream)
                log.error("%s: %s", stream.name, stream.error)
            case "finished" if self._endings:
                self._log_warnings(stream)
                log.info("%s: finished", stream.name)
            case state:
                log.debug("%s: %s", stream.name, state)

    def _log_warnings(self, stream: Stream) -> None:
        from auricle.service.streams import list_warnings

        for text in list_warnings(stream.run):
            log.warning("%s: %s", stream.name, text)
