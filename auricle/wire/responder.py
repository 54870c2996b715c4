"""Answering requests on the control socket, on a thread of its own: a slow command delays no
message.
"""

from __future__ import annotations

import inspect
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

import zmq

from auricle.errors import WireError, one_line
from auricle.wire.codec import decode, encode

Handler = Callable[..., Any]

log = logging.getLogger(__name__)


class Commands(threading.Thread):
    """Owns the control socket and calls the handler that a request names.

    Args:
        opened: REP socket, bound. Closed by this thread.
        handlers: By command; called with the other fields of the request.
    """

    def __init__(self, opened: zmq.Socket[bytes], handlers: Mapping[str, Handler]) -> None:
        super().__init__(name="control", daemon=True)
        self._socket = opened
        self._handlers = handlers
        self._wake_reader, self._wake_writer = socket.socketpair()

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._wake_reader, zmq.POLLIN)
        while self._wake_reader.fileno() not in (ready := dict(poller.poll())):
            if self._socket in ready:
                self._socket.send(self._answer(self._socket.recv_multipart()))
        self._socket.close()
        self._wake_reader.close()

    def stop(self, timeout_s: float) -> bool:
        """Finish the request at hand and close the socket; returns whether that was done in time."""
        self._wake_writer.close()
        self.join(timeout_s)
        return not self.is_alive()

    def _answer(self, frames: list[bytes]) -> bytes:
        """The answer to a request, whatever it is."""
        try:
            return encode({"ok": True, "result": self._obey(frames)})
        except Exception as error:
            log.debug("a request failed", exc_info=True)
            return encode({"ok": False, "error": one_line(error)})

    def _obey(self, frames: list[bytes]) -> Any:
        if len(frames) != 1:
            raise WireError(f"a request is one frame; this one has {len(frames)}")
        request = decode(frames[0])
        arguments = {name: value for name, value in request.items() if name not in ("v", "command")}
        command = request.get("command")
        handler = self._handlers.get(command) if isinstance(command, str) else None
        if handler is None:
            raise WireError(
                f"no command {command!r}; commands are: {', '.join(sorted(self._handlers))}"
            )
        try:
            inspect.signature(handler).bind(**arguments)
        except TypeError as error:
            raise WireError(f"command {command!r}: {error}") from None
        return handler(**arguments)
