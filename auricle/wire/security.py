"""Who may connect from beyond this machine: those whose CURVE keys are on an allow-list."""

from __future__ import annotations

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from auricle.errors import WireError
from auricle.wire.settings import CurveSpec


class Guard:
    """Lets in, on the sockets of one context, only the clients whose keys are in a folder.

    Args:
        context: Whose sockets.
        curve: The server's key and the clients' folder.

    Raises:
        WireError: A key or folder that cannot be read.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], curve: CurveSpec) -> None:
        try:
            self._public, secret = zmq.auth.load_certificate(curve.secret_key)
        except (OSError, ValueError) as error:
            raise WireError(f"wire.curve.secret_key: {error}") from None
        if secret is None:
            raise WireError(f"wire.curve.secret_key: {curve.secret_key} holds no secret key")
        if not curve.clients.is_dir():
            raise WireError(f"wire.curve.clients: {curve.clients} is no folder of client keys")
        self._secret = secret
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve(domain="*", location=str(curve.clients))

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Have `socket`, which is not bound yet, ask for keys."""
        socket.curve_publickey = self._public
        socket.curve_secretkey = self._secret
        socket.curve_server = True

    def stop(self) -> None:
        """Let go of the keys."""
        self._authenticator.stop()
