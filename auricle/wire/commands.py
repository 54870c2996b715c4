"""Commands of the control socket: functions whose signatures check their arguments."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from auricle.errors import WireError, one_line, shortened

Handler = Callable[..., Any]
"""Function that answers a command; its parameters are the arguments of the command, by name."""

_ARGUMENT = re.compile(r"    (?P<name>\w+): (?P<text>.*)")


class Command:
    """A function that answers requests, with its arguments checked.

    Args:
        name: Name of the command.
        function: Function to call. Arguments are checked against its annotations; those of
            parameters without an annotation are passed unchecked.
    """

    def __init__(self, name: str, function: Handler) -> None:
        self._name = name
        self._function = function
        self._signature = inspect.signature(function, eval_str=True)

    def __call__(self, arguments: Mapping[str, Any]) -> Any:
        """Check the arguments and call the function, on the caller's thread.

        Args:
            arguments: Arguments by name, in the types of JSON.

        Returns:
            What the function returns.

        Raises:
            WireError: An argument is missing, unknown, or of another type.
        """
        try:
            bound = self._signature.bind(**arguments)
        except TypeError as error:
            raise WireError(f"command {self._name!r}: {error}") from None
        for name, value in bound.arguments.items():
            parameter = self._signature.parameters[name]
            if parameter.annotation is not parameter.empty and parameter.kind is not (
                parameter.VAR_KEYWORD
            ):
                bound.arguments[name] = self._checked(name, value, parameter.annotation)
        return self._function(*bound.args, **bound.kwargs)

    def _checked(self, name: str, value: Any, wanted: Any) -> Any:
        try:
            return msgspec.convert(value, wanted)
        except msgspec.ValidationError as error:
            what = f"{name}={shortened(value)}: {one_line(error)}"
            raise WireError(f"command {self._name!r}: {what}") from None

    def describe(self) -> dict[str, Any]:
        """Describe the command and its arguments.

        Returns:
            `about`, the first paragraph of the function's docstring; and `arguments` by name, each
            with `about`, its `type` as a JSON Schema, `required`, and `default` unless required.
        """
        about, described = _described(inspect.getdoc(self._function) or "")
        arguments = {}
        for name, parameter in self._signature.parameters.items():
            required = parameter.default is parameter.empty
            arguments[name] = {
                "about": described.get(name, ""),
                "type": _json_type(parameter.annotation),
                "required": required,
                **({} if required else {"default": parameter.default}),
            }
        return {"about": about, "arguments": arguments}


def _json_type(annotation: Any) -> dict[str, Any]:
    """The JSON Schema of an annotation; without one, the empty schema, which allows anything."""
    if annotation is inspect.Parameter.empty:
        return {}
    return msgspec.json.schema(annotation)


def _described(docstring: str) -> tuple[str, dict[str, str]]:
    """The first paragraph of a Google-style docstring, and its descriptions of arguments."""
    about = " ".join(docstring.partition("\n\n")[0].split())
    arguments: dict[str, str] = {}
    name = None
    for line in docstring.partition("Args:\n")[2].splitlines():
        if match := _ARGUMENT.fullmatch(line):
            name = match["name"]
            arguments[name] = match["text"]
        elif name and line.startswith("        "):
            arguments[name] += f" {line.strip()}"
        else:
            break
    return about, arguments
