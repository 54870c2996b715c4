"""What a node is given by whoever runs its graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from auricle.engine.backoff import USUAL, Backoff
from auricle.engine.overload import Member


@dataclass(frozen=True, slots=True)
class Outage:
    """Why a live source gives nothing at present, although its run goes on.

    Attributes:
        reason: One line that names the source.
        retry_at: UTC of the next try, in seconds; None if the source can only be waited for.
    """

    reason: str
    retry_at: float | None = None


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


def _report_to_nobody(outage: Outage | None) -> None:
    """Offline, nobody looks at a source while it is waited for."""


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
        report_outage: Function to call, on any thread, when a live source has to wait for audio,
            whenever the reason or the time of the next try changes, and with None once audio flows.
        backoff: Pauses of a source between its tries.
    """

    stream: str = ""
    live: bool = False
    place: Member | None = None
    wake: Callable[[], None] = _wake_nobody
    outlet: Outlet | None = None
    report_outage: Callable[[Outage | None], None] = _report_to_nobody
    backoff: Backoff = USUAL


OFFLINE = Context()
"""The context of a node until it is given another."""
