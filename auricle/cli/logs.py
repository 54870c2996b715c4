"""The log of `auricle run`: the states of streams, with times and levels."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from auricle.cli.logging_setup import set_up

if TYPE_CHECKING:
    from auricle.service.streams import Stream

log = logging.getLogger(__name__)


def log_to_stderr() -> None:
    """Log our messages from INFO on to standard error, unless an option has set up the log."""
    if not logging.getLogger().handlers:
        set_up(debug=False, as_json=False)


class StateLog:
    """Logs the states that streams enter.

    Called on the threads that change them, but on one at a time: the lock of the streams is held.

    Args:
        endings: Whether to log that streams run and end; of a single one, the command reports it.
    """

    def __init__(self, endings: bool) -> None:
        self._endings = endings
        self._waiting: set[str] = set()

    def __call__(self, stream: Stream) -> None:
        match stream.state:
            case "waiting":
                self._waiting.add(stream.name)
                reason = stream.error or "ended"
                log.warning("%s: %s%s", stream.name, reason, _next_try(stream.retry_at))
            case "running" if stream.name in self._waiting:
                self._waiting.discard(stream.name)
                log.info("%s: running again", stream.name)
            case "running" | "stopped" if self._endings:
                log.info("%s: %s", stream.name, stream.state)
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


def _next_try(retry_at: float | None) -> str:
    """When the next try is, for behind a reason; empty if there is none."""
    return "" if retry_at is None else f"; next try in {max(0.0, retry_at - time.time()):.1f} s"
