"""What a node is given by whoever runs its graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from auricle.engine.overload import Member


class Outlet(Protocol):
    """Where messages go: a server's sockets, a list in a test. The engine never looks into them."""

    def send(self, message: object, since_ns: int | None = None) -> None:
        """Send a message. Callable from any thread; never waits.

        Args:
            message: A message in the outlet's own form.
            since_ns: Monotonic time, ns, from which it could have been sent: the start of the
                latency that the outlet measures.
        """


def _wake_nobody() -> None:
    """Offline, whoever runs the graph calls its nodes until all have finished."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a run shares with its nodes; set before `start`. The default is that of an offline run.

    Attributes:
        stream: Name of the stream on the wire.
        live: Whether the source keeps its own time, so that falling behind has to be made good.
        place: Place of the stream on the ladder, which decides on the windows to leave out; None
            leaves none out.
        wake: Function to call, on any thread, when there is something new for a node to process.
        outlet: Destination of messages; None where nobody listens.
    """

    stream: str = ""
    live: bool = False
    place: Member | None = None
    wake: Callable[[], None] = _wake_nobody
    outlet: Outlet | None = None


OFFLINE = Context()
"""The context of a node until it is given another."""
