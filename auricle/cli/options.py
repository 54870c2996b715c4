"""Options that several commands share, and parsing their values."""

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
    """Parse the values of an option such as `--set`.

    Args:
        settings: Settings from the command line, each `name=value` with a value in YAML; of two
            with the same name, the last counts.
        form: Form of a setting, for error messages.
        option: Name of the option, for error messages.

    Returns:
        The values by name.

    Raises:
        ConfigError: A setting has no `=` or no name, or its value is not YAML.
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
