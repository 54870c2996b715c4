"""What can go wrong, as one tree.

::

    AuricleError
    ├── ConfigError            a parameter, option or graph file that cannot be used
    │   ├── GraphError         nodes that cannot be wired to each other
    │   ├── NothingToChange    a command that a node has nothing to change for
    │   └── RecipeError        a training recipe that cannot be used
    ├── InputError             a source that cannot be opened, or that broke
    ├── WireError              a socket that cannot be bound, a message that cannot be read
    ├── NodeError              a node that failed for a reason it did not foresee
    ├── ModelError             a model, its card or its download that cannot be used
    │   └── ProviderError      a runtime that cannot load, compile or run a model
    └── TrainingError          a corpus, feature, run or result that cannot be used

Every error is one line: where, what was found, what is allowed. `node` and `port` name the place in
a graph when there is one; `exit_code` is how a command that ends with the error exits. This module
imports nothing of ours, so that everything may import it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pydantic import ValidationError

FAILED, UNUSABLE, INCOMPLETE, INTERRUPTED = 1, 2, 3, 130
"""Exit codes: something failed; a command line, graph, recipe or parameter cannot be used; the work
was done, but some of the input is missing; interrupted."""


def one_line(error: BaseException) -> str:
    """The message of any exception, which may have many lines or none, as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The name that was probably meant, for the message about an unknown one.

    Args:
        name: What was written.
        known: What could have been written.

    Returns:
        ` (did you mean X?)`, with the known name that begins with, ends with or contains `name`, or
        is spelt alike; nothing if none does.
    """
    import difflib

    names = list(known)
    near = [each for each in names if len(name) > 2 and name.lower() in each.lower()]
    near = difflib.get_close_matches(name, names, 1) or near
    return f" (did you mean {near[0]}?)" if near else ""


def describe_invalid(error: ValidationError, *within: str, known: Collection[str] = ()) -> str:
    """One line of what pydantic found: where, what it was, what is allowed.

    Args:
        error: The error.
        within: What the place of the error lies in, for people.
        known: Names of all fields, to suggest one where an unknown one was given.
    """
    lines = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in (*within, *item["loc"]))
        if item["type"] == "extra_forbidden":
            lines.append(f"no parameter {where!r}")
            if known and len(item["loc"]) == 1:
                hint = did_you_mean(where, known)
                lines[-1] += f"{hint}; parameters are: {', '.join(known)}"
        elif item["type"] == "missing":
            lines.append(f"parameter {where!r} is missing")
        else:
            lines.append(f"{where}={item['input']!r}: {item['msg'][:1].lower()}{item['msg'][1:]}")
    return "; ".join(lines)


class AuricleError(Exception):
    """Base of all errors that Auricle raises on purpose.

    Args:
        message: One line, without the name of the node.
        node: Name of the node the error is about, if any.
        port: Name of the port on that node, if any.
    """

    exit_code: ClassVar[int] = FAILED

    def __init__(self, message: str, *, node: str | None = None, port: str | None = None) -> None:
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


class NothingToChange(ConfigError):
    """A command that a node has nothing to change for, though another one may have."""


class RecipeError(ConfigError):
    """A training recipe that cannot be used: an unknown field, a value out of range."""


class InputError(AuricleError):
    """A source that cannot be opened, or that broke while it was read."""


class WireError(AuricleError):
    """A socket that cannot be bound, or a message that cannot be read."""


class NodeError(AuricleError):
    """A node that failed for a reason it did not foresee; the cause is chained."""


class ModelError(AuricleError):
    """A model, its card or its download that cannot be used.

    The message says where (file, tensor or model name), what is wrong there, and what is allowed or
    what to do.
    """


class ProviderError(ModelError):
    """A runtime that cannot load, compile or run this model; another one may."""


class TrainingError(AuricleError):
    """A corpus, feature, run or result that cannot be used."""
