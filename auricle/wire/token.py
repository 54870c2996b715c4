"""The token of a control socket: a secret by which requests show whose user they come from.

Whatever runs on a machine can connect to a loopback address, also as another user. The engine makes
a token at every start and keeps it in a file that only its own user can read; a request without it
is refused. Sockets with CURVE keys have none, since the keys say more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

import platformdirs

from auricle.errors import WireError
from auricle.wire.address import FORM

LENGTH = 32
"""Bytes of a token, which is written as twice as many hexadecimal digits."""


class Token(NamedTuple):
    """The token of a control socket, and the file that holds it."""

    value: str
    path: Path


def token_path(address: str) -> Path:
    """The file with the token of a control socket of this machine.

    Args:
        address: Address of the socket. TCP addresses differ by their port alone, so that
            `localhost` finds the token of `127.0.0.1`.
    """
    match = FORM.fullmatch(address)
    port = match["port"] if match else None
    name = port or hashlib.sha256(address.encode(errors="surrogateescape")).hexdigest()[:16]
    return platformdirs.user_state_path("auricle") / "control" / f"{name}.token"


def make_token(address: str) -> Token:
    """Make a token for a control socket and write its file, readable by this user only.

    Raises:
        WireError: The file cannot be written.
    """
    token = Token(secrets.token_hex(LENGTH), token_path(address))
    path = token.path
    temporary = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token.value)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise WireError(
            f"wire.control: the token cannot be written to {path}: {error.strerror}; set "
            "XDG_STATE_HOME to a folder, or wire.shared: true to let every user of the machine in"
        ) from None
    return token


def read_token(address: str) -> str | None:
    """The token of a control socket of this machine; None if it cannot be read."""
    try:
        return token_path(address).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None


def remove_token(token: Token) -> None:
    """Remove the file of a token, unless another engine has written its own there."""
    with contextlib.suppress(OSError):
        if token.path.read_text(encoding="ascii") == token.value:
            token.path.unlink()
