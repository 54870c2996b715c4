"""`auricle keys`: the CURVE keys of engines and clients, and who may connect."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click

from auricle.cli.group import Group
from auricle.cli.output import say
from auricle.errors import ConfigError, did_you_mean, one_line
from auricle.names import NAME

CLIENTS = click.option(
    "--clients",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("keys/clients"),
    show_default=True,
    help="Folder of clients that may connect, as wire.curve.clients in the graph file names it.",
)

PUBLIC, SECRET = ".key", ".key_secret"


@click.group(
    cls=Group,
    epilog="""\b
Examples:
  auricle keys new studio                  # on the engine's machine
  auricle keys new laptop                  # on the client's; bring keys/laptop.key to the engine's
  auricle keys allow keys/laptop.key
  auricle keys list
  auricle keys revoke laptop""",
)
def keys() -> None:
    """Make keys, and say who may connect.

    An engine that other machines can reach encrypts its sockets with CURVE, and lets in only
    clients whose public keys are in a folder. A running engine looks at the folder at every
    connection.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("keys"),
    show_default=True,
    help="Folder to write to; made if necessary.",
)
def new(name: str, folder: Path) -> None:
    """Make a pair of keys.

    Writes NAME.key, which others may see, and NAME.key_secret, which only you can read and which
    never leaves this machine.
    """
    import zmq.auth

    _check_name(name)
    for suffix in (PUBLIC, SECRET):
        path = folder / f"{name}{suffix}"
        if path.exists():
            raise ConfigError(f"{path}: already exists; choose another name, or delete it")
    folder.mkdir(parents=True, exist_ok=True)
    before = os.umask(0o077)
    try:
        public, secret = zmq.auth.create_certificates(folder, name)
    finally:
        os.umask(before)
    os.chmod(public, 0o644)
    say(f"public: {public}\nsecret: {secret}")


@keys.command()
@click.argument("key", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@CLIENTS
@click.option("--name", metavar="NAME", help="Name of the client.  [default: that of the file]")
def allow(key: Path, clients: Path, name: str | None) -> None:
    """Let a client connect.

    KEY is its .key file. Takes effect at once.
    """
    name = name or key.name.partition(".key")[0]
    _check_name(name)
    public = _read(key)
    target = clients / f"{name}{PUBLIC}"
    if target.exists():
        if _read(target) == public:
            say(f"{name} was allowed already")
            return
        raise ConfigError(
            f"{target}: already exists with another key; give --name, or first: "
            f"auricle keys revoke {name}"
        )
    clients.mkdir(parents=True, exist_ok=True)
    # Only the public key, even if the file has the secret one, too.
    text = f'metadata\ncurve\n    public-key = "{public}"\n'
    temporary = target.with_suffix(".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, target)  # a running engine never sees a part of it
    say(f"{name} may connect: {target}")


@keys.command()
@click.argument("name")
@CLIENTS
def revoke(name: str, clients: Path) -> None:
    """Let a client connect no more.

    NAME is that in `auricle keys list`. Connections that it has are kept until they end.
    """
    known = _names(clients)
    if name not in known:
        names = ", ".join(known) or "none"
        raise ConfigError(
            f"{clients}: no client {name!r}{did_you_mean(name, known)}; clients are: {names}"
        )
    (clients / f"{name}{PUBLIC}").unlink()
    say(f"{name} may not connect any more")


@keys.command("list")
@CLIENTS
def list_keys(clients: Path) -> None:
    """List the clients that may connect, with their public keys."""
    names = _names(clients)
    width = max(map(len, names), default=0)
    for name in names:
        try:
            key = _read(clients / f"{name}{PUBLIC}")
        except ConfigError as error:
            key = f"left out: {error}"
        say(f"{name:<{width}}  {key}")
    if not names:
        say(f"{clients}: nobody may connect; add a client: auricle keys allow FILE", err=True)


def _names(clients: Path) -> list[str]:
    """Names of the clients in a folder."""
    if not clients.is_dir():
        raise ConfigError(f"{clients}: no such folder; name it with --clients")
    return sorted(path.name.removesuffix(PUBLIC) for path in clients.glob(f"*{PUBLIC}"))


def _read(path: Path) -> str:
    """The public key in a file, in Z85."""
    import zmq.auth

    try:
        return zmq.auth.load_certificate(path)[0].decode()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a key: {one_line(error)}") from None


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"name {name!r}: letters, digits and _.:- only, a letter or digit first")
