"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from auricle.errors import ConfigError, one_line

if TYPE_CHECKING:
    from auricle.wire.connection import Keys


def parse_settings(
    settings: Iterable[str], form: str = "NODE.PARAM=VALUE", option: str = "--set"
) -> dict[str, Any]:
    """The values that an option such as `--set` gives, by name.

    Args:
        settings: As written on the command line, each `name=value`; of two with one name the last
            counts. Values are read as YAML.
        form: What a setting looks like, for the error message.
        option: Name of the option, for the error message.

    Raises:
        ConfigError: A setting without `=` or a name, or a value that is not YAML.
    """
    import yaml

    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name):
            raise ConfigError(f"{option} {setting}: not of the form {form}")
        try:
            values[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{option} {setting}: not YAML: {one_line(error)}") from None
    return values


def key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--key` and `--server-key`, which `parse_keys` reads."""
    own = click.option(
        "--key", type=click.Path(), help="Own .key_secret file, for an engine beyond this machine."
    )
    server = click.option(
        "--server-key", type=click.Path(), help="The server's .key file; goes with --key."
    )
    return own(server(command))


def parse_keys(key: str | None, server_key: str | None) -> Keys | None:
    """The CURVE keys that `--key` and `--server-key` name; None if neither is given.

    Raises:
        click.UsageError: One without the other.
    """
    from auricle.wire.connection import Keys

    if (key is None) != (server_key is None):
        raise click.UsageError("--key and --server-key go together")
    return Keys(Path(key), Path(server_key)) if key and server_key else None
