"""Answering requests on the control socket, on a separate thread.

A slow command therefore delays no message.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import zmq

from auricle.errors import WireError, one_line, shortened
from auricle.wire.codec import decode_map, encode_map
from auricle.wire.commands import Command
from auricle.wire.token import Token

LONGEST_ERROR = 1000
"""Most characters of an error in an answer."""

PAUSE_S = 1.0
"""Seconds after a failure of the system, such as too little memory, before the next try."""

log = logging.getLogger(__name__)


class Responder(threading.Thread):
    """The control thread: owns the control socket, and calls the command that a request names.

    Commands run on this thread, one at a time.

    Args:
        opened: Bound REP socket; used and closed on this thread only, once it runs.
        commands: Commands by name; the caller may add others at any time, on any thread.
        token: Token that a request must carry; None if every request is answered.
    """

    def __init__(
        self, opened: zmq.Socket[bytes], commands: Mapping[str, Command], token: Token | None = None
    ) -> None:
        super().__init__(name="control", daemon=True)
        self._socket = opened
        self._commands = commands
        self._token = token
        # Closing the writer, on any thread, ends the poll of the reader on this one.
        self._wake_reader, self._wake_writer = socket.socketpair()

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_reader, zmq.POLLIN)
        try:
            while self._wake_reader.fileno() not in (ready := self._poll(poller)):
                if self._socket in ready:
                    self._serve()
        finally:
            self._socket.close()
            self._wake_reader.close()

    def _poll(self, poller: zmq.Poller) -> dict[Any, int]:
        """The sockets with something to read; none, after a pause, if the system fails."""
        try:
            return dict(poller.poll())
        except zmq.ContextTerminated:
            raise
        except (OSError, MemoryError, zmq.ZMQError):
            log.exception("the control socket cannot be read; it is tried again")
            time.sleep(PAUSE_S)
            return {}

    def _serve(self) -> None:
        """Answer a request; whatever fails, the next one is answered."""
        try:
            self._socket.send(self._answer(self._socket.recv_multipart()))
        except Exception:
            log.exception("a request could not be answered")
            with contextlib.suppress(zmq.ZMQError):  # or no request would be read any more
                self._socket.send(encode_map({"ok": False, "error": "the answer failed"}))

    def stop(self, timeout_s: float) -> bool:
        """Finish the current request, close the socket and end the thread; from another thread.

        Args:
            timeout_s: Longest wait for the current request, in seconds.

        Returns:
            Whether the thread ended in time.
        """
        self._wake_writer.close()
        self.join(timeout_s)
        return not self.is_alive()

    def _answer(self, frames: list[bytes]) -> bytes:
        """The encoded answer to a request; an error becomes an answer too."""
        try:
            return encode_map({"ok": True, "result": self._obey(frames)})
        except Exception as error:  # a command that fails must not end the others
            log.debug("a request failed", exc_info=True)
            return encode_map({"ok": False, "error": one_line(error)[:LONGEST_ERROR]})

    def _obey(self, frames: list[bytes]) -> Any:
        if len(frames) != 1:
            raise WireError(f"a request is one frame; this one has {len(frames)}")
        arguments = decode_map(frames[0])
        del arguments["v"]
        token = arguments.pop("token", None)
        if self._token is not None and not _is_equal(token, self._token.value):
            raise WireError(f"the request has no valid token; it is in {self._token.path}")
        name = arguments.pop("command", None)
        command = self._commands.get(name) if isinstance(name, str) else None
        if command is None:
            known = ", ".join(sorted(self._commands))
            raise WireError(f"no command {shortened(name)}; commands are: {known}")
        log.debug("request: %s %s", name, arguments)
        return command(arguments)


def _is_equal(given: object, token: str) -> bool:
    """Whether this is the token; takes equally long wherever they differ."""
    return isinstance(given, str) and hmac.compare_digest(given.encode(), token.encode())
