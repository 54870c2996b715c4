"""Access from other machines: only clients whose CURVE keys are on an allow-list connect."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from auricle.errors import WireError, one_line
from auricle.wire.settings import CurveSpec

ZAP_DOMAIN = "auricle"
"""Domain of all sockets that are bound, in the words of ZeroMQ's authentication protocol."""

MOST_REFUSED = 100
"""Most refused keys that are logged, once each, until the allow-list changes."""

log = logging.getLogger(__name__)


def refuse_old_peers(socket: zmq.Socket[bytes]) -> None:
    """Turn away all that does not speak ZMTP 3; call before `socket` is bound.

    ZeroMQ takes a peer without a greeting for one of ZMTP 1.0, whose frames are bare: the body of
    an HTTP request, which any web page can have a browser send to this machine, would be obeyed.
    With a ZAP domain, that protocol is not accepted. No handler for it is needed.
    """
    socket.zap_domain = ZAP_DOMAIN.encode()


class AllowList:
    """The public keys in a folder, which may change while the engine runs.

    Nothing here is locked: only the authenticator's thread uses it.

    Args:
        folder: Folder with a .key file for each client that may connect.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: list[tuple[str, int, int]] | None = None
        self._keys: frozenset[bytes] = frozenset()
        self._refused: set[bytes] = set()

    def callback(self, domain: str, key: bytes) -> bool:
        """Decide whether a client may connect; called by pyzmq at every handshake.

        Args:
            domain: ZAP domain; ignored.
            key: Public key of the client in Z85, 40 bytes.
        """
        try:
            self._read_again()
        except OSError as error:
            log.warning("wire.curve.clients: %s; nobody is let in", one_line(error))
            return False
        if key in self._keys:
            return True
        if key not in self._refused and len(self._refused) < MOST_REFUSED:
            self._refused.add(key)
            log.warning("a client was refused: no file in %s has %s", self._folder, key.decode())
        return False

    def _read_again(self) -> None:
        """Read the keys if a file was added, removed or changed."""
        paths = sorted(self._folder.glob("*.key"))
        found = [(path.name, *_version(path)) for path in paths]
        if found != self._found:
            self._found, self._keys = found, frozenset(key for path in paths for key in _key(path))
            self._refused = set()


class Guard:
    """Admits only clients on the allow-list to the sockets of a context.

    Starts a thread of pyzmq's, which answers the handshakes of all sockets of the context.

    Args:
        context: Context of the sockets.
        curve: Key of the server and folder of the clients' keys.

    Raises:
        WireError: The server's key or the folder cannot be read.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], curve: CurveSpec) -> None:
        try:
            self._public, secret = zmq.auth.load_certificate(curve.secret_key)
        except (OSError, ValueError) as error:
            raise WireError(f"wire.curve.secret_key: {error}") from None
        if secret is None:
            raise WireError(f"wire.curve.secret_key: {curve.secret_key} holds no secret key")
        if not curve.clients.is_dir():
            raise WireError(f"wire.curve.clients: {curve.clients} is not a folder of client keys")
        if not any(curve.clients.glob("*.key")):
            log.warning("wire.curve.clients: nobody can connect: no .key file in %s", curve.clients)
        _warn_of_readers(curve.secret_key)
        self._secret = secret
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(ZAP_DOMAIN, AllowList(curve.clients))

    def protect(self, socket: zmq.Socket[bytes]) -> None:
        """Require keys of the clients of `socket`, which must not be bound yet."""
        socket.curve_publickey = self._public
        socket.curve_secretkey = self._secret
        socket.curve_server = True

    def stop(self) -> None:
        """Stop the authenticator's thread."""
        self._authenticator.stop()


def _warn_of_readers(secret_key: Path) -> None:
    """Log a warning if other users of this machine can read the file of a secret key."""
    if os.name == "posix" and secret_key.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
        log.warning("wire.curve.secret_key: others can read %s: chmod 600", secret_key)


def _version(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _key(path: Path) -> list[bytes]:
    """The public key in a file, or nothing and a warning in the log if it cannot be read."""
    try:
        return [zmq.auth.load_certificate(path)[0]]
    except (OSError, ValueError) as error:
        log.warning("wire.curve.clients: %s: %s", path, one_line(error))
        return []
