"""Options that several commands share, and reading their values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from auricle.wire.connection import Keys


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options `--key` and `--server-key` to a command, for `parse_keys` to read."""
    own = click.option(
        "--key", type=click.Path(), help="Your .key_secret file, for an engine on another machine."
    )
    server = click.option(
        "--server-key", type=click.Path(), help="The engine's .key file; required with --key."
    )
    return own(server(command))


def parse_keys(key: str | None, server_key: str | None) -> Keys | None:
    """The CURVE keys that `--key` and `--server-key` name; None if neither is given.

    Raises:
        click.UsageError: Only one of the two is given.
    """
    from auricle.wire.connection import Keys

    if (key is None) != (server_key is None):
        raise click.UsageError("--key and --server-key go together")
    return Keys(Path(key), Path(server_key)) if key and server_key else None
