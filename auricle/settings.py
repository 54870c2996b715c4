"""Parsing the values of options such as `--set NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from auricle.errors import ConfigError, one_line


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
    from auricle.yaml_text import load_yaml

    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not (equals and name):
            raise ConfigError(f"{option} {setting}: not of the form {form}")
        try:
            values[name] = load_yaml(value)
        except ValueError as error:
            raise ConfigError(f"{option} {setting}: not YAML: {one_line(error)}") from None
    return values
