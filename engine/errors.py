"""What can go wrong, as one small tree.

::

    AuricleError
    ├── ConfigError     a parameter, option or graph file that cannot be used
    │   └── GraphError  nodes that cannot be wired to each other
    ├── InputError      a source that cannot be opened, or broke
    ├── WireError       a socket that cannot be bound, a message that cannot be read
    └── NodeError       a node that failed for a reason it did not foresee

Every error is one line: where, what was found, what is allowed. `node` and `port` name the place when
there is one.
"""

from __future__ import annotations


def one_line(error: BaseException) -> str:
    """What an error of somebody else's says, which may be many lines or none, in one."""
    return " ".join(str(error).split()) or type(error).__name__


class AuricleError(Exception):
    """Base of all errors that Auricle raises on purpose.

    Args:
        message: One line, without the name of the node.
        node: Name of the node the error is about, if any.
        port: Name of the port on that node, if any.
    """

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


class GraphError(ConfigError):
    """Nodes that cannot be wired to each other."""


class InputError(AuricleError):
    """A source that cannot be opened, or that broke while it was read."""


class WireError(AuricleError):
    """A socket that cannot be bound, or a message that cannot be read."""


class NodeError(AuricleError):
    """A node that failed for a reason it did not foresee; the cause is chained."""
