"""The errors that Auricle raises, as one tree.

::

    AuricleError
    ├── ConfigError               a parameter, option or graph file that cannot be used
    │   ├── GraphError            nodes that cannot be wired to each other
    │   ├── NothingToChangeError  a command that has nothing to change in a node
    │   └── RecipeError           a training recipe that cannot be used
    ├── InputError                a source that cannot be opened, or that broke
    ├── WireError                 a socket that cannot be bound, a message that cannot be read
    ├── NodeError                 a node that failed for a reason it did not foresee
    ├── ModelError                a model, its card or its download that cannot be used
    │   └── ProviderError         a runtime that cannot load, compile or run a model
    └── TrainingError             a corpus, feature, run or result that cannot be used

The message of every error is one line: where, what was found, what is allowed. `node` and `port`
name the place in a graph if there is one; `exit_code` is the exit code of a command that ends with
the error. This module imports nothing else of Auricle, so that every module may import it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel, ValidationError

FAILED, UNUSABLE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes, in this order: something failed; a command line, graph, recipe or parameter cannot be
used; the work was done but some of the input was missing; interrupted by the user."""

LONGEST_MESSAGE = 1000
"""Most characters of the message of an error."""

LONGEST_SHOWN = 80
"""Most characters of a value that an error message shows."""

_CONTROLS = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_BREAK = re.compile(r"\s*[\r\n]\s*")

_MOST_PROBLEMS = 3
"""Largest number of problems to describe of an invalid value."""

_LONGEST_VALUE = 200
"""Most characters of a value to show."""


def escaped(text: str, keep: str = "") -> str:
    r"""Text that can be shown on any terminal, and sent: with control characters as `\uXXXX`.

    File names, titles, labels and answers of servers are others' words: on a terminal, an escape
    sequence in them could move the cursor, set the title or write to the clipboard. What is not
    Unicode, as in names of files in another encoding, is escaped too. JSON stays the same JSON.

    Args:
        text: Text to show.
        keep: Control characters to leave as they are.
    """
    return _CONTROLS.sub(
        lambda found: found[0] if found[0] in keep else f"\\u{ord(found[0]):04x}", text
    )


def shortened(value: object, longest: int = LONGEST_SHOWN) -> str:
    """A value of any kind as error messages show it, cut after `longest` characters."""
    try:
        text = without_password(repr(value))
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        text = f"a {type(value).__name__} that is too long to show"
    return escaped(text if len(text) <= longest else f"{text[:longest]}...")


def one_line_with_type(error: BaseException) -> str:
    """An error that was not foreseen, with the name of its type, as one line."""
    return f"{type(error).__name__}: {one_line(error)}"


def one_line(error: BaseException) -> str:
    """The message of any exception as one line; the name of its class if the message is empty."""
    return escaped(" ".join(str(error).split())) or type(error).__name__


def without_password(text: str) -> str:
    """A URL, or a text with URLs in it, that can be shown: without users and passwords.

    A password may hold the `/`, `?` and `#` that should have been escaped: what stands behind the
    colon of an address is a port only if it is a number.
    """
    return re.sub(r"(?<=://)(?:[^/?#\s]*|[^/?#\s@:[]+:(?!\d+[/?#])\S*)@", "", text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion for the error message about an unknown name.

    Args:
        name: Unknown name.
        known: Names to choose from.

    Returns:
        ` (did you mean X?)`, where X contains `name` or else is spelt most like it; empty if no
        name does.
    """
    import difflib

    names = list(known)
    near = [each for each in names if len(name) > 2 and name.lower() in each.lower()]
    near = difflib.get_close_matches(name, names, 1) or near
    return f" (did you mean {near[0]}?)" if near else ""


def describe_invalid(
    error: ValidationError,
    *within: str,
    model: type[BaseModel] | None = None,
    noun: str = "parameter",
) -> str:
    """An error of pydantic as one line: where, what was found, what is allowed.

    Args:
        error: Error to describe.
        within: Names of what encloses the fields of the error, outermost first.
        model: Class that was validated, to suggest one of its fields in place of an unknown one.
        noun: What the user calls a field.
    """
    problems = []
    for item in error.errors(include_url=False)[:_MOST_PROBLEMS]:
        where = ".".join(str(part) for part in (*within, *item["loc"]))
        message = item["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        if item["type"] == "model_type":
            message = f"a mapping of {noun}s is needed"
        if item["type"] == "extra_forbidden":
            known = [] if model is None else _fields_at(model, item["loc"][:-1])
            problems.append(f"no {noun} {where!r}")
            if known:
                hint = did_you_mean(str(item["loc"][-1]), known)
                problems[-1] += f"{hint}; {noun}s are: {', '.join(known)}"
        elif item["type"] == "missing":
            problems.append(f"{noun} {where!r} is missing")
        elif where:
            found = shortened(item["input"], _LONGEST_VALUE)
            problems.append(f"{where}={found}: {message}")
        else:
            problems.append(message)
    more = error.error_count() - len(problems)
    return "; ".join(problems) + (f" (and {more} more)" if more else "")


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of a model, or of one within it; none if that is not known."""
    for name in location:
        field = model.model_fields.get(str(name))
        within = () if field is None else (field.annotation, *get_args(field.annotation))
        models = [each for each in within if hasattr(each, "model_fields")]
        if len(models) != 1:
            return []
        model = models[0]
    return list(model.model_fields)


class AuricleError(Exception):
    """Base class of all errors that Auricle raises on purpose.

    Args:
        message: One line, without the names of the node and the port. Line breaks become spaces,
            control characters are escaped, and what is longer than `LONGEST_MESSAGE` is cut.
        node: Name of the node the error is about, if any.
        port: Name of the port on that node, if any.
    """

    exit_code: ClassVar[int] = FAILED

    def __init__(self, message: str, *, node: str | None = None, port: str | None = None) -> None:
        message = escaped(_LINE_BREAK.sub(" ", message))
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[: LONGEST_MESSAGE - 3]}..."
        super().__init__(message)
        self.message = message
        self.node = node
        self.port = port

    def __str__(self) -> str:
        if self.node is None:
            return self.message
        where = self.node if self.port is None else f"{self.node}.{self.port}"
        return f"{where}: {self.message}"


class ConfigError(AuricleError):
    """A parameter, option or graph file that cannot be used."""

    exit_code = UNUSABLE


class GraphError(ConfigError):
    """Nodes that cannot be wired to each other."""


class NothingToChangeError(ConfigError):
    """A command that has nothing to change in this node, though it may in another."""


class RecipeError(ConfigError):
    """A training recipe that cannot be used: an unknown field, a value out of range."""


class InputError(AuricleError):
    """A source that cannot be opened, or that broke while it was read."""


class WireError(AuricleError):
    """A socket that cannot be bound, or a message that cannot be read."""


class NodeError(AuricleError):
    """A node that failed for a reason it did not foresee; the cause is in `__cause__`."""


class ModelError(AuricleError):
    """A model, its card or its download that cannot be used.

    The message names the file, tensor or model, what is wrong with it, and what is allowed or what
    to do about it.
    """


class ProviderError(ModelError):
    """A runtime that cannot load, compile or run a model that another runtime may run."""


class TrainingError(AuricleError):
    """A corpus, feature, run or result that cannot be used."""
